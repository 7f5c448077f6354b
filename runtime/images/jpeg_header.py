"""Size, samples, orientation and wholeness of a JPEG, from its markers (ITU-T T.81, annex B)."""

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from runtime.errors import UnreadableImage
from runtime.images.exif import UPRIGHT, read_orientation

SIGNATURE: Final = b"\xff\xd8\xff"
MAX_SCANS: Final = 100
MAX_SCANNED_PIXELS: Final = 1_000_000_000
"""A scan may be a few bytes, and costs a walk over the whole image: a small file could keep a decoder busy for minutes.
libjpeg's own script has 10 scans, 18 for CMYK; walks over so many pixels took it 0.7 s."""

_MAX_SEGMENTS: Final = 20_000
"""Segments and bare markers together; a file of millions of empty ones would keep a processor busy for seconds."""

_END_OF_IMAGE: Final = 0xD9
_START_OF_SCAN: Final = 0xDA
_APP1: Final = 0xE1
_FRAME_MARKERS: Final = frozenset(set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC})
_PROGRESSIVE_FRAME: Final = 0xC2
# Baseline, extended and progressive, all Huffman-coded. Lossless and hierarchical frames no decoder here reads;
# arithmetic coding is read by some builds of libjpeg, but by no browser, and is many times slower.
_READ_FRAMES: Final = frozenset({0xC0, 0xC1, _PROGRESSIVE_FRAME})
_COMPONENT_COUNTS: Final = frozenset({1, 3, 4})
_SAMPLE_BITS: Final = 8
_BARE_MARKERS: Final = frozenset({0x01, *range(0xD0, 0xD9)})
_EXIF_PREFIX: Final = b"Exif\x00\x00"
_FILL: Final = re.compile(rb"\xff+")
# Within coded data a 0xFF is stuffed with 0x00 or is a restart marker; any other follower is the next segment.
_NEXT_SEGMENT: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """Stored size in pixels, what a pixel consists of, and the EXIF orientation, 1 to 8.

    progressive: the picture comes in several scans, and a decoder holds all of its coefficients until the last; there
    are coefficient_count, fewer than samples where colors are stored more coarsely than light.
    """

    width: int
    height: int
    orientation: int
    components: int
    bits: int
    progressive: bool
    coefficient_count: int


@dataclass(frozen=True, slots=True)
class _Frame:
    width: int
    height: int
    components: int
    bits: int
    progressive: bool
    coefficient_count: int


def read(data: bytes, check_size: Callable[[int, int], None]) -> JpegHeader:
    """Walks every segment to the end of the image; check_size(width, height) is called as soon as the size is known.

    Raises UnreadableImage when a segment is malformed, the frame is of a kind that is not read or has no size, the
    scans are too many, or the data stop before the end marker: libjpeg would fill what is missing with grey and call
    it a photo.
    """
    frame: _Frame | None = None
    orientation, scans, progressive = UPRIGHT, 0, False
    for marker, body in _segments(data):
        if marker in _FRAME_MARKERS:
            if frame is not None:
                raise _malformed("it holds two frames")
            frame = _read_frame(marker, body, check_size)
        elif marker == _START_OF_SCAN:
            scans += 1
            if frame is None:
                raise _malformed("pixels come before its frame header")
            if scans > min(MAX_SCANS, MAX_SCANNED_PIXELS // (frame.width * frame.height)):
                raise UnreadableImage("the JPEG has too many scans for its size", detected_type="jpeg")
            progressive = progressive or frame.progressive or body[:1] != bytes([frame.components])
        elif marker == _APP1 and orientation == UPRIGHT and bytes(body[: len(_EXIF_PREFIX)]) == _EXIF_PREFIX:
            orientation = read_orientation(bytes(body[len(_EXIF_PREFIX) :]))
    if frame is None or not scans:
        raise UnreadableImage("the JPEG holds no picture", detected_type="jpeg")
    return JpegHeader(
        frame.width, frame.height, orientation, frame.components, frame.bits, progressive, frame.coefficient_count
    )


def _segments(data: bytes) -> Iterator[tuple[int, memoryview]]:
    """Yields the marker and the body of every segment before the end-of-image marker, which must be there."""
    position = 2
    for _ in range(_MAX_SEGMENTS):
        marker, position = _next_marker(data, position)
        if marker == _END_OF_IMAGE:
            return
        if marker in _BARE_MARKERS:
            continue
        if position + 2 > len(data):
            raise _truncated()
        (length,) = struct.unpack_from(">H", data, position)
        if length < 2:
            raise _malformed("a segment has no length")
        # A cut segment is handed out too: a size that is over the limit is a better answer than "cut off".
        yield marker, memoryview(data)[position + 2 : position + length]
        position += length
        if position > len(data):
            raise _truncated()
        if marker == _START_OF_SCAN:
            found = _NEXT_SEGMENT.search(data, position)
            if found is None:
                raise _truncated()
            position = found.start()
    raise _malformed("it is cut into too many segments")


def _read_frame(marker: int, body: memoryview, check_size: Callable[[int, int], None]) -> _Frame:
    if marker not in _READ_FRAMES:
        raise UnreadableImage("the JPEG is lossless, hierarchical or arithmetic-coded", detected_type="jpeg")
    if len(body) < 6:
        raise _malformed("its frame header is cut")
    bits, height, width, components = struct.unpack_from(">BHHB", body)
    if 0 in (width, height):
        raise UnreadableImage("the JPEG names no size", detected_type="jpeg")
    check_size(width, height)
    if bits != _SAMPLE_BITS:
        raise UnreadableImage(f"the JPEG has {bits} bits a sample; 8 are read", detected_type="jpeg")
    if components not in _COMPONENT_COUNTS or len(body) != 6 + 3 * components:
        raise _malformed("its frame header names no colors that are known")
    factors = [(body[place] >> 4, body[place] & 15) for place in range(7, len(body), 3)]
    if any(not 1 <= factor <= 4 for pair in factors for factor in pair):
        raise _malformed("its frame header names sampling factors that do not exist")
    most = max(across for across, _ in factors) * max(down for _, down in factors)
    coefficient_count = width * height * sum(across * down for across, down in factors) // most
    return _Frame(width, height, components, bits, marker == _PROGRESSIVE_FRAME, coefficient_count)


def _next_marker(data: bytes, position: int) -> tuple[int, int]:
    """Returns the marker at position, and where its segment's length stands."""
    if position + 2 > len(data):
        raise _truncated()
    if data[position] != 0xFF:
        raise _malformed("a marker is missing")
    fill = _FILL.match(data, position)
    position = fill.end() if fill is not None else position
    if position >= len(data):
        raise _truncated()
    return data[position], position + 1


def _malformed(what: str) -> UnreadableImage:
    return UnreadableImage(f"the JPEG is malformed: {what}", detected_type="jpeg")


def _truncated() -> UnreadableImage:
    return UnreadableImage("the JPEG is cut off before its end", detected_type="jpeg")
