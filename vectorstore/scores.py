"""What a cosine means: a percentage for people, and the share of the gallery that is less alike."""

import math

import numpy as np

from runtime.vectors import Vector
from vectorstore.records import Calibration

# Cosines of one pair from a matrix product and from a row-by-row scan differ in the last bits.
_SAME_COSINE = 1e-6


def clip_cosine(cosine: float) -> float:
    """Returns the cosine within -1 to 1, which rounding may leave by a little."""
    return min(1.0, max(-1.0, cosine))


def percent_of(cosine: float, calibration: Calibration) -> float:
    """Returns 100 / (1 + exp(−slope × (cosine − midpoint))): 0 to 100, rising with the cosine."""
    exponent = -calibration.percent_slope * (cosine - calibration.percent_midpoint)
    # exp overflows from 710 on; the percentage has long been 0 there.
    return 100.0 / (1.0 + math.exp(min(exponent, 700.0)))


def percentile_of(cosine: float, sorted_sample_cosines: Vector) -> float:
    """Returns the share, 0 to 1, of the sample that is less alike than the cosine."""
    if not len(sorted_sample_cosines):
        return 0.0
    below = np.searchsorted(sorted_sample_cosines, np.float32(cosine - _SAME_COSINE), side="left")
    return float(below) / len(sorted_sample_cosines)
