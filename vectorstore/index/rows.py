"""Which row holds which id, and which rows still count: the part of an index that FAISS is not asked to do."""

import numpy as np
import numpy.typing as npt

from vectorstore.index.base import Ids
from vectorstore.index.columns import Column

Mask = npt.NDArray[np.bool_]
# Removing rows for good costs a copy of the whole index: not before this many, and this share of it, are dead.
MIN_TOMBSTONES = 1024
TOMBSTONE_SHARE = 0.2


class RowTable:
    """Ascending ids by row, with tombstones. Rows rise with ids, so a binary search replaces a dictionary."""

    def __init__(self) -> None:
        self._ids: Column[np.int64] = Column(np.int64)
        self._alive: Column[np.bool_] = Column(np.bool_)
        self.live_count = 0

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def nbytes(self) -> int:
        """Memory taken, bytes."""
        return self._ids.nbytes + self._alive.nbytes

    @property
    def ids(self) -> Ids:
        """The id of every row, dead ones included."""
        return self._ids.values

    @property
    def alive(self) -> Mask:
        """Which rows count."""
        return self._alive.values

    @property
    def tombstone_count(self) -> int:
        """Rows that no longer count."""
        return len(self) - self.live_count

    def wants_compaction(self) -> bool:
        """Tells whether enough rows are dead."""
        return self.tombstone_count >= MIN_TOMBSTONES and self.tombstone_count >= TOMBSTONE_SHARE * len(self)

    def append(self, ids: Ids) -> None:
        """Adds rows; raises ValueError unless the ids ascend from above the last one."""
        last = self._ids.values[-1] if len(self) else -1
        if len(ids) and (ids[0] <= last or (np.diff(ids) <= 0).any()):
            raise ValueError("ids must be ascending and above every id added before")
        self._ids.append(ids)
        self._alive.append(np.ones(len(ids), dtype=np.bool_))
        self.live_count += len(ids)

    def find(self, ids: Ids) -> npt.NDArray[np.int64]:
        """Returns the rows of those of the ids that are there and alive, in the order given."""
        rows = np.searchsorted(self.ids, ids)
        inside = rows < len(self)
        rows = rows[inside]
        rows = rows[self.ids[rows] == ids[inside]]
        living: Ids = rows[self.alive[rows]]
        return living

    def remove(self, ids: Ids) -> int:
        """Marks rows as dead; returns how many were alive."""
        rows = np.unique(self.find(ids))
        self._alive.values[rows] = False
        self.live_count -= len(rows)
        return len(rows)
