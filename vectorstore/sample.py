"""A random sample of a gallery, kept true while faces come and go: what a percentile is counted in."""

from typing import Final

import numpy as np
import numpy.typing as npt

from runtime.vectors import Vector
from vectorstore.index.base import Ids, VectorIndex, Vectors

SAMPLE_SIZE: Final = 4096
# Deletions may thin the sample to this share before it is drawn again.
_LEAST_SHARE: Final = 0.75

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
    size m it holds the m lowest hashes of all living faces. Guarded by the gallery's lock.
    """

    def __init__(self, dimension: int) -> None:
        self._ids: Ids = np.empty(0, np.int64)
        self._hashes: Hashes = np.empty(0, np.uint64)
        self._vectors: Vectors = np.empty((0, dimension), np.float32)
        self._live_count = 0

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Takes note of new faces."""
        hashes = hash_ids(ids)
        if len(self._ids) < self._live_count:
            # What hashes above the sample's highest may have lower ones outside the sample: it must stay outside too.
            fits = hashes < (self._hashes.max() if len(self._hashes) else 0)
            ids, hashes, vectors = ids[fits], hashes[fits], vectors[fits]
            self._live_count += len(fits)
        else:
            self._live_count += len(ids)
        if not len(ids):
            return
        self._ids = np.concatenate([self._ids, ids])
        self._hashes = np.concatenate([self._hashes, hashes])
        self._vectors = np.concatenate([self._vectors, vectors])
        if len(self._ids) > SAMPLE_SIZE:
            self._keep(np.argpartition(self._hashes, SAMPLE_SIZE - 1)[:SAMPLE_SIZE])

    def remove(self, ids: Ids, removed_count: int, index: VectorIndex) -> None:
        """Forgets faces, of which the index, already without them, held ``removed_count``."""
        self._live_count -= removed_count
        gone = np.isin(self._ids, ids)
        if gone.any():
            self._keep(np.flatnonzero(~gone))
        if len(self._ids) < _LEAST_SHARE * min(SAMPLE_SIZE, self._live_count):
            self.draw(index)

    def draw(self, index: VectorIndex) -> None:
        """Draws the sample anew from the whole index."""
        ids = index.live_ids()
        self._live_count = len(ids)
        hashes = hash_ids(ids)
        if len(ids) > SAMPLE_SIZE:
            lowest = np.argpartition(hashes, SAMPLE_SIZE - 1)[:SAMPLE_SIZE]
            ids, hashes = ids[lowest], hashes[lowest]
        self._ids, self._hashes, self._vectors = ids, hashes, index.reconstruct(ids)

    def sorted_cosines(self, query: Vector) -> Vector:
        """Returns the query's cosines to every face of the sample, ascending."""
        cosines: Vector = np.sort(self._vectors @ query)
        return cosines

    def _keep(self, places: npt.NDArray[np.intp]) -> None:
        self._ids, self._hashes, self._vectors = self._ids[places], self._hashes[places], self._vectors[places]
