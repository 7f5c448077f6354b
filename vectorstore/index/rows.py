"""Which row holds which id, and which rows still count: the part of an index that FAISS is not asked to do."""

import numpy as np
import numpy.typing as npt

from vectorstore.index.base import Ids
from vectorstore.index.columns import Column

Mask = npt.NDArray[np.bool_]
# Removing rows for good costs a copy of the whole index: not before this many, and this share of it, are dead.
MIN_TOMBSTONES = 1024
TOMBSTONE_SHARE = 0.2
# Ids within a span of at most so many times their count are looked up in a table of the span.
_DENSE_SPAN = 64


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

    def check(self, ids: Ids) -> None:
        """Raises ValueError unless the ids ascend from above the last one."""
        last = self._ids.values[-1] if len(self) else -1
        if len(ids) and (ids[0] <= last or (np.diff(ids) <= 0).any()):
            raise ValueError("ids must be ascending and above every id added before")

    def append(self, ids: Ids) -> None:
        """Adds rows; raises ValueError unless the ids ascend from above the last one."""
        self.check(ids)
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

    def mask_of(self, ids: Ids) -> Mask:
        """Returns which rows are alive and have one of the ascending ids."""
        mask = np.zeros(len(self), dtype=np.bool_)
        if not len(ids) or not len(self):
            return mask
        first, last = int(ids[0]), int(ids[-1])
        if last - first >= _DENSE_SPAN * len(ids):
            mask[self.find(ids)] = True
            return mask
        # Looking up a byte for each row of the span is ten times as fast as searching for each id.
        wanted = np.zeros(last - first + 1, dtype=np.bool_)
        wanted[ids - first] = True
        begin, end = np.searchsorted(self.ids, (first, last + 1))
        mask[begin:end] = wanted[self.ids[begin:end] - first] & self.alive[begin:end]
        return mask

    def remove(self, ids: Ids) -> int:
        """Marks rows as dead; returns how many were alive."""
        rows = np.unique(self.find(ids))
        self._alive.values[rows] = False
        self.live_count -= len(rows)
        return len(rows)
