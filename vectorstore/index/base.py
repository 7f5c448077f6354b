"""The interface that every kind of index has."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from runtime.vectors import Vector

Ids = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]
# One query's nearest, best first: ids (m,) and their cosines (m,), m ≤ k.
Neighbours = tuple[Ids, Vector]


@dataclass(frozen=True, slots=True)
class IndexFacts:
    """What an index says of itself."""

    kind: str
    face_count: int
    memory_bytes: int
    tombstone_count: int


class VectorIndex(Protocol):
    """Vectors under ids, searched by inner product; all are of unit length, so that it is their cosine.

    One writer at a time, and no reader beside it: the caller holds the lock. Ids rise: each batch's are ascending and
    above every id that was ever added.
    """

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Adds vectors (n, dimension) under ids (n,)."""

    def remove(self, ids: Ids) -> int:
        """Hides the ids from every later search; returns how many of them were there."""

    def search(self, vectors: Vectors, k: int, allowed: Ids | None = None) -> Sequence[Neighbours]:
        """Returns for each of the vectors (n, dimension) its at most k nearest, best first.

        allowed: ascending ids to which the search is confined, all when None.
        """

    def reconstruct(self, ids: Ids) -> Vectors:
        """Returns the vectors (n, dimension) of ids that are there; raises KeyError for one that is not."""

    def live_ids(self) -> Ids:
        """Returns every id that a search can return, ascending."""

    def wants_compaction(self) -> bool:
        """Tells whether removed rows take so much room that ``compacted`` is worth its time."""

    def compacted(self) -> "VectorIndex":
        """Returns an equal index without its removed rows; this one can be searched meanwhile."""

    def save(self, path: Path) -> None:
        """Writes the index to a file that ``load`` verifies."""

    @classmethod
    def load(cls, path: Path) -> "VectorIndex":
        """Returns a saved index; raises DamagedFile unless the file is exactly what was saved."""

    def facts(self) -> IndexFacts:
        """Returns kind and sizes."""
