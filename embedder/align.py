"""align: from five landmarks to the upright 112 × 112 crop that recognizers are trained on."""

from typing import Final

import numpy as np
import numpy.typing as npt

from embedder.faces import Floats, Pixels
from runtime.images.opencv import cv2

CROP_SIZE: Final = 112  # Pixels, both sides.

ARCFACE_TEMPLATE: Final[Floats] = np.array(  # InsightFace arcface_dst, 112 × 112.
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float32
)

_MAX_WARP_SIDE: Final = 32_000
"""OpenCV's warp counts source pixels in 16 bits; a longer image is narrowed to the face's surroundings first."""


def estimate_similarity(source: Floats, target: Floats) -> npt.NDArray[np.float64]:
    """Finds the rotation, uniform scale and shift that bring source nearest to target, in least squares.

    source, target (n, 2) px. Returns (2, 3) float64: target ≈ matrix[:, :2] @ source + matrix[:, 2]. Raises ValueError
    when all source points are one. Umeyama 1991, eq. 34–43.
    """
    x, y = source.astype(np.float64), target.astype(np.float64)
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    centered_x, centered_y = x - mean_x, y - mean_y
    variance = (centered_x**2).sum() / len(x)
    if variance < 1e-12:
        raise ValueError("all landmarks are at one point")
    covariance = centered_y.T @ centered_x / len(x)
    left, singular, right = np.linalg.svd(covariance)
    signs = np.array([1.0, -1.0 if np.linalg.det(left) * np.linalg.det(right) < 0 else 1.0])
    rotation = left @ np.diag(signs) @ right
    scale = (singular * signs).sum() / variance
    linear = scale * rotation
    return np.column_stack([linear, mean_y - linear @ mean_x])


def align(image: Pixels, landmarks: Floats) -> Pixels:
    """Warps one face to the ArcFace template, from the original pixels in one step.

    image (H, W, 3) uint8 BGR; landmarks (5, 2) float32 px. Returns (112, 112, 3) uint8, black where the photo ends.
    """
    return warp(image, estimate_similarity(landmarks, ARCFACE_TEMPLATE), CROP_SIZE)


def warp(image: Pixels, matrix: npt.NDArray[np.float64], side: int) -> Pixels:
    """Brings an image to (side, side, 3), each point p to matrix[:, :2] @ p + matrix[:, 2]; black outside of it."""
    if max(image.shape[:2]) > _MAX_WARP_SIDE:
        image, matrix = _narrowed(image, matrix, side)
    return cv2.warpAffine(image, matrix, (side, side), borderValue=0.0)  # type: ignore[return-value]


def _narrowed(image: Pixels, matrix: npt.NDArray[np.float64], side: int) -> tuple[Pixels, npt.NDArray[np.float64]]:
    """Cuts out what the warp will read, with a pixel to spare, and moves the matrix along."""
    corners = np.array([[0, 0], [side, 0], [0, side], [side, side]], np.float64)
    sources = (corners - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    height, width = image.shape[:2]
    left, top = np.clip(np.floor(sources.min(axis=0)) - 2, 0, [width - 1, height - 1]).astype(int)
    right, bottom = np.clip(np.ceil(sources.max(axis=0)) + 3, [left + 1, top + 1], [width, height]).astype(int)
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ np.array([left, top], np.float64)
    return image[top:bottom, left:right], moved
