"""What is asked of a search and what it finds, as plain values."""

import enum
from dataclasses import dataclass
from typing import Final, NamedTuple

from runtime.vectors import Vector
from vectorstore.catalog_face import ShownFace
from vectorstore.filters import EVERY_FACE, FaceFilter

# LOOKALIKE asks the index for more than is wanted, since many faces can be one person.
_FIRST_FETCH_FACTOR: Final = 2
_FIRST_FETCH_EXTRA: Final = 16


class Mode(enum.Enum):
    """What kind of neighbour is wanted."""

    LOOKALIKE = "lookalike"
    SAME_PERSON = "same_person"
    NEAREST = "nearest"


@dataclass(frozen=True, slots=True)
class SearchOrder:
    """What is wanted of every query."""

    limit: int
    mode: Mode
    # Cosine; None: no matter how unlike.
    min_similarity: float | None = None
    faces: FaceFilter = EVERY_FACE
    # Every vector is compared, in float32.
    exact: bool = False

    @property
    def first_count(self) -> int:
        """How many neighbours are asked for at first."""
        if self.mode is Mode.LOOKALIKE:
            return _FIRST_FETCH_FACTOR * self.limit + _FIRST_FETCH_EXTRA
        # One more than wanted: the query's own face may be among them.
        return self.limit + 1

    @property
    def scan_key(self) -> tuple[int, FaceFilter, bool]:
        """Orders with equal keys can be scanned for together."""
        return self.first_count, self.faces, self.exact

    @property
    def least_cosine(self) -> float:
        """The cosine below which nothing is of interest."""
        return -2.0 if self.min_similarity is None else self.min_similarity


class FoundMatch(NamedTuple):
    """One neighbour: a tuple, as the face is."""

    face: ShownFace
    cosine: float
    percent: float
    percentile: float
    same_person: tuple["FoundMatch", ...] = ()


@dataclass(frozen=True, slots=True)
class FoundResult:
    """The answer to one query, best first."""

    matches: tuple[FoundMatch, ...]
    yourself: tuple[FoundMatch, ...] = ()


@dataclass(frozen=True, slots=True)
class Probe:
    """A query's vector and, where the query is a face of the gallery, who that is."""

    vector: Vector
    face_id: int = -1
    person_code: int = 0
    photo_code: int = -1
