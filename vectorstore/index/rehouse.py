"""A gallery moved from one kind of index to another, beside searches and changes."""

from collections.abc import Callable

import numpy as np

from vectorstore.index.base import Arrays, Ids, VectorIndex

# Faces that came meanwhile, copied at once.
_COPY_FACES = 16_384
Restore = Callable[[Arrays], VectorIndex]


class Move:
    """One move. Made while the lock is held for reading; ``fill`` without it; ``finish`` while it is held for writing.

    The old index stays as it is and goes on being searched and changed until the new one takes its place.
    """

    def __init__(self, old: VectorIndex, restore: Restore) -> None:
        """restore: makes the new index of an old one's arrays."""
        self._old = old
        self._restore = restore
        self._arrays = old.to_arrays()
        self._ids: Ids = old.live_ids()

    def fill(self) -> Callable[[], VectorIndex]:
        """Builds the new index; long. Returns what finishes it."""
        new = self._restore({name: self._arrays[name].whole() for name in ("ids", "vectors")})
        return lambda: self._caught_up(new)

    def _caught_up(self, new: VectorIndex) -> VectorIndex:
        live = self._old.live_ids()
        last = self._ids[-1] if len(self._ids) else -1
        come = live[np.searchsorted(live, last, side="right") :]
        for start in range(0, len(come), _COPY_FACES):
            some = come[start : start + _COPY_FACES]
            new.add(some, self._old.reconstruct(some))
        gone = np.setdiff1d(self._ids, live, assume_unique=True)
        if len(gone):
            new.remove(gone)
        return new
