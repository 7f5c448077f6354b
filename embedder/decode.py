"""decode: bytes to upright pixels. Every limit is checked on the header, before a pixel is unpacked."""

from dataclasses import dataclass

import numpy as np

from embedder.exif import apply_orientation
from embedder.faces import Pixels
from embedder.headers import ImageHeader, read_header
from embedder.opencv import cv2
from runtime.errors import ImageTooLarge, UnreadableImage


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


def _to_bgr8(stored: "np.ndarray[tuple[int, ...], np.dtype[np.generic]]") -> Pixels:
    """Brings 8 or 16 bits, one to four channels, to (H, W, 3) uint8 BGR; alpha is laid on white."""
    if stored.dtype == np.uint16:
        stored = (stored // 257).astype(np.uint8)
    pixels: Pixels = stored.astype(np.uint8, copy=False)
    if pixels.ndim == 2:
        return np.repeat(pixels[:, :, None], 3, axis=2)
    if pixels.shape[2] == 2:
        pixels = pixels[:, :, [0, 0, 0, 1]]
    if pixels.shape[2] == 3:
        return pixels
    opacity = pixels[:, :, 3:].astype(np.uint16)
    colors = pixels[:, :, :3].astype(np.uint16)
    flattened = (colors * opacity + 255 * (255 - opacity) + 127) // 255
    return flattened.astype(np.uint8)


def _undecodable(header: ImageHeader) -> UnreadableImage:
    return UnreadableImage(f"the {header.kind.upper()} cannot be decoded", detected_type=header.kind)
