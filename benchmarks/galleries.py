"""Made-up galleries that are as hard to search as faces are.

Five photos of each identity, whose vectors have a cosine of 0.66 to one another on average. Two distributions, between
which real faces lie: ``iso`` draws identities evenly from the sphere (cosines of strangers spread by 0.044), ``aniso``
with a variance that falls from axis to axis (0.085), in a random rotation, since a network's coordinates are no
principal axes. What is drawn depends on the seed, the distribution and the count alone.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float32]
Distribution = Literal["iso", "aniso"]

DIMENSION: Final = 512
PHOTOS_EACH: Final = 5
WITHIN_IDENTITY: Final = 0.66
# Variance of axis i is i to the power of minus this. Chosen for a spread of 0.085 between strangers.
_DECAY: Final = {"iso": 0.0, "aniso": 0.696}
# Identities that are drawn at once: 40 MiB of photos.
_PIECE: Final = 4096
# Names of the streams of random numbers; every piece has one of its own, so that any of them can be drawn alone.
_ROTATION, _ORDER, _CENTRES, _PHOTOS, _PROBES, _STRANGERS = range(6)


@dataclass(frozen=True, slots=True)
class MadeUpGallery:
    """Which gallery: everything else follows from these."""

    face_count: int
    distribution: Distribution
    seed: int = 1

    @property
    def identity_count(self) -> int:
        """Identities; the last one may have fewer than five photos."""
        return -(-self.face_count // PHOTOS_EACH)

    def fill(self, out: Rows) -> None:
        """Writes the gallery, unit vectors in random order, to out (face_count, 512) float32, piece by piece."""
        order = self._stream(_ORDER).permutation(self.face_count)
        spread = self._spread()
        for piece, start in enumerate(range(0, self.identity_count, _PIECE)):
            centres = self._centres(piece, spread)
            photos = _photos_of(np.repeat(centres, PHOTOS_EACH, axis=0), self._stream(_PHOTOS, piece), spread)
            rows = order[start * PHOTOS_EACH : start * PHOTOS_EACH + len(photos)]
            out[rows] = photos[: len(rows)]

    def seen(self, count: int) -> Rows:
        """Returns new photos (count, 512) of identities in the gallery, spread over all of it."""
        spread = self._spread()
        identities = np.linspace(0, self.identity_count - 1, count).astype(np.int64)
        centres = np.empty((count, DIMENSION), np.float32)
        for piece in np.unique(identities // _PIECE):
            wanted = identities // _PIECE == piece
            centres[wanted] = self._centres(int(piece), spread)[identities[wanted] % _PIECE]
        return _photos_of(centres, self._stream(_PROBES), spread)

    def unseen(self, count: int) -> Rows:
        """Returns photos (count, 512) of identities that the gallery does not have."""
        spread, stream = self._spread(), self._stream(_STRANGERS)
        return _photos_of(_directions(count, stream, spread), stream, spread)

    def _centres(self, piece: int, spread: Rows | None) -> Rows:
        count = min(_PIECE, self.identity_count - piece * _PIECE)
        return _directions(count, self._stream(_CENTRES, piece), spread)

    def _spread(self) -> Rows | None:
        """Returns what even draws are multiplied with, None for nothing: (512, 512), the rotation included."""
        decay = _DECAY[self.distribution]
        if decay == 0:
            return None
        drawn = self._stream(_ROTATION).standard_normal((DIMENSION, DIMENSION))
        rotation = np.linalg.qr(drawn).Q
        deviations = np.arange(1, DIMENSION + 1) ** (-decay / 2)
        return (deviations[:, None] * rotation).astype(np.float32)

    def _stream(self, *name: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, *name])


def _photos_of(centres: Rows, stream: np.random.Generator, spread: Rows | None) -> Rows:
    """Returns one photo (n, 512) of each identity, around its unit vector."""
    deviations = _directions(len(centres), stream, spread)
    return _unit(np.sqrt(WITHIN_IDENTITY) * centres + np.sqrt(1 - WITHIN_IDENTITY) * deviations)


def _directions(count: int, stream: np.random.Generator, spread: Rows | None) -> Rows:
    drawn = stream.standard_normal((count, DIMENSION), dtype=np.float32)
    return _unit(drawn if spread is None else drawn @ spread)


def _unit(rows: Rows) -> Rows:
    rows = rows.astype(np.float32, copy=False)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows
