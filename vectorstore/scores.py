"""What a cosine means: a percentage for people, and the share of the gallery that is less alike."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from runtime.vectors import Vector
from vectorstore.records import Calibration

# Cosines of one pair that were computed in two ways differ in the last bits; from 16-bit values, by this much.
_SAME_COSINE = 1e-6
_SAME_SAMPLED_COSINE = 5e-5


def clip_cosine(cosine: float) -> float:
    """Returns the cosine within -1 to 1, which rounding may leave by a little."""
    return min(1.0, max(-1.0, cosine))


def percent_of(cosine: float, calibration: Calibration) -> float:
    """Returns 100 / (1 + exp(−slope × (cosine − midpoint))): 0 to 100, rising with the cosine."""
    exponent = -calibration.percent_slope * (cosine - calibration.percent_midpoint)
    # exp overflows from 710 on; the percentage has long been 0 there.
    return 100.0 / (1.0 + math.exp(min(exponent, 700.0)))


class Percentiles:
    """The share of the gallery that is less alike to one query than a cosine is.

    Counted exactly for whatever is among the neighbours that a search of the whole gallery has found; for the others,
    which a confined search may bring, in a sample, whose cosines are computed when the first is asked for.
    """

    def __init__(self, nearest_cosines: Vector, face_count: int, sample_cosines: Callable[[], Vector]) -> None:
        """nearest_cosines: of the whole gallery, descending; none when the search was confined."""
        self._nearest = nearest_cosines
        self._face_count = face_count
        self._sample_cosines = sample_cosines
        self._sample: Vector | None = None

    def of_all(self, cosines: Sequence[float]) -> list[float]:
        """Returns the share, 0 to 1, for each of the cosines."""
        wanted = np.array(cosines, dtype=np.float32)
        near = self._nearest
        if not len(near) or not len(wanted):
            return _floats(self._sampled(wanted))
        as_alike = np.searchsorted(-near, np.float32(_SAME_COSINE) - wanted, side="right")
        shares = np.maximum(0.0, 1.0 - as_alike / max(1, self._face_count))
        if len(near) < self._face_count:
            beyond = wanted < near[-1]
            if beyond.any():
                shares[beyond] = self._sampled(wanted[beyond])
        return _floats(shares)

    def _sampled(self, cosines: Vector) -> npt.NDArray[np.float64]:
        if not len(cosines):
            return np.empty(0)
        if self._sample is None:
            self._sample = self._sample_cosines()
        below = np.searchsorted(self._sample, cosines - np.float32(_SAME_SAMPLED_COSINE), side="left")
        return below / max(1, len(self._sample))


def _floats(values: npt.NDArray[np.float64]) -> list[float]:
    floats: list[float] = values.tolist()
    return floats
