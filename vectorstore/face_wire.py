"""Many faces off the wire at once: those whose bytes are laid out alike are read as columns.

A face of the wire has no text but its model's id, so nearly all faces of a message have the same fields at the same
places: where these are is read from one of them, and the others are compared with it. Reading fields by protobuf's own
objects takes ten times as long. Whatever is unusual is left to be read by them, wrong values included.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from google.protobuf.descriptor import Descriptor
from twin.face.v1 import face_pb2
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from runtime.names import MAX_TEXT_CHARACTERS
from runtime.vectors import NORM_TOLERANCE
from vectorstore.face_table import FaceTable
from vectorstore.records import GalleryRecord

MAX_ISSUES: Final = 32
# Layouts of one message that are worth looking for.
_MAX_LAYOUTS: Final = 16
_EYES_NOSE_MOUTH: Final = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
_PARTS: Final = {
    "box": ("box.left", "box.top", "box.width", "box.height"),
    "landmarks": tuple(f"landmarks.{point}.{axis}" for point in _EYES_NOSE_MOUTH for axis in "xy"),
    "quality": tuple(
        f"quality.{name}" for name in ("score", "sharpness", "brightness", "yaw_degrees", "roll_degrees", "size_pixels")
    ),
}
_VALUES: Final = (*(name for names in _PARTS.values() for name in names), "detection_score")
_VARINT, _BYTES, _FIXED32 = 0, 2, 5  # https://protobuf.dev/programming-guides/encoding/

_Matrix = npt.NDArray[np.uint8]
_Mask = npt.NDArray[np.bool_]


def is_kept(issue: int) -> bool:
    """Tells whether a number of a quality issue can be kept; those that this build does not know might not fit."""
    return 0 < issue < 1000


def read_faces(faces: Sequence[pb.StoredFace], gallery: GalleryRecord) -> tuple[FaceTable | None, list[bool]]:
    """Returns faces (n,) as a table, and for each whether it is right and in there; the others take a closer look.

    None where so many of them lack a vector that a table would take more memory than the message.
    """
    contents = [face.face.SerializeToString() for face in faces]
    if sum(map(len, contents)) < 4 * gallery.dimension * len(faces):
        return None, []
    table = FaceTable.empty(len(faces), gallery.dimension)
    persons = [face.person for face in faces]
    table.persons[:] = persons
    right = np.zeros(len(faces), np.bool_)
    by_size: dict[int, list[int]] = defaultdict(list)
    for place, content in enumerate(contents):
        by_size[len(content)].append(place)
    left = _MAX_LAYOUTS
    for some in by_size.values():
        places = np.array(some)
        matrix = np.frombuffer(b"".join([contents[place] for place in some]), np.uint8).reshape(len(some), -1)
        while len(places) and left:
            left -= 1
            layout = _Layout.of(matrix[0].tobytes())
            alike = layout.is_of(matrix)
            if layout.is_usual(gallery):
                all_alike = bool(alike.all())
                rows = matrix if all_alike else matrix[alike]
                own = slice(None) if all_alike and len(places) == len(faces) else places[alike]
                right[own] = _fill(table, own, rows, layout)
            matrix, places = matrix[~alike], places[~alike]
    longest = max(map(len, persons), default=0)
    if longest > MAX_TEXT_CHARACTERS or "\x00" in "".join(persons):
        right &= [len(person) <= MAX_TEXT_CHARACTERS and "\x00" not in person for person in persons]
    return table, right.tolist()


@dataclass(slots=True)
class _Layout:
    """Where the fields of a face are, by their names from Face on; what is not a value is the same in all faces."""

    content: bytes
    messages: set[str] = field(default_factory=set)
    numbers: dict[str, int] = field(default_factory=dict)
    floats: dict[str, int] = field(default_factory=dict)
    spans: dict[str, slice] = field(default_factory=dict)
    is_known: bool = True
    # The index, where it is one byte.
    index_at: int | None = None

    @classmethod
    def of(cls, content: bytes) -> "_Layout":
        layout = cls(content)
        layout._read(0, len(content), face_pb2.Face.DESCRIPTOR, "")
        return layout

    def _read(self, at: int, end: int, descriptor: Descriptor, parent: str) -> None:
        while at < end:
            key, at = _varint(self.content, at)
            known = descriptor.fields_by_number.get(key >> 3)
            name = parent + (known.name if known is not None else "")
            if known is None or key & 7 not in (_VARINT, _BYTES, _FIXED32):
                self.is_known = False
                return
            if key & 7 == _FIXED32:
                self.floats[name] = at
                at += 4
            elif key & 7 == _VARINT:
                self.numbers[name], after = _varint(self.content, at)
                if name == "index" and after == at + 1:
                    self.index_at = at
                at = after
            else:
                size, at = _varint(self.content, at)
                if known.message_type is not None:
                    self.messages.add(name)
                    self._read(at, at + size, known.message_type, f"{name}.")
                else:
                    self.spans[name] = slice(at, at + size)
                at += size

    def is_usual(self, gallery: GalleryRecord) -> bool:
        """Tells whether faces like this are of the gallery's model, with nothing that is not known here."""
        vector, model = (self.spans.get(f"embedding.{name}", slice(0, 0)) for name in ("float32_le", "model_id"))
        return (
            self.is_known
            and self.numbers.get("index", 0) < 2**31
            and vector.stop - vector.start == 4 * gallery.dimension
            and self.content[model] == gallery.model_id.encode()
        )

    def is_of(self, matrix: _Matrix) -> _Mask:
        """Returns which rows are laid out like this one, itself included."""
        is_same = np.ones(len(self.content), np.bool_)
        for at in self.floats.values():
            is_same[at : at + 4] = False
        if (vector := self.spans.get("embedding.float32_le")) is not None:
            is_same[vector] = False
        if self.index_at is not None:
            is_same[self.index_at] = False
        places = np.flatnonzero(is_same)
        alike: _Mask = (matrix.take(places, axis=1) == matrix[0, places]).all(axis=1)
        if self.index_at is not None:
            # The highest bit says that another byte follows.
            alike &= matrix[:, self.index_at] < 128
        return alike

    def values(self, rows: _Matrix) -> npt.NDArray[np.float32]:
        """Returns (rows, _VALUES) of rows (n, bytes); 0, which the wire leaves out, where there is none."""
        values = np.zeros((len(rows), len(_VALUES)), np.float32)
        there = [place for place, name in enumerate(_VALUES) if name in self.floats]
        starts = np.array([self.floats[_VALUES[place]] for place in there], np.intp)
        values[:, there] = rows.take((starts[:, None] + np.arange(4)).ravel(), axis=1).view("<f4")
        return values


