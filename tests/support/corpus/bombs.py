"""Small files that would unpack to very much, and sizes that no picture has."""

import zlib
from collections.abc import Iterator

from PIL import Image

from tests.runtime.images.images import jpeg_of_size, png_chunk, png_of_size
from tests.support.corpus.bytes_of import deflated, idat, ihdr, png, png_with, riff_chunk, webp_of, zeros
from tests.support.corpus.file import NO_FACE, OK, TOO_LARGE, UNREADABLE, CorpusFile, entry
from tests.support.corpus.people import People
from tests.support.corpus.webp_oddities import canvas
from tests.support.photos import encoded

_SIDE = 7_000
"""49 megapixels: as much as the service reads."""
_LARGE = frozenset({NO_FACE, TOO_LARGE})
"""Within the limit of pixels; whether so many bytes are unpacked is the service's to say."""


def unpacking(people: People) -> Iterator[CorpusFile]:
    kind = "decompression bomb"
    samples = {"1-bit": (1, 0, 1), "gray": (8, 0, 8), "rgb": (8, 2, 24), "rgba": (8, 6, 32), "rgba-16-bit": (16, 6, 64)}
    for name, (depth, color_type, pixel_bits) in samples.items():
        row_bytes = 1 + _SIDE * pixel_bits // 8
        pixels = png_chunk(b"IDAT", deflated(zeros(row_bytes * _SIDE)))
        yield entry(f"49-megapixels-{name}.png", kind, png(ihdr(_SIDE, _SIDE, depth, color_type), pixels), TOO_LARGE)
    # Seven passes, each a little more than its share of the rows.
    interlaced = png_chunk(b"IDAT", deflated(zeros((1 + _SIDE * 3) * (_SIDE + 16))))
    header = ihdr(_SIDE, _SIDE, 8, 2, b"\x00\x00\x01")
    yield entry("49-megapixels-interlaced.png", kind, png(header, interlaced), *_LARGE)
    stream = png_chunk(b"IDAT", deflated(zeros(500 * 2**20)))
    yield entry("8-pixels-of-500-megabytes.png", kind, png(ihdr(8, 8), stream), UNREADABLE)
    whole = encoded(people.gauss, "PNG")
    bomb = deflated(zeros(300 * 2**20))
    yield entry("text-of-300-megabytes.png", kind, png_with(whole, b"zTXt", b"Comment\x00\x00" + bomb), OK)
    international = b"Comment\x00\x01\x00\x00\x00" + bomb
    yield entry("international-text-bomb.png", kind, png_with(whole, b"iTXt", international), OK)
    yield entry("profile-of-300-megabytes.png", kind, png_with(whole, b"iCCP", b"icc\x00\x00" + bomb), OK)
    texts = [png_chunk(b"zTXt", b"Comment\x00\x00" + zlib.compress(bytes(2**20)))] * 1_500
    yield entry("1500-texts-of-a-megabyte.png", kind, whole[:33] + b"".join(texts) + whole[33:], OK, UNREADABLE)


def flat_giants(_people: People) -> Iterator[CorpusFile]:
    """One color, as many pixels as are read."""
    kind = "flat giant"
    gray, colored = Image.new("L", (_SIDE, _SIDE), 90), Image.new("RGB", (_SIDE, _SIDE), (90, 60, 30))
    yield entry("49-megapixels-gray.jpg", kind, encoded(gray, "JPEG"), NO_FACE)
    yield entry("49-megapixels.jpg", kind, encoded(colored, "JPEG"), NO_FACE)
    yield entry("49-megapixels-444.jpg", kind, encoded(colored, "JPEG", subsampling=0), NO_FACE)
    yield entry("49-megapixels-cmyk.jpg", kind, encoded(colored.convert("CMYK"), "JPEG"), *_LARGE)
    progressive = encoded(colored, "JPEG", progressive=True, subsampling=0)
    yield entry("49-megapixels-progressive-444.jpg", kind, progressive, *_LARGE)
    yield entry("49-megapixels-lossless.webp", kind, encoded(colored, "WEBP", lossless=True, method=0), *_LARGE)
    yield entry("49-megapixels-lossy.webp", kind, encoded(colored, "WEBP", quality=50, method=0), *_LARGE)


def sizes(_people: People) -> Iterator[CorpusFile]:
    zero, huge = "zero dimensions", "huge dimensions"
    for name, width, height in (("no-width", 0, 10), ("no-height", 10, 0), ("no-size", 0, 0)):
        yield entry(f"{name}.png", zero, png_of_size(width, height), UNREADABLE)
        yield entry(f"{name}.jpg", zero, jpeg_of_size(width, height), UNREADABLE)
        yield entry(f"{name}.webp", zero, webp_of(riff_chunk(b"VP8 ", _lossy_header(width, height))), UNREADABLE)
    yield entry("2-billion-wide.png", huge, png_of_size(2**31 - 1, 2**31 - 1), TOO_LARGE)
    yield entry("4-billion-wide.png", huge, png_of_size(2**32 - 1, 2**32 - 1), TOO_LARGE)
    yield entry("30000-wide.png", huge, png_of_size(30_000, 30_000), TOO_LARGE)
    yield entry("one-row-too-long.png", huge, png_of_size(2**31 - 1, 1), TOO_LARGE)
    yield entry(
        "row-of-40-million.png", huge, png(ihdr(40_000_000, 1, 1, 0), idat(bytes(5_000_001))), NO_FACE, UNREADABLE
    )
    yield entry("65535-wide.jpg", huge, jpeg_of_size(65_535, 65_535), TOO_LARGE)
    yield entry("one-pixel-too-many.jpg", huge, jpeg_of_size(50_000, 1_001), TOO_LARGE)
    yield entry("canvas-16383-wide.webp", huge, webp_of(canvas(16_383, 16_383)), TOO_LARGE)
    yield entry("canvas-16-million-wide.webp", huge, webp_of(canvas(2**24, 2**24)), TOO_LARGE)
    yield entry("lossy-16383-wide.webp", huge, webp_of(riff_chunk(b"VP8 ", _lossy_header(16_383, 16_383))), TOO_LARGE)
    lossless = b"\x2f" + (16_383 | 16_383 << 14).to_bytes(4, "little") + bytes(64)
    yield entry("lossless-16384-wide.webp", huge, webp_of(riff_chunk(b"VP8L", lossless)), TOO_LARGE)


def too_many_bytes(people: People) -> Iterator[CorpusFile]:
    whole = encoded(people.gauss, "JPEG")
    yield entry("21-mebibytes.jpg", "too many bytes", whole + bytes(21 * 2**20), TOO_LARGE)
    yield entry("21-mebibytes-of-nothing.bin", "too many bytes", bytes(21 * 2**20), TOO_LARGE)


def _lossy_header(width: int, height: int) -> bytes:
    """Returns a VP8 key frame that ends after its size: RFC 6386, section 9.1."""
    return b"\x10\x00\x00\x9d\x01\x2a" + width.to_bytes(2, "little") + height.to_bytes(2, "little") + bytes(64)
