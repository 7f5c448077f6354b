"""Size, orientation and wholeness of a PNG, from its chunks (W3C PNG, section 5)."""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from runtime.errors import UnreadableImage
from runtime.images.exif import UPRIGHT, read_orientation

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_COLOR_TYPES_WITH_ALPHA: Final = frozenset({4, 6})


@dataclass(frozen=True, slots=True)
class PngHeader:
    """Stored size in pixels, the EXIF orientation, 1 to 8, and whether any pixel may be transparent."""

    width: int
    height: int
    orientation: int
    has_alpha: bool


def read(data: bytes, check_size: Callable[[int, int], None]) -> PngHeader:
    """Walks every chunk to IEND and checks each CRC; check_size(width, height) is called as soon as the size is known.

    Raises UnreadableImage when a chunk is damaged or cut, or the size is zero.
    """
    size: tuple[int, int] | None = None
    orientation, has_alpha, has_pixels = UPRIGHT, False, False
    position = len(SIGNATURE)
    while True:
        if position + 12 > len(data):
            raise UnreadableImage("the PNG is cut off before its end", detected_type="png")
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            raise UnreadableImage("the PNG is cut off before its end", detected_type="png")
        body = memoryview(data)[position + 8 : end]
        (crc,) = struct.unpack_from(">I", data, end)
        if crc != zlib.crc32(body, zlib.crc32(kind)):
            raise UnreadableImage("the PNG is damaged: a checksum is wrong", detected_type="png")
        if size is None and (kind != b"IHDR" or length != 13):
            raise UnreadableImage("the PNG is malformed: it does not start with its header", detected_type="png")
        match kind:
            case b"IHDR":
                width, height, _, color_type = struct.unpack_from(">IIBB", body)
                size = (width, height)
                check_size(width, height)
                has_alpha = has_alpha or color_type in _COLOR_TYPES_WITH_ALPHA
            case b"tRNS":
                has_alpha = True
            case b"eXIf":
                orientation = read_orientation(bytes(body))
            case b"IDAT":
                has_pixels = True
            case b"IEND":
                break
        position = end + 4
    if size is None or 0 in size or not has_pixels:
        raise UnreadableImage("the PNG holds no picture", detected_type="png")
    return PngHeader(*size, orientation, has_alpha)
