"""Faces in the binary form of COPY, made of whole columns: an object for each value would cost more than the rest.

They are made before the faces have their ids, which are filled in at the last moment.

Faces of one shape (the same parts present, as many quality issues, a person's name of the same length) have rows of
equal length, which are one structured array; nearly always that is all faces of a batch.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vectorstore.copy_binary import HEADER, TRAILER
from vectorstore.face_table import FaceTable
from vectorstore.index.base import Ids

_FLOAT4_OID: Final = 700
_INT2_OID: Final = 21
# rows_sql.FACE_COLUMNS, in this order.
_COLUMN_COUNT: Final = 12
_NULL: Final = -1

_Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FaceRows:
    """Faces that are to be written, with 16 bytes of each one's photo's UUID."""

    gallery_id: int
    photo_ids: Sequence[bytes]
    faces: FaceTable


class FaceCopy:
    """Faces of one or more galleries that are to be written."""

    def __init__(self, galleries: Sequence[FaceRows]) -> None:
        # Rows of one shape, and their places among all faces.
        self._blocks: list[tuple[npt.NDArray[Any], _Places]] = []
        first = 0
        for rows in galleries:
            by_shape: dict[_Shape, list[int]] = defaultdict(list)
            for position, shape in enumerate(_shapes(rows.faces)):
                by_shape[shape].append(position)
            for shape, positions in by_shape.items():
                self._blocks.append((_block(shape, rows, positions), first + np.array(positions)))
            first += len(rows.faces)

    def content(self, face_ids: Ids) -> Iterator[bytes]:
        """Yields what COPY faces (FACE_COLUMNS) FROM STDIN (FORMAT binary) reads, piece by piece.

        face_ids (n,): of all faces, in the order in which they were given.
        """
        yield HEADER
        for block, places in self._blocks:
            block["face_id"] = face_ids[places]
            yield block.tobytes()
        yield TRAILER


# (box there, landmarks there, quality there, quality issues, bytes of the person's name, dimension)
_Shape = tuple[bool, bool, bool, int, int, int]


def _shapes(faces: FaceTable) -> Iterator[_Shape]:
    return zip(
        _is_there(faces.boxes),
        _is_there(faces.landmarks),
        _is_there(faces.qualities),
        map(len, faces.issues),
        [len(person.encode()) if person else 0 for person in faces.persons],
        itertools.repeat(faces.vectors.shape[1]),
        strict=False,
    )


def _is_there(column: npt.NDArray[np.float32]) -> list[bool]:
    there: list[bool] = (~np.isnan(column[:, 0])).tolist()
    return there


def _block(shape: _Shape, rows: FaceRows, positions: Sequence[int]) -> npt.NDArray[Any]:
    has_box, has_landmarks, has_quality, issue_count, person_size, _ = shape
    faces = rows.faces
    own: Any = slice(None) if len(positions) == len(faces) else positions
    block = np.full(len(positions), _empty_row(shape))
    ids = b"".join([rows.photo_ids[position] for position in positions])
    block["photo_id"] = np.frombuffer(ids, dtype=np.uint8).reshape(-1, 16)
    block["gallery_id"] = rows.gallery_id
    block["face_index"] = faces.indexes[own]
    block["detection_score"] = faces.scores[own]
    block["is_primary"] = faces.primaries[own]
    if has_box:
        block["box"]["value"] = faces.boxes[own]
    if has_landmarks:
        block["landmarks"]["value"] = faces.landmarks[own]
    if has_quality:
        block["quality"]["value"] = faces.qualities[own]
        if issue_count:
            block["quality_issues"]["value"] = [faces.issues[position] for position in positions]
    if person_size:
        block["person"] = [faces.persons[position].encode() for position in positions]
    block["embedding"] = faces.vectors[own]
    return block


@lru_cache(maxsize=256)
def _empty_row(shape: _Shape) -> Any:
    """Returns a row of the shape with every length in place and every value 0."""
    has_box, has_landmarks, has_quality, issue_count, person_size, dimension = shape
    fields: list[Any] = [("column_count", ">i2")]
    constants: list[tuple[str, Any]] = [("column_count", _COLUMN_COUNT)]

    def scalar(name: str, kind: Any, size: int) -> None:
        fields.append((f"{name}_size", ">i4"))
        constants.append((f"{name}_size", size))
        if size > 0:
            fields.append((name, kind))

    def array(name: str, count: int | None, oid: int, kind: str) -> None:
        """An array has: dimensions, flags, element type; length and lower bound; each element with its own size."""
        item_size = np.dtype(kind).itemsize
        if count is None:
            scalar(name, None, _NULL)
            return
        header = [0, 0, oid] if count == 0 else [1, 0, oid, count, 1]
        fields.append((f"{name}_size", ">i4"))
        constants.append((f"{name}_size", 4 * len(header) + count * (4 + item_size)))
        fields.append((f"{name}_header", ">i4", (len(header),)))
        constants.append((f"{name}_header", header))
        if count:
            fields.append((name, [("size", ">i4"), ("value", kind)], (count,)))
            constants.append((name, (item_size, 0)))

    scalar("face_id", ">i8", 8)
    scalar("photo_id", (np.uint8, (16,)), 16)
    scalar("gallery_id", ">i8", 8)
    scalar("face_index", ">i4", 4)
    array("box", 4 if has_box else None, _FLOAT4_OID, ">f4")
    array("landmarks", 10 if has_landmarks else None, _FLOAT4_OID, ">f4")
    scalar("detection_score", ">f4", 4)
    array("quality", 6 if has_quality else None, _FLOAT4_OID, ">f4")
    array("quality_issues", issue_count if has_quality else None, _INT2_OID, ">i2")
    scalar("is_primary", np.bool_, 1)
    scalar("person", f"S{person_size}", person_size)
    # pgvector's own: the dimension and 0 as 16 bits, then the values.
    fields += [("embedding_size", ">i4"), ("dimension", ">i2", (2,)), ("embedding", ">f4", (dimension,))]
    constants += [("embedding_size", 4 + 4 * dimension), ("dimension", (dimension, 0))]

    row = np.zeros((), dtype=fields)
    for name, value in constants:
        if row.dtype[name].subdtype is not None and isinstance(value, tuple) and row.dtype[name].base.names:
            row[name]["size"] = value[0]
        else:
            row[name] = value
    return row
