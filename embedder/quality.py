"""quality: how usable a face is for comparison, and why not."""

import math
from typing import Final

import numpy as np

from embedder.faces import Box, Floats, Pixels, Quality, QualityIssue
from runtime.images.opencv import cv2

MIN_SIZE_PIXELS: Final = 40.0
MIN_SHARPNESS: Final = 0.25
MIN_BRIGHTNESS: Final = 0.15
MAX_BRIGHTNESS: Final = 0.88
MAX_YAW_DEGREES: Final = 40.0
MIN_DETECTION_SCORE: Final = 0.6

_HALF_SHARP_VARIANCE: Final = 100.0
"""Laplacian variance, grey levels squared, that counts as half sharp: the customary border of "blurred"."""

_NOSE_DEPTH: Final = 0.5
"""How far the tip of the nose stands out of the plane of the eyes, in distances between the eyes: about 32 of 63 mm."""

_FULL_SIZE_PIXELS: Final = 112.0  # The recognizer's own input; more pixels of face add nothing.


def judge(crop: Pixels, box: Box, landmarks: Floats, detection_score: float) -> Quality:
    """Judges one face. crop (112, 112, 3) uint8 BGR, aligned; box and landmarks (5, 2) px of the upright image."""
    luminance = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    variance = float(cv2.Laplacian(luminance, cv2.CV_64F).var())
    sharpness = variance / (variance + _HALF_SHARP_VARIANCE)
    brightness = float(luminance.mean()) / 255.0
    yaw_degrees, roll_degrees = estimate_pose(landmarks)
    size_pixels = box.shorter_side
    checks = (
        (size_pixels < MIN_SIZE_PIXELS, QualityIssue.TOO_SMALL),
        (sharpness < MIN_SHARPNESS, QualityIssue.BLURRED),
        (brightness < MIN_BRIGHTNESS, QualityIssue.TOO_DARK),
        (brightness > MAX_BRIGHTNESS, QualityIssue.TOO_BRIGHT),
        (abs(yaw_degrees) > MAX_YAW_DEGREES, QualityIssue.TURNED_AWAY),
        (detection_score < MIN_DETECTION_SCORE, QualityIssue.LOW_CONFIDENCE),
    )
    parts = (
        min(size_pixels / _FULL_SIZE_PIXELS, 1.0),
        sharpness,
        _exposure(brightness),
        max(math.cos(math.radians(yaw_degrees)), 0.0),
        detection_score,
    )
    return Quality(
        # A geometric mean: one part that fails pulls the whole down, as it does the comparison.
        score=math.prod(parts) ** (1.0 / len(parts)),
        sharpness=sharpness,
        brightness=brightness,
        yaw_degrees=yaw_degrees,
        roll_degrees=roll_degrees,
        size_pixels=size_pixels,
        issues=tuple(issue for failed, issue in checks if failed),
    )


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