def _fill(table: FaceTable, places: Any, rows: _Matrix, layout: _Layout) -> _Mask:
    """Puts faces of one layout into their places; returns which of them are right."""
    values = layout.values(rows)
    is_finite = np.isfinite(values).all(axis=1)
    start = 0
    for (part, names), column in zip(_PARTS.items(), (table.boxes, table.landmarks, table.qualities), strict=True):
        if part in layout.messages:
            column[places] = values[:, start : start + len(names)]
        start += len(names)
    table.scores[places] = values[:, -1]
    table.primaries[places] = bool(layout.numbers.get("primary", 0))
    if layout.index_at is not None:
        table.indexes[places] = rows[:, layout.index_at]
    else:
        table.indexes[places] = layout.numbers.get("index", 0)
    if (issues := layout.spans.get("quality.issues")) is not None:
        kept = tuple(filter(is_kept, list(_varints(layout.content[issues]))[:MAX_ISSUES]))
        for place in np.arange(len(table))[places].tolist():
            table.issues[place] = kept
    vectors = rows[:, layout.spans["embedding.float32_le"]].view("<f4").astype(np.float32)
    table.vectors[places] = vectors
    # NaN and Inf stay what they are in the sum, and fail the comparison.
    with np.errstate(over="ignore", invalid="ignore"):
        is_unit: _Mask = np.abs(np.einsum("ij,ij->i", vectors, vectors) - 1) <= NORM_TOLERANCE
    return is_unit & is_finite


def _varints(content: bytes) -> Iterator[int]:
    at = 0
    while at < len(content):
        value, at = _varint(content, at)
        yield value


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """Returns the number there, and where the next field begins."""
    value = shift = 0
    while True:
        byte = content[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
