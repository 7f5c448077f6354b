"""decode: bytes to upright pixels. Every limit is checked on the header, before a pixel is unpacked."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from runtime.errors import ImageTooLarge, UnreadableImage
from runtime.images.exif import apply_orientation
from runtime.images.headers import ImageHeader, read_header
from runtime.images.opencv import cv2
from runtime.images.pixels import Pixels

Stored = npt.NDArray[Any]
"""(H, W) or (H, W, channels), uint8 or uint16, as OpenCV decodes it."""

_BAND_ROWS: Final = 128


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """The most that is read of one image."""

    max_bytes: int
    max_pixels: int

    def check_size(self, width: int, height: int) -> None:
        """Raises ImageTooLarge when the image has too many pixels."""
        if width * height > self.max_pixels:
            raise ImageTooLarge(limit=self.max_pixels, actual=width * height, unit="pixels")


def decode(data: bytes, limits: ImageLimits) -> Pixels:
    """Decodes a JPEG, PNG or WebP. Returns (H, W, 3) uint8 BGR, upright by EXIF, transparency laid on white.

    Raises ImageTooLarge, and UnreadableImage with the type that was detected.
    """
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(limit=limits.max_bytes, actual=len(data), unit="bytes")
    header = read_header(data, limits.check_size)
    # OpenCV applies EXIF orientation to some formats and not to others; this project applies it itself, to all.
    keep_alpha = cv2.IMREAD_UNCHANGED if header.has_alpha else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        stored = cv2.imdecode(np.frombuffer(data, np.uint8), keep_alpha)
    except cv2.error as error:
        raise _undecodable(header) from error
    if stored is None or stored.shape[:2] != (header.height, header.width):
        raise _undecodable(header)
    return np.ascontiguousarray(apply_orientation(_to_bgr8(stored), header.orientation))


def _to_bgr8(stored: Stored) -> Pixels:
    """Brings 8 or 16 bits, one to four channels, to (H, W, 3) uint8 BGR; alpha is laid on white."""
    if stored.dtype == np.uint8 and stored.ndim == 3 and stored.shape[2] == 3:
        return stored.astype(np.uint8, copy=False)
    pixels = np.empty((*stored.shape[:2], 3), np.uint8)
    # In bands: the intermediate numbers of a whole photo would take several times its own memory.
    for top in range(0, stored.shape[0], _BAND_ROWS):
        pixels[top : top + _BAND_ROWS] = _flattened(stored[top : top + _BAND_ROWS])
    return pixels


def _flattened(band: Stored) -> Pixels:
    """Does the work of _to_bgr8 for a few rows."""
    if band.dtype == np.uint16:
        band = band >> 8  # As OpenCV itself brings 16 bits to 8.
    channels = band.astype(np.uint8, copy=False).reshape(*band.shape[:2], -1)
    colors = np.ascontiguousarray(channels[:, :, [0, 0, 0]] if channels.shape[2] < 3 else channels[:, :, :3])
    if channels.shape[2] in (1, 3):
        return colors
    opacity = np.repeat(channels[:, :, -1:], 3, axis=2)
    on_white = cv2.add(cv2.multiply(colors, opacity, scale=1 / 255), 255 - opacity)
    return np.asarray(on_white, np.uint8)


def _undecodable(header: ImageHeader) -> UnreadableImage:
    return UnreadableImage(f"the {header.kind.upper()} cannot be decoded", detected_type=header.kind)
