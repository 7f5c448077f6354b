"""Size, orientation and wholeness of a WebP, from its chunks (RFC 9649, sections 2 and 3)."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from runtime.errors import UnreadableImage
from runtime.images.exif import UPRIGHT, read_orientation

_EXIF_PREFIX: Final = b"Exif\x00\x00"
_ALPHA_FLAG: Final = 0x10
_ANIMATION_FLAG: Final = 0x02
_MAX_CHUNKS: Final = 10_000
_MAX_READ_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class WebpHeader:
    """Stored size in pixels, the EXIF orientation, 1 to 8, whether pixels may be transparent, and whether it moves."""

    width: int
    height: int
    orientation: int
    has_alpha: bool
    is_animated: bool


def read(data: bytes, check_size: Callable[[int, int], None]) -> WebpHeader:
    """Walks the chunks; check_size(width, height) is called as soon as the size is known.

    Raises UnreadableImage when the file is cut, malformed or of no size.
    """
    if len(data) < 20:
        raise _unreadable("is cut off before its end")
    (riff_length,) = struct.unpack_from("<I", data, 4)
    end = 8 + riff_length
    size: tuple[int, int] | None = None
    orientation, has_alpha, is_animated, is_checked = UPRIGHT, False, False, False
    position = 12
    for _ in range(_MAX_CHUNKS):
        if position + 8 > end:
            break
        if position + 8 > len(data):
            raise _unreadable("is cut off before its end")
        kind, length = struct.unpack_from("<4sI", data, position)
        body = data[position + 8 : position + 8 + min(length, _MAX_READ_BYTES)]
        match kind:
            case b"VP8X" if size is None:
                size = _extended_size(body)
                has_alpha = bool(body[0] & _ALPHA_FLAG)
                is_animated = bool(body[0] & _ANIMATION_FLAG)
            case b"VP8L" if size is None:
                size = _lossless_size(body)
                has_alpha = bool(body[4] & _ALPHA_FLAG)
            case b"VP8 " if size is None:
                size = _lossy_size(body)
            case b"EXIF":
                orientation = read_orientation(body.removeprefix(_EXIF_PREFIX))
        if size is not None and not is_checked:
            is_checked = True
            check_size(*size)
        if position + 8 + length > min(end, len(data)):
            raise _unreadable("is cut off before its end")
        position += 8 + length + (length & 1)
    if size is None or 0 in size:
        raise _unreadable("holds no picture")
    return WebpHeader(*size, orientation, has_alpha, is_animated)


def _extended_size(body: bytes) -> tuple[int, int]:
    if len(body) < 10:
        raise _unreadable("has a malformed header")
    return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")


def _lossless_size(body: bytes) -> tuple[int, int]:
    if len(body) < 5 or body[0] != 0x2F:
        raise _unreadable("has a malformed header")
    bits = int.from_bytes(body[1:5], "little")
    return 1 + (bits & 0x3FFF), 1 + ((bits >> 14) & 0x3FFF)


def _lossy_size(body: bytes) -> tuple[int, int]:
    if len(body) < 10 or body[3:6] != b"\x9d\x01\x2a":
        raise _unreadable("has a malformed header")
    width, height = struct.unpack_from("<HH", body, 6)
    return width & 0x3FFF, height & 0x3FFF


def _unreadable(what: str) -> UnreadableImage:
    return UnreadableImage(f"the WebP {what}", detected_type="webp")
