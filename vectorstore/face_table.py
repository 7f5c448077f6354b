"""Many faces column by column, from the wire to COPY and to the index; an object a face costs more than the rest."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, overload

import numpy as np
import numpy.typing as npt

from vectorstore.index.base import Vectors
from vectorstore.records import FaceRecord, Quality

_Floats = npt.NDArray[np.float32]
_NOTHING: Final = np.float32(np.nan)


@dataclass(frozen=True, slots=True)
class FaceTable:
    """Faces (n,) of one dimension; what they are is said in FaceRecord. NaN in the first place: came without.

    boxes (n, 4), landmarks (n, 10), qualities (n, 6), vectors (n, dimension); all others (n,).
    """

    indexes: npt.NDArray[np.int32]
    boxes: _Floats
    landmarks: _Floats
    scores: _Floats
    qualities: _Floats
    primaries: npt.NDArray[np.bool_]
    vectors: Vectors
    issues: list[tuple[int, ...]]
    persons: list[str]

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def empty(cls, count: int, dimension: int) -> "FaceTable":
        """Returns so many faces, to be filled in."""
        return cls(
            indexes=np.zeros(count, np.int32),
            boxes=np.full((count, 4), _NOTHING),
            landmarks=np.full((count, 10), _NOTHING),
            scores=np.zeros(count, np.float32),
            qualities=np.full((count, 6), _NOTHING),
            primaries=np.zeros(count, np.bool_),
            vectors=np.empty((count, dimension), np.float32),
            issues=[()] * count,
            persons=[""] * count,
        )

    @classmethod
    def of(cls, faces_of_photos: Sequence[Sequence[FaceRecord]], dimension: int) -> "FaceTable":
        """Returns the faces of all photos, in order."""
        parts: list[FaceTable] = []
        records: list[FaceRecord] = []
        table, start, stop = cls.empty(0, dimension), 0, 0
        for faces in faces_of_photos:
            if isinstance(faces, FacesOfTable):
                if faces.table is table and faces.start == stop and not records:
                    stop = faces.stop
                    continue
                parts += (table.part(start, stop), cls._of_records(records, dimension))
                table, start, stop, records = faces.table, faces.start, faces.stop, []
            else:
                records.extend(faces)
        parts += (table.part(start, stop), cls._of_records(records, dimension))
        return cls._joined([part for part in parts if len(part)] or parts[:1])

    @classmethod
    def _joined(cls, parts: "Sequence[FaceTable]") -> "FaceTable":
        if len(parts) == 1:
            return parts[0]
        columns: dict[str, Any] = {}
        for field in fields(cls):
            values = [getattr(part, field.name) for part in parts]
            is_array = isinstance(values[0], np.ndarray)
            columns[field.name] = np.concatenate(values) if is_array else list(itertools.chain(*values))
        return cls(**columns)

    @classmethod
    def _of_records(cls, faces: Sequence[FaceRecord], dimension: int) -> "FaceTable":
        if not faces:
            return cls.empty(0, dimension)
        return cls(
            indexes=np.array([face.face_index for face in faces], np.int32),
            boxes=_floats([face.box for face in faces], 4),
            landmarks=_floats([face.landmarks for face in faces], 10),
            scores=np.array([face.detection_score for face in faces], np.float32),
            qualities=_floats([face.quality.measures if face.quality else None for face in faces], 6),
            primaries=np.array([face.primary for face in faces], np.bool_),
            vectors=np.array([face.embedding for face in faces], np.float32),
            issues=[face.quality.issues if face.quality else () for face in faces],
            persons=[face.person for face in faces],
        )

    def part(self, start: int, stop: int) -> "FaceTable":
        """Returns the faces from one place to another; shares their memory."""
        if (start, stop) == (0, len(self)):
            return self
        return FaceTable(**{field.name: getattr(self, field.name)[start:stop] for field in fields(self)})

    def record(self, place: int) -> FaceRecord:
        """Returns one face by itself."""
        measures: Any = _values(self.qualities, place)
        box: Any = _values(self.boxes, place)
        return FaceRecord(
            0,
            int(self.indexes[place]),
            box,
            _values(self.landmarks, place),
            float(self.scores[place]),
            None if measures is None else Quality(measures, self.issues[place]),
            bool(self.primaries[place]),
            self.persons[place],
            self.vectors[place],
        )


@dataclass(slots=True)
class FacesOfTable(Sequence[FaceRecord]):
    """A photo's faces, at least one, where they stand in a table; each is made only when it is asked for."""

    # Not frozen, which would take three times as long to make.
    table: FaceTable
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[FaceRecord]:
        return map(self.table.record, range(self.start, self.stop))

    @overload
    def __getitem__(self, place: int) -> FaceRecord: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[FaceRecord]: ...
    def __getitem__(self, place: int | slice) -> FaceRecord | Sequence[FaceRecord]:
        return tuple(self)[place]


def _floats(rows: Sequence[tuple[float, ...] | None], width: int) -> _Floats:
    nothing = (np.nan,) * width
    return np.array([row or nothing for row in rows], np.float32)


def _values(column: _Floats, place: int) -> tuple[float, ...] | None:
    values = tuple(column[place].tolist())
    return None if values[0] != values[0] else values
