"""decode: bytes to upright pixels. Every limit is checked on the header, before a pixel is unpacked."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import simplejpeg

from runtime.errors import ImageTooLarge, UnreadableImage
from runtime.images.exif import apply_orientation
from runtime.images.headers import ImageHeader, read_header
from runtime.images.opencv import cv2
from runtime.images.pixels import Pixels
from runtime.images.png_header import pixels_only

Stored = npt.NDArray[Any]
"""(H, W) or (H, W, channels), uint8 or uint16, as the decoder gives it."""

DEFAULT_MAX_DECODED_BYTES: Final = 250_000_000

_BAND_ROWS: Final = 128
_REDUCED: Final = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """The most that is read of one image: its file, its pixels, and what a decoder needs to hold of them at once."""

    max_bytes: int
    max_pixels: int
    max_decoded_bytes: int = DEFAULT_MAX_DECODED_BYTES

    def check_size(self, width: int, height: int) -> None:
        """Raises ImageTooLarge when the image has too many pixels."""
        if width * height > self.max_pixels:
            raise ImageTooLarge(limit=self.max_pixels, actual=width * height, unit="pixels")


def decode(data: bytes, limits: ImageLimits) -> Pixels:
    """Decodes a JPEG, PNG or WebP. Returns (H, W, 3) uint8 BGR, upright by EXIF, transparency laid on white.

    Raises ImageTooLarge, and UnreadableImage with the type that was detected.
    """
    return decode_whole(data, check_header(data, limits))


def check_header(data: bytes, limits: ImageLimits) -> ImageHeader:
    """Reads the header of an image that is within the limits; unpacks nothing.

    Raises ImageTooLarge, and UnreadableImage with the type that was detected.
    """
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(limit=limits.max_bytes, actual=len(data), unit="bytes")
    header = read_header(data, limits.check_size)
    if header.decoded_bytes > limits.max_decoded_bytes:
        raise ImageTooLarge(
            limit=limits.max_decoded_bytes, actual=header.decoded_bytes, unit="bytes when it is unpacked"
        )
    return header


def decode_whole(data: bytes, header: ImageHeader) -> Pixels:
    """Decodes every pixel of an image whose header was checked. Returns (H, W, 3) uint8 BGR, upright.

    Raises UnreadableImage.
    """
    stored = _decode_jpeg(data) if header.kind == "jpeg" and header.components != 4 else None
    if stored is None:
        stored = _decode_with_opencv(data, header, _color_flags(header))
    return _upright(_of_its_size(stored, header), header)


def decode_small(data: bytes, header: ImageHeader, long_side: int) -> Pixels:
    """Decodes an image made smaller by 2, 4 or 8, as far as its longer side stays at least long_side px.

    A JPEG is reduced while it is decoded, which takes a fraction of the time and memory; others are averaged
    afterwards. Returns (h, w, 3) uint8 BGR, upright; h and w are the whole sides divided, rounded up for a JPEG and
    down for others. Raises UnreadableImage.
    """
    factor = reduction_factor(header, long_side)
    if factor == 1:
        return decode_whole(data, header)
    if header.kind == "jpeg":
        reduced = _decode_with_opencv(data, header, _REDUCED[factor] | cv2.IMREAD_IGNORE_ORIENTATION)
        return _upright(reduced, header)
    stored = _of_its_size(_decode_with_opencv(data, header, _color_flags(header)), header)
    size = (header.width // factor, header.height // factor)
    return _upright(cv2.resize(stored, size, interpolation=cv2.INTER_AREA), header)


def reduction_factor(header: ImageHeader, long_side: int) -> int:
    """Returns 8, 4, 2 or 1: the most that leaves the longer side at least long_side px, and neither side empty."""
    longer, shorter = max(header.width, header.height), min(header.width, header.height)
    return next((factor for factor in (8, 4, 2) if longer >= factor * long_side and shorter >= factor), 1)


def _decode_jpeg(data: bytes) -> Stored | None:
    """Decodes with libjpeg-turbo directly, 1.4 times as fast as through OpenCV and bit by bit the same.

    Returns None for what it is stricter about than OpenCV.
    """
    try:
        stored: Stored = simplejpeg.decode_jpeg(data, colorspace="BGR")
    except ValueError:
        return None
    return stored


def _decode_with_opencv(data: bytes, header: ImageHeader, flags: int) -> Stored:
    if header.kind == "png":
        data = pixels_only(data)
    try:
        stored = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise _undecodable(header) from error
    if stored is None:
        raise _undecodable(header)
    return stored


def _color_flags(header: ImageHeader) -> int:
    """OpenCV applies EXIF orientation to some formats and not to others; this project applies it itself, to all."""
    return cv2.IMREAD_UNCHANGED if header.has_alpha else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION


def _of_its_size(stored: Stored, header: ImageHeader) -> Stored:
    if stored.shape[:2] != (header.height, header.width):
        raise _undecodable(header)
    return stored


def _upright(stored: Stored, header: ImageHeader) -> Pixels:
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
