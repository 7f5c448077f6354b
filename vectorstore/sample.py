"""A random sample of a gallery, kept true while faces come and go: what a percentile is counted in."""

from typing import Final

import numpy as np
import numpy.typing as npt

from runtime.vectors import Vector
from vectorstore.index.base import Ids, VectorIndex, Vectors
from vectorstore.index.compressed import FIXED_ONE, to_fixed

# The share of a gallery below a cosine is then right within 0.004 (one standard error) where it is least certain, in
# the middle, and within 0.0003 at the 0.999 where matches are.
SAMPLE_SIZE: Final = 16_384
# Deletions may thin the sample to this share before it is drawn again.
_LEAST_SHARE: Final = 0.75
_FIRST_ROWS: Final = 64
_PIECE_ROWS: Final = 2048

Hashes = npt.NDArray[np.uint64]


def hash_ids(ids: Ids) -> Hashes:
    """Returns a well mixed 64-bit number for each id (the finaliser of SplitMix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        mixed = ids.astype(np.uint64) + np.uint64(0x9E37_79B9_7F4A_7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58_476D_1CE4_E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D0_49BB_1331_11EB)
        return mixed ^ (mixed >> np.uint64(31))


class GallerySample:
    """The faces whose ids hash lowest: a uniform sample that depends on who is in the gallery and on nothing else.

    The whole gallery while it has at most SAMPLE_SIZE faces, so that percentiles are exact there. Invariant: for its
    size m it holds the m lowest hashes of all living faces. Vectors are kept in fixed point. Guarded by the gallery's
    lock.
    """

    def __init__(self, dimension: int) -> None:
        self._hashes: Hashes = np.empty(_FIRST_ROWS, np.uint64)
        self._ids: Ids = np.empty(_FIRST_ROWS, np.int64)
        self._fixed: npt.NDArray[np.int16] = np.empty((_FIRST_ROWS, dimension), np.int16)
        self._count = 0
        self._live_count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Takes note of new faces."""
        hashes = hash_ids(ids)
        thinned = self._count < self._live_count
        self._live_count += len(ids)
        if thinned:
            # What hashes above the sample's highest may have lower ones outside the sample: it must stay outside too.
            fits = hashes < (self._hashes[: self._count].max() if self._count else 0)
            ids, hashes, vectors = ids[fits], hashes[fits], vectors[fits]
        free = min(len(ids), SAMPLE_SIZE - self._count)
        self._put(np.arange(self._count, self._count + free), ids[:free], hashes[:free], vectors[:free])
        self._replace_highest(ids[free:], hashes[free:], vectors[free:])

    def _replace_highest(self, ids: Ids, hashes: Hashes, vectors: Vectors) -> None:
        """Keeps the lowest hashes of the full sample and of the faces; newcomers take the places of who goes."""
        if not len(ids):
            return
        all_hashes = np.concatenate([self._hashes[: self._count], hashes])
        lowest = np.zeros(len(all_hashes), np.bool_)
        lowest[np.argpartition(all_hashes, self._count - 1)[: self._count]] = True
        come = np.flatnonzero(lowest[self._count :])
        places = np.flatnonzero(~lowest[: self._count])
        self._put(places, ids[come], hashes[come], vectors[come])

    def _put(self, places: npt.NDArray[np.intp], ids: Ids, hashes: Hashes, vectors: Vectors) -> None:
        if not len(places):
            return
        needed = max(self._count, int(places[-1]) + 1)
        if needed > len(self._ids):
            room = min(SAMPLE_SIZE, max(needed, len(self._ids) * 2))
            for name in ("_hashes", "_ids", "_fixed"):
                old = getattr(self, name)
                new = np.empty((room, *old.shape[1:]), old.dtype)
                new[: self._count] = old[: self._count]
                setattr(self, name, new)
        self._hashes[places], self._ids[places], self._fixed[places] = hashes, ids, to_fixed(vectors)
        self._count = needed

    def remove(self, ids: Ids, removed_count: int, index: VectorIndex) -> None:
        """Forgets faces, of which the index, already without them, held ``removed_count``."""
        self._live_count -= removed_count
        stays = np.flatnonzero(~np.isin(self._ids[: self._count], ids))
        if len(stays) < self._count:
            for rows in (self._hashes, self._ids, self._fixed):
                rows[: len(stays)] = rows[stays]
            self._count = len(stays)
        if self._count < _LEAST_SHARE * min(SAMPLE_SIZE, self._live_count):
            self.draw(index)

    def draw(self, index: VectorIndex) -> None:
        """Draws the sample anew from the whole index."""
        ids = index.live_ids()
        self._live_count, self._count = len(ids), 0
        hashes = hash_ids(ids)
        if len(ids) > SAMPLE_SIZE:
            lowest = np.sort(np.argpartition(hashes, SAMPLE_SIZE - 1)[:SAMPLE_SIZE])
            ids, hashes = ids[lowest], hashes[lowest]
        for start in range(0, len(ids), _PIECE_ROWS):
            some = ids[start : start + _PIECE_ROWS]
            places = np.arange(start, start + len(some))
            self._put(places, some, hashes[start : start + len(some)], index.reconstruct(some))

    def sorted_cosines(self, query: Vector) -> Vector:
        """Returns the query's cosines to every face of the sample, ascending, within 0.0001."""
        cosines = np.empty(self._count, np.float32)
        for start in range(0, self._count, _PIECE_ROWS):
            piece = self._fixed[start : min(start + _PIECE_ROWS, self._count)]
            cosines[start : start + len(piece)] = piece.astype(np.float32) @ query
        cosines /= np.float32(FIXED_ONE)
        cosines.sort()
        return cosines
