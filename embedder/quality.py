"""quality: how usable a face is for comparison, and why not."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from embedder.faces import Box, Floats, Pixels, Quality, QualityIssue
from runtime.images.opencv import cv2


@dataclass(frozen=True, slots=True)
class QualityLimits:
    """What a face must reach; one that is exactly at a limit passes.

    There is none for roll, since alignment undoes it: rolled by 45 degrees, a face keeps a median cosine of 0.90 to its
    upright self. What it loses lying on its side, it loses to landmarks that were badly found.
    """

    min_size_pixels: float
    min_sharpness: float
    min_brightness: float
    max_brightness: float
    max_yaw_degrees: float
    min_detection_score: float


ADVICE: Final = QualityLimits(
    min_size_pixels=40.0,
    min_sharpness=0.25,
    min_brightness=0.15,
    max_brightness=0.88,
    max_yaw_degrees=40.0,
    min_detection_score=0.6,
)
"""Where a better photo would find a better twin. A face below these is searched all the same."""

STRICT: Final = QualityLimits(
    min_size_pixels=20.0,
    min_sharpness=0.05,
    min_brightness=0.05,
    max_brightness=0.94,
    max_yaw_degrees=60.0,
    min_detection_score=0.55,
)
"""Where a vector stops telling who it is of: a face below these is not enrolled.

Measured with the starter pack on 85 faces of 70 px or more, from 31 photographs: the median cosine of a spoiled face to
its unspoiled self, and the share of the faces for which it falls under 0.5.

    size, px                12: 0.35, 82 %     16: 0.56, 39 %     20: 0.71, 9 %      24: 0.81, 0 %
    blur, % of the side     2: 0.88, 0 %       3: 0.69, 7 %       4: 0.45, 65 %      5: 0.29, 98 %
      sharpness                0.17               0.10               0.07               0.05
    share of the light      0.3: 0.92, 0 %     0.2: 0.85, 0 %     0.1: 0.58, 27 %    0.05: 0.17, 98 %
      brightness                 0.15               0.10               0.05                0.025
    share of a white veil   0.5: 0.95, 0 %     0.7: 0.88, 0 %     0.8: 0.79, 1 %     0.9: 0.40, 73 %
      brightness                 0.75               0.85               0.90               0.95
    JPEG quality            30: 0.98, 0 %      10: 0.88, 0 %      5: 0.71, 6 %       (no figure tells it)
    estimated yaw           30-40: 0.69, 25 %  40-50: 0.61, 28 %  50-60: 0.50, 50 %  60-70: 0.43, 89 %
    detection score         0.50-0.55: 0.16, 93 %, whatever spoiled the face

