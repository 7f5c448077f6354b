"""Size, orientation and wholeness of a JPEG, from its markers (ITU-T T.81, annex B)."""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from runtime.errors import UnreadableImage
from runtime.images.exif import UPRIGHT, read_orientation

SIGNATURE: Final = b"\xff\xd8\xff"

_END_OF_IMAGE: Final = 0xD9
_START_OF_SCAN: Final = 0xDA
_APP1: Final = 0xE1
_FRAME_MARKERS: Final = frozenset(set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC})
_BARE_MARKERS: Final = frozenset({0x01, *range(0xD0, 0xD9)})
_EXIF_PREFIX: Final = b"Exif\x00\x00"
# Within coded data a 0xFF is stuffed with 0x00 or is a restart marker; any other follower is the next segment.
_NEXT_SEGMENT: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """Stored size in pixels, and the EXIF orientation, 1 to 8."""

    width: int
    height: int
    orientation: int


def read(data: bytes, check_size: Callable[[int, int], None]) -> JpegHeader:
    """Walks every segment to the end of the image; check_size(width, height) is called as soon as the size is known.

    Raises UnreadableImage when a segment is malformed, the frame has no size, or the data stop before the end marker:
    libjpeg would fill what is missing with grey and call it a photo.
    """
    size: tuple[int, int] | None = None
    orientation = UPRIGHT
    position = 2
    while True:
        marker, position = _next_marker(data, position)
        if marker == _END_OF_IMAGE:
            break
        if marker in _BARE_MARKERS:
            continue
        if position + 2 > len(data):
            raise _truncated()
        (length,) = struct.unpack_from(">H", data, position)
        if length < 2:
            raise UnreadableImage("the JPEG is malformed: a segment has no length", detected_type="jpeg")
        if position + length > len(data):
            raise _truncated()
        body = position + 2
        if marker in _FRAME_MARKERS and size is None:
            if length < 8:
                raise UnreadableImage("the JPEG is malformed: its frame header is cut", detected_type="jpeg")
            height, width = struct.unpack_from(">HH", data, body + 1)
            size = (width, height)
            check_size(width, height)
        elif marker == _APP1 and orientation == UPRIGHT and data.startswith(_EXIF_PREFIX, body):
            orientation = read_orientation(data[body + len(_EXIF_PREFIX) : position + length])
        position += length
        if marker == _START_OF_SCAN:
            found = _NEXT_SEGMENT.search(data, position)
            if found is None:
                raise _truncated()
            position = found.start()
    if size is None or 0 in size:
        raise UnreadableImage("the JPEG names no size", detected_type="jpeg")
    return JpegHeader(*size, orientation)


def _next_marker(data: bytes, position: int) -> tuple[int, int]:
    """Returns the marker at position, and where its segment's length stands."""
    if position + 2 > len(data):
        raise _truncated()
    if data[position] != 0xFF:
        raise UnreadableImage("the JPEG is malformed: a marker is missing", detected_type="jpeg")
    while position < len(data) and data[position] == 0xFF:
        position += 1
    if position >= len(data):
        raise _truncated()
    return data[position], position + 1


def _truncated() -> UnreadableImage:
    return UnreadableImage("the JPEG is cut off before its end", detected_type="jpeg")
