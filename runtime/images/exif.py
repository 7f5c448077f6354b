"""The one EXIF tag that changes where pixels go: the orientation."""

import struct
from typing import Final

from runtime.images.opencv import cv2
from runtime.images.pixels import Pixels

UPRIGHT: Final = 1
_ORIENTATION_TAG: Final = 0x0112
_SHORT: Final = 3
_MAX_TAGS: Final = 512


def read_orientation(tiff: bytes) -> int:
    """Reads the orientation, 1 to 8, out of a TIFF-framed EXIF block; 1 where it is absent or makes no sense.

    Source: EXIF 2.32, section 4.6.4, tag 0x0112.
    """
    if tiff[:2] == b"II":
        order = "<"
    elif tiff[:2] == b"MM":
        order = ">"
    else:
        return UPRIGHT
    try:
        magic, offset = struct.unpack_from(order + "HI", tiff, 2)
        if magic != 42:
            return UPRIGHT
        (tag_count,) = struct.unpack_from(order + "H", tiff, offset)
        for position in range(min(tag_count, _MAX_TAGS)):
            tag, kind, count, value = struct.unpack_from(order + "HHIH", tiff, offset + 2 + 12 * position)
            if tag == _ORIENTATION_TAG:
                return int(value) if kind == _SHORT and count == 1 and 1 <= value <= 8 else UPRIGHT
    except struct.error:
        return UPRIGHT
    return UPRIGHT


def apply_orientation(image: Pixels, orientation: int) -> Pixels:
    """Turns stored pixels upright. image (H, W, 3) uint8; 5 to 8 swap the sides. Returns (H', W', 3) uint8."""
    match orientation:
        case 2:
            turned = cv2.flip(image, 1)
        case 3:
            turned = cv2.rotate(image, cv2.ROTATE_180)
        case 4:
            turned = cv2.flip(image, 0)
        case 5:
            turned = cv2.transpose(image)
        case 6:
            turned = cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE)
        case 7:
            turned = cv2.rotate(cv2.transpose(image), cv2.ROTATE_180)
        case 8:
            turned = cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE)
        case _:
            return image
    return turned  # type: ignore[return-value]  # OpenCV's stubs do not follow the dtype
