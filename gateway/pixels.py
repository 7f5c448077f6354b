"""Pictures rebuilt from pixels: upright, and without anything that a file may carry besides.

What is kept of an upload: a PNG stays a PNG, losslessly, unless that takes more room than max_png_bytes; everything
else becomes a JPEG of quality 95 without chroma subsampling. It is decoded as the embedder decodes it, so that both
mean the same pixels. No EXIF, GPS, comment or colour profile survives, because only the pixels are handed on.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from runtime.errors import UnreadableImage
from runtime.images.decode import ImageLimits, decode
from runtime.images.headers import detect_type
from runtime.images.opencv import cv2
from runtime.images.pixels import Pixels

KEPT_JPEG_QUALITY: Final = 95
SHOWN_JPEG_QUALITY: Final = 85
# Room around a face's box, as a multiple of its longer side: hair, chin and a little air.
_FACE_MARGIN: Final = 1.7
# Where the eyes sit in a crop, as a share of its height from the top. The page draws the face that was searched for
# with the same two numbers (web/src/photo/alignment.ts), so that the eyes of both are on one level.
_EYE_HEIGHT: Final = 0.42


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded picture. suffix is "jpg" or "png"; width and height are pixels."""

    data: bytes
    suffix: str
    width: int
    height: int


def content_type_of(data: bytes) -> str:
    """Returns the media type of a picture that this module made."""
    return "image/png" if data.startswith(b"\x89PNG") else "image/jpeg"


def rebuild(data: bytes, limits: ImageLimits, max_png_bytes: int) -> Picture:
    """Returns what is kept of an upload; see the module. Raises UnreadableImage or ImageTooLarge."""
    image = decode(data, limits)
    height, width = image.shape[:2]
    if detect_type(data) == "png":
        encoded = _encode(".png", image, [])
        if len(encoded) <= max_png_bytes:
            return Picture(encoded, "png", width, height)
    sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    encoded = _encode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, KEPT_JPEG_QUALITY, *sampling])
    return Picture(encoded, "jpg", width, height)


def shrink(image: Pixels, longest_px: int) -> bytes:
    """Returns a JPEG of the picture, its longer side at most longest_px; never enlarged. image (H, W, 3) uint8 BGR."""
    height, width = image.shape[:2]
    scale = longest_px / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return _shown(image)


def crop_face(
    image: Pixels,
    box: tuple[float, float, float, float],
    eyes: tuple[tuple[float, float], tuple[float, float]] | None,
    side_px: int,
) -> bytes:
    """Returns a square JPEG of one face with room around it, turned so that its eyes are level.

    The face's centre is in the middle of the crop's width, and its eyes at _EYE_HEIGHT; without eyes, its centre is in
    the middle.
    image (H, W, 3) uint8 BGR; box (left, top, width, height) and eyes ((x, y), (x, y)) in its pixels. At most side_px a
    side, and never enlarged by more than two. Beyond the photo's edge the edge is repeated.
    """
    left, top, width, height = box
    side = max(1.0, max(width, height) * _FACE_MARGIN)
    centre_x, centre_y = left + width / 2, top + height / 2
    angle = 0.0
    if eyes is not None:
        (left_x, left_y), (right_x, right_y) = eyes
        angle = math.atan2(right_y - left_y, right_x - left_x)
    # A rotated square needs its diagonal of pixels around it, and a little for the eyes' way to their height.
    reach = side * 0.9 + 2
    rows, columns = image.shape[:2]
    x0, x1 = (int(min(max(edge, 0), columns)) for edge in (centre_x - reach, centre_x + reach + 1))
    y0, y1 = (int(min(max(edge, 0), rows)) for edge in (centre_y - reach, centre_y + reach + 1))
    if x1 <= x0 or y1 <= y0:
        return shrink(image, side_px)  # The box lies outside: the whole photo is the honest answer.
    part = image[y0:y1, x0:x1]
    target = int(min(side_px, max(16, 2 * side)))
    scale = target / side
    if scale < 0.5:
        # A warp samples four pixels only, so most of the shrinking is done before it, by area.
        by = 2 * scale
        size = (max(1, round(part.shape[1] * by)), max(1, round(part.shape[0] * by)))
        factor_x, factor_y = size[0] / part.shape[1], size[1] / part.shape[0]
        part = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
    else:
        factor_x = factor_y = 1.0
    cosine, sine = math.cos(angle) * scale, math.sin(angle) * scale
    # From the photo's pixels to the crop's: turn by -angle about the face's centre, scale, and move it to the middle.
    turn = np.array([[cosine, sine], [-sine, cosine]])
    turn = turn @ np.diag([1 / factor_x, 1 / factor_y])
    centre = np.array([(centre_x - x0) * factor_x, (centre_y - y0) * factor_y])
    shift = np.array([target / 2, target / 2]) - turn @ centre
    if eyes is not None:
        (left_x, left_y), (right_x, right_y) = eyes
        between = np.array([((left_x + right_x) / 2 - x0) * factor_x, ((left_y + right_y) / 2 - y0) * factor_y])
        shift[1] = _EYE_HEIGHT * target - (turn @ between)[1]
    warp = np.hstack([turn, shift[:, None]])
    crop = cv2.warpAffine(part, warp, (target, target), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return _shown(np.asarray(crop, np.uint8))


def _shown(image: Pixels) -> bytes:
    return _encode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, SHOWN_JPEG_QUALITY, cv2.IMWRITE_JPEG_PROGRESSIVE, 1])


def _encode(suffix: str, image: Pixels, options: list[int]) -> bytes:
    done, encoded = cv2.imencode(suffix, image, options)
    if not done:
        raise UnreadableImage("the image cannot be encoded anew")
    return encoded.tobytes()
