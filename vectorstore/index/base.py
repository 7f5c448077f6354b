"""The interface that every kind of index has."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from runtime.vectors import Vector
from vectorstore.index.saved_array import SavedArray

Ids = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]
# One query's nearest, best first: ids (m,) and their cosines (m,), m ≤ k.
Neighbours = tuple[Ids, Vector]
# What a snapshot gives back; the arrays may be read-only maps of its file.
Arrays = Mapping[str, npt.NDArray[Any]]
# Ends a piece of upkeep: quick, and called while the lock is held for writing.
Publish = Callable[[], None]
# A piece of upkeep: long, called without the lock, beside searches and changes.
Upkeep = Callable[[], Publish]


@dataclass(frozen=True, slots=True)
class IndexFacts:
    """What an index says of itself."""

    kind: str
    face_count: int
    # Memory that it takes, bytes.
    memory_bytes: int
    # Rows of removed faces that still take room.
    tombstone_count: int
    # Bytes of its files that are mapped and not held: the system may drop them from memory, and reads them again.
    mapped_bytes: int = 0
    # Candidates whose vectors are compared for the ten nearest; 0 when all are.
    rerank_count: int = 0
    # Recall@10 of the candidates as measured on this gallery: of photos of its people, and of strangers. 0 where it
    # could not be measured; below 0.99 all vectors are compared instead.
    recall_seen: float = 1.0
    recall_unseen: float = 1.0


class VectorIndex(Protocol):
    """Vectors under ids, searched by inner product; all are of unit length, so that it is their cosine.

    One writer at a time, and no reader beside it: the caller holds the lock. Ids rise: each batch's are ascending and
    above every id that was ever added.
    """

    # Whether it works on the processor alone, and so never waits for a device or another program.
    is_local: bool

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Adds vectors (n, dimension) under ids (n,); raises ValueError for ids that do not rise, or another shape."""

    def remove(self, ids: Ids) -> int:
        """Hides the ids from every later search; returns how many of them were there."""

    def search(
        self, vectors: Vectors, k: int, allowed: Ids | None = None, *, exact: bool = False
    ) -> Sequence[Neighbours]:
        """Returns for each of the vectors (n, dimension) its at most k nearest, best first.

        allowed: ascending ids to which the search is confined before it begins, all when None. exact: every vector is
        compared, in float32; else the index may do what keeps recall@10 at 0.99 or more.
        """

    def reconstruct(self, ids: Ids) -> Vectors:
        """Returns the vectors (n, dimension) of ids that are there; raises KeyError for one that is not."""

    def live_ids(self) -> Ids:
        """Returns every id that a search can return, ascending."""

    def upkeep(self) -> Upkeep | None:
        """Returns what would make later searches faster or smaller, None when there is nothing to do.

        Called while the lock is held for reading. What it returns is called without the lock, by one thread at a time,
        and what that returns is called with the lock held for writing.
        """

    def to_arrays(self) -> dict[str, SavedArray]:
        """Returns the living faces, to be saved: taken while the lock is held, quick, and written without it."""

    def facts(self) -> IndexFacts:
        """Returns kind and sizes."""
