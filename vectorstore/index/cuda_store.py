"""What an index keeps on a device: the interface that both of its layouts have."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt

from vectorstore.index.base import Ids, Vectors

# (queries, fetched): cosines as the device computes them, best first, and ids; -1 where there are no more.
Fetched = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]


class DeviceStore(Protocol):
    """Vectors on the device under ids. Ids rise; one that is there already is not added again."""

    kind: str

    def __len__(self) -> int:
        """Rows that a search goes over, removed ones included where they are not given up at once."""

    @property
    def dead_count(self) -> int:
        """Rows that ``fetch`` returns though they were removed."""

    @property
    def nbytes(self) -> int:
        """Memory taken on the device, bytes."""

    def has_room_for(self, row_count: int) -> bool:
        """Tells whether the device has room for so many rows beside what is there."""

    def add(self, ids: Ids, vectors: Vectors) -> int:
        """Adds as many of the first vectors (n, dimension) as there is room for; returns how many."""

    def remove(self, ids: Ids) -> None:
        """Removes the ids, or takes note that they are dead."""

    def fetch(self, queries: Vectors, count: int) -> Fetched:
        """Returns for each of the queries (n, dimension) its count best, 1 ≤ count ≤ MAX_SELECTED."""

    def first_count(self, k: int) -> int:
        """Returns how many to fetch first for a search of the k nearest that is to be proved exact."""

    def errors(self, queries: Vectors) -> npt.NDArray[np.float32]:
        """Returns (n,): no fetched cosine is further than this from the true one of the query and the vector."""

    def all_cosines(self, queries: Vectors) -> Iterator[tuple[Ids, npt.NDArray[np.float32]]] | None:
        """Returns every row as (ids (m,), cosines (n, m)) pieces, None where the device cannot."""

    def release(self) -> None:
        """Gives the device's memory back."""
