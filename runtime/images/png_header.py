"""Size, samples, orientation and wholeness of a PNG, from its chunks (W3C PNG, section 5)."""

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from runtime.errors import UnreadableImage
from runtime.images.exif import UPRIGHT, read_orientation

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_PALETTE: Final = 3
_COLOR_TYPES_WITH_ALPHA: Final = frozenset({4, 6})
# Table 11.1. A palette counts as the three colors that it stands for, of 8 bits each.
_COMPONENTS: Final[Mapping[int, int]] = {0: 1, 2: 3, _PALETTE: 3, 4: 2, 6: 4}
# Samples of a stored pixel: a palette's index is one.
_CHANNELS: Final[Mapping[int, int]] = {**_COMPONENTS, _PALETTE: 1}
_SPARE_BYTES: Final = 2**17
_MAX_CHUNKS: Final = 20_000
_ANCILLARY_BIT: Final = 0x20
_END: Final = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_DEPTHS: Final[Mapping[int, tuple[int, ...]]] = {
    0: (1, 2, 4, 8, 16),
    2: (8, 16),
    _PALETTE: (1, 2, 4, 8),
    4: (8, 16),
    6: (8, 16),
}


@dataclass(frozen=True, slots=True)
class PngHeader:
    """Stored size in pixels, what a pixel consists of, the EXIF orientation, 1 to 8, and whether alpha comes along."""

    width: int
    height: int
    orientation: int
    has_alpha: bool
    components: int
    bits: int
    interlaced: bool


@dataclass(frozen=True, slots=True)
class _Picture:
    """IHDR."""

    width: int
    height: int
    depth: int
    color_type: int
    interlaced: bool


def read(data: bytes, check_size: Callable[[int, int], None]) -> PngHeader:
    """Walks every chunk to IEND and checks each CRC; check_size(width, height) is called as soon as the size is known.

    Raises UnreadableImage when a chunk is damaged or cut, the size is zero, or the colors are of no kind that exists.
    """
    chunks = _chunks(data)
    kind, body = next(chunks)
    if kind != b"IHDR" or len(body) != 13:
        raise _malformed("it does not start with its header")
    picture = _read_picture(body, check_size)
    orientation, is_transparent, has_palette, has_pixels = UPRIGHT, False, False, False
    spare_bytes = _most_pixel_bytes(picture)
    for kind, body in chunks:
        match kind:
            case b"IHDR":
                raise _malformed("it holds two headers")
            case b"PLTE":
                has_palette = has_palette or not has_pixels
            case b"tRNS":
                is_transparent = True
            case b"eXIf":
                orientation = read_orientation(bytes(body))
            case b"IDAT":
                has_pixels = True
                spare_bytes -= len(body)
                if spare_bytes < 0:
                    raise _malformed("it holds more data than its pixels need")
    if not has_pixels:
        raise UnreadableImage("the PNG holds no picture", detected_type="png")
    if picture.color_type == _PALETTE and not has_palette:
        raise _malformed("its palette is missing")
    return PngHeader(
        picture.width,
        picture.height,
        orientation,
        has_alpha=is_transparent or picture.color_type in _COLOR_TYPES_WITH_ALPHA,
        components=_COMPONENTS[picture.color_type],
        bits=8 if picture.color_type == _PALETTE else picture.depth,
        interlaced=picture.interlaced,
    )


def pixels_only(data: bytes) -> bytes:
    """Returns a PNG that read has accepted without the chunks that change no pixel of its first picture.

    A decoder unpacks every text and profile, a few kB of which may hold megabytes, only to leave them unused; and it
    gives up on animations that make no sense though the picture does.
    """
    kept = [memoryview(SIGNATURE)]
    position = len(SIGNATURE)
    for kind, body in _chunks(data):
        end = position + 12 + len(body)
        if kind == b"tRNS" or not kind[0] & _ANCILLARY_BIT:
            kept.append(memoryview(data)[position:end])
        position = end
    return b"".join([*kept, _END])


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yields the kind and the body of every chunk before IEND, which must be there; all checksums are checked."""
    position = len(SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        if position + 12 > len(data):
            raise _truncated()
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            raise _truncated()
        body = memoryview(data)[position + 8 : end]
        (crc,) = struct.unpack_from(">I", data, end)
        if crc != zlib.crc32(body, zlib.crc32(kind)):
            raise UnreadableImage("the PNG is damaged: a checksum is wrong", detected_type="png")
        if kind == b"IEND":
            return
        yield kind, body
        position = end + 4
    raise _malformed("it is cut into too many pieces")


def _read_picture(body: memoryview, check_size: Callable[[int, int], None]) -> _Picture:
    width, height, depth, color_type, compression, filtering, interlacing = struct.unpack(">IIBBBBB", body)
    if 0 in (width, height):
        raise UnreadableImage("the PNG names no size", detected_type="png")
    check_size(width, height)
    if depth not in _DEPTHS.get(color_type, ()):
        raise _malformed("its header names no colors that exist")
    if compression or filtering or interlacing > 1:
        raise _malformed("its header names no coding that exists")
    return _Picture(width, height, depth, color_type, bool(interlacing))


def _most_pixel_bytes(picture: _Picture) -> int:
    """Returns more than an encoder ever needs: compressing makes nothing much larger, and a surplus is unpacked too.

    A few hundred kB beyond the last pixel inflate to half a gigabyte, which a decoder goes through to its end.
    """
    row_bytes = 1 + -(-picture.width * picture.depth * _CHANNELS[picture.color_type] // 8)
    return 2 * picture.height * row_bytes + _SPARE_BYTES


def _malformed(what: str) -> UnreadableImage:
    return UnreadableImage(f"the PNG is malformed: {what}", detected_type="png")


def _truncated() -> UnreadableImage:
    return UnreadableImage("the PNG is cut off before its end", detected_type="png")