The heads were turned as ellipsoids with a nose, 30 of them. Sharpness has the mildest limit, because contrast moves it
too: of the faces in a fifth of the light, one in six is below it. All 29 faces of the Solvay photograph are far above.
"""

_HALF_SHARP_VARIANCE: Final = 100.0
"""Laplacian variance, grey levels squared, that counts as half sharp: the customary border of "blurred"."""

_NOSE_DEPTH: Final = 0.5
"""How far the tip of the nose stands out of the plane of the eyes, in distances between the eyes: about 32 of 63 mm."""

_FULL_SIZE_PIXELS: Final = 112.0  # The recognizer's own input; more pixels of face add nothing.


def judge(crop: Pixels, box: Box, landmarks: Floats, detection_score: float, limits: QualityLimits = ADVICE) -> Quality:
    """Judges one face. crop (112, 112, 3) uint8 BGR, aligned; box and landmarks (5, 2) px of the upright image."""
    luminance = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    variance = float(cv2.Laplacian(luminance, cv2.CV_64F).var())
    sharpness = variance / (variance + _HALF_SHARP_VARIANCE)
    brightness = float(luminance.mean()) / 255.0
    yaw_degrees, roll_degrees = estimate_pose(landmarks)
    parts = (
        min(box.shorter_side / _FULL_SIZE_PIXELS, 1.0),
        sharpness,
        _exposure(brightness),
        max(math.cos(math.radians(yaw_degrees)), 0.0),
        detection_score,
    )
    quality = Quality(
        detection_score=detection_score,
        # A geometric mean: one part that fails pulls the whole down, as it does the comparison.
        score=math.prod(parts) ** (1.0 / len(parts)),
        sharpness=sharpness,
        brightness=brightness,
        yaw_degrees=yaw_degrees,
        roll_degrees=roll_degrees,
        size_pixels=box.shorter_side,
        issues=(),
    )
    return replace(quality, issues=issues_of(quality, limits))


def issues_of(quality: Quality, limits: QualityLimits) -> tuple[QualityIssue, ...]:
    """Returns every limit that a face fails."""
    return tuple(issue for issue, _ in _failures(quality, limits))


def shortcomings_of(quality: Quality, limits: QualityLimits) -> tuple[str, ...]:
    """Returns the same in words, each with what was measured and what is needed."""
    return tuple(words for _, words in _failures(quality, limits))


def _failures(quality: Quality, limits: QualityLimits) -> Iterator[tuple[QualityIssue, str]]:
    """Yields each failed check; a measure is rounded away from its limit, so that it never reads as if it met it."""
    if quality.size_pixels < limits.min_size_pixels:
        needed = f"at least {limits.min_size_pixels:g} px are needed"
        yield QualityIssue.TOO_SMALL, f"it is {_floor(quality.size_pixels, 1)} px across, and {needed}"
    if quality.sharpness < limits.min_sharpness:
        needed = f"at least {limits.min_sharpness:g} is needed"
        yield QualityIssue.BLURRED, f"it is blurred, with a sharpness of {_floor(quality.sharpness, 3)}, and {needed}"
    if quality.brightness < limits.min_brightness:
        needed = f"at least {limits.min_brightness:g} is needed"
        yield QualityIssue.TOO_DARK, f"it is dark, with a brightness of {_floor(quality.brightness, 3)}, and {needed}"
    if quality.brightness > limits.max_brightness:
        allowed = f"at most {limits.max_brightness:g} is allowed"
        yield (
            QualityIssue.TOO_BRIGHT,
            f"it is bright, with a brightness of {_ceil(quality.brightness, 3)}, and {allowed}",
        )
    if abs(quality.yaw_degrees) > limits.max_yaw_degrees:
        allowed = f"at most {limits.max_yaw_degrees:g} are allowed"
        yield QualityIssue.TURNED_AWAY, f"it is turned {_ceil(abs(quality.yaw_degrees), 0)} degrees away, and {allowed}"
    if quality.detection_score < limits.min_detection_score:
        needed = f"at least {limits.min_detection_score:g} is needed"
        score = _floor(quality.detection_score, 3)
        yield QualityIssue.LOW_CONFIDENCE, f"it is a face with a confidence of {score}, and {needed}"


def estimate_pose(landmarks: Floats) -> tuple[float, float]:
    """Estimates yaw (positive to the viewer's right) and roll (clockwise positive), degrees. landmarks (5, 2) px.

    Yaw from how far the nose has left the middle between the eyes: turned by a, the eyes' distance shrinks with cos a
    while the nose moves with sin a.
    """
    left_eye, right_eye, nose = landmarks[:3].astype(np.float64)
    across = right_eye - left_eye
    distance = float(np.hypot(*across))
    if distance < 1e-6:
        return 90.0, 0.0
    along_eyes = float((nose - (left_eye + right_eye) / 2) @ across) / distance**2
    yaw_degrees = math.degrees(math.atan(along_eyes / _NOSE_DEPTH))
    return yaw_degrees, math.degrees(math.atan2(float(across[1]), float(across[0])))


def _exposure(brightness: float) -> float:
    """Returns 1 between a third and two thirds of full luminance, falling in a straight line to 0 at both ends."""
    return min(3.0 * brightness, 1.0, 3.0 * (1.0 - brightness))


def _floor(value: float, digits: int) -> str:
    return f"{math.floor(value * 10**digits) / 10**digits:g}"


def _ceil(value: float, digits: int) -> str:
    return f"{math.ceil(value * 10**digits) / 10**digits:g}"
