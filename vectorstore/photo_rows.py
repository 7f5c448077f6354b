"""Which row of a catalog holds which photo, for many photos at once."""

import secrets
from typing import Final

import numpy as np
import numpy.typing as npt

from vectorstore.catalog_state import Codes
from vectorstore.sample import Hashes, hash_ids

Uuids = npt.NDArray[np.uint8]

_MISSING: Final = -1


class PhotoRows:
    """Rows by UUID: sorted hashes under a key of its own, since callers choose UUIDs and must not make them collide."""

    def __init__(self, uuids: Uuids) -> None:
        """Takes the UUIDs (m, 16) of rows 0, 1, 2, ...; all are different."""
        self._uuids = np.ascontiguousarray(uuids).view(np.int64)
        while True:
            self._key = np.int64(secrets.randbits(63))
            hashes = self._hash(self._uuids)
            self._order = hashes.argsort()
            self._hashes = hashes[self._order]
            if not (self._hashes[1:] == self._hashes[:-1]).any():
                return

    def find(self, uuids: Uuids) -> Codes:
        """Returns the row of each of the UUIDs (n, 16), -1 for one that is not there."""
        if not len(self._hashes):
            return np.full(len(uuids), _MISSING, np.int32)
        wanted = np.ascontiguousarray(uuids).view(np.int64)
        places = self._hashes.searchsorted(self._hash(wanted)).clip(max=len(self._hashes) - 1)
        rows = self._order[places]
        return np.where((self._uuids[rows] == wanted).all(axis=1), rows, _MISSING).astype(np.int32)

    def _hash(self, halves: npt.NDArray[np.int64]) -> Hashes:
        """Returns 64 bits for each UUID, given as two halves (n, 2)."""
        return hash_ids(hash_ids(halves[:, 0] ^ self._key).view(np.int64) ^ halves[:, 1])
