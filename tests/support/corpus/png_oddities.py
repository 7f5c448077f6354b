"""PNGs that break a rule of theirs, each in one place."""

import struct
import zlib
from collections.abc import Iterator

import numpy as np

from tests.runtime.images.images import png_chunk
from tests.support.corpus.bytes_of import PNG_END, PNG_SIGNATURE, idat, ihdr, patched, png, png_chunks, png_of, png_with
from tests.support.corpus.file import DAMAGED, MENDED, OK, UNREADABLE, CorpusFile, entry
from tests.support.corpus.people import People
from tests.support.photos import encoded

_TINY_ROWS = b"\x00" * 13 * 4
"""Four rows of four RGB pixels, with their filter bytes."""


def checksums(people: People) -> Iterator[CorpusFile]:
    kind = "PNG checksum"
    whole = encoded(people.gauss, "PNG")
    position, seen = len(PNG_SIGNATURE), set()
    for name, body in png_chunks(whole):
        end = position + 8 + len(body)
        if name not in seen:
            wrong = patched(whole, end, bytes([whole[end] ^ 0xFF]))
            yield entry(f"checksum-of-{name.decode().lower()}.png", kind, wrong, UNREADABLE)
        seen.add(name)
        position = end + 4
    middle = len(whole) // 2
    yield entry("flipped-inside-pixels.png", kind, patched(whole, middle, bytes([whole[middle] ^ 1])), UNREADABLE)
    chunks = png_chunks(whole)
    pixels = b"".join(body for name, body in chunks if name == b"IDAT")
    adler = pixels[:-4] + bytes(4)
    yield entry("checksum-of-zlib.png", kind, png_of([chunks[0], (b"IDAT", adler), (b"IEND", b"")]), *MENDED)


def headers(people: People) -> Iterator[CorpusFile]:
    kind = "odd PNG header"
    for depth, color_type in ((3, 0), (4, 2), (16, 3), (8, 5), (0, 2), (255, 255)):
        data = png(ihdr(4, 4, depth, color_type), idat(_TINY_ROWS))
        yield entry(f"depth-{depth}-color-{color_type}.png", kind, data, UNREADABLE)
    for name, coding in (("compression", b"\x01\x00\x00"), ("filter", b"\x00\x07\x00"), ("interlace", b"\x00\x00\x02")):
        yield entry(f"unknown-{name}-method.png", kind, png(ihdr(4, 4, 8, 2, coding), idat(_TINY_ROWS)), UNREADABLE)
    whole = encoded(people.gauss, "PNG")
    yield entry("two-headers.png", kind, png_with(whole, b"IHDR", whole[16:29]), UNREADABLE)
    yield entry("second-header-empty.png", kind, png_with(whole, b"IHDR", b""), UNREADABLE)
    yield entry("header-comes-late.png", kind, PNG_SIGNATURE + png_chunk(b"gAMA", bytes(4)) + whole[8:], UNREADABLE)
    yield entry("apple-cgbi.png", kind, PNG_SIGNATURE + png_chunk(b"CgBI", bytes(4)) + whole[8:], UNREADABLE)


def palettes(people: People) -> Iterator[CorpusFile]:
    kind = "odd PNG palette"
    chunks = png_chunks(encoded(people.gauss.quantize(256), "PNG"))
    rest = [chunk for chunk in chunks if chunk[0] != b"PLTE"]
    palette = next(body for name, body in chunks if name == b"PLTE")
    yield entry("no-palette.png", kind, png_of(rest), UNREADABLE)
    yield entry("palette-after-pixels.png", kind, png_of([*rest[:-1], (b"PLTE", palette), rest[-1]]), UNREADABLE)
    yield entry("palette-of-two.png", kind, png_of([rest[0], (b"PLTE", palette[:6]), *rest[1:]]), *DAMAGED)
    yield entry("palette-of-bytes.png", kind, png_of([rest[0], (b"PLTE", palette[:7]), *rest[1:]]), *DAMAGED)
    yield entry("palette-of-257.png", kind, png_of([rest[0], (b"PLTE", palette + bytes(3)), *rest[1:]]), *DAMAGED)
    long_alpha = [rest[0], (b"PLTE", palette), (b"tRNS", bytes(300)), *rest[1:]]
    yield entry("more-alpha-than-palette.png", kind, png_of(long_alpha), *DAMAGED)


def pixels(people: People) -> Iterator[CorpusFile]:
    kind = "odd PNG pixels"
    gauss = people.gauss
    rows = [b"\x00" + row.tobytes() for row in np.asarray(gauss)]
    header = ihdr(gauss.width, gauss.height)
    bad_filters = [bytes([5 + place % 250]) + row[1:] for place, row in enumerate(rows)]
    whole = zlib.compress(b"".join(rows))
    chunk = png_chunk(b"IDAT", whole)
    yield entry("unknown-row-filters.png", kind, png(header, idat(b"".join(bad_filters))), UNREADABLE)
    yield entry("extra-pixel-chunk.png", kind, png(header, chunk, png_chunk(b"IDAT", b"more")), *MENDED)
    yield entry("empty-pixel-chunks.png", kind, png(header, *[png_chunk(b"IDAT", b"")] * 50_000, chunk), UNREADABLE)
    bytewise = [png_chunk(b"IDAT", whole[place : place + 1]) for place in range(len(whole))]
    yield entry("pixel-chunk-a-byte.png", kind, png(header, *bytewise), UNREADABLE)
    between = (bytewise[0], png_chunk(b"tEXt", b"Comment\x00between"), png_chunk(b"IDAT", whole[1:]))
    yield entry("text-between-pixels.png", kind, png(header, *between), *MENDED)
    yield entry("half-the-rows.png", kind, png(header, idat(b"".join(rows[: gauss.height // 2]))), UNREADABLE)
    yield entry("twice-the-rows.png", kind, png(header, idat(b"".join(rows * 2))), *MENDED)
    yield entry("no-pixels.png", kind, png(header), UNREADABLE)
    yield entry("pixels-no-zlib.png", kind, png(header, png_chunk(b"IDAT", b"this is no zlib stream")), UNREADABLE)
    yield entry("no-end.png", kind, PNG_SIGNATURE + header + chunk, UNREADABLE)
    yield entry("trailing-data.png", kind, png(header, chunk) + bytes(100_000), OK)
    yield entry("unknown-critical-chunk.png", kind, png(header, png_chunk(b"ABCD", b"?"), chunk), *MENDED)
    yield entry("unknown-chunks.png", kind, png(header, *[png_chunk(b"zzZz", b"?")] * 50_000, chunk), UNREADABLE)
    yield entry("chunk-length-wraps.png", kind, _long_chunk(header, chunk, 0xFFFFFFF4), UNREADABLE)
    yield entry("chunk-length-over-limit.png", kind, _long_chunk(header, chunk, 0x80000001), UNREADABLE)


def _long_chunk(header: bytes, chunk: bytes, length: int) -> bytes:
    return PNG_SIGNATURE + header + struct.pack(">I4s", length, b"tEXt") + b"body" + chunk + PNG_END


def animation_control(people: People) -> Iterator[CorpusFile]:
    """Animated PNGs whose frames do not fit: W3C PNG, section 11.3.6."""
    kind = "odd PNG animation"
    chunks = png_chunks(encoded(people.gauss, "PNG"))
    size = struct.pack(">II", people.gauss.width, people.gauss.height)
    tail = struct.pack(">IIHHBB", 0, 0, 1, 10, 0, 0)
    many = [(b"acTL", struct.pack(">II", 2**31 - 1, 0)), (b"fcTL", bytes(4) + size + tail)]
    yield entry("two-billion-frames.png", kind, png_of([chunks[0], *many, *chunks[1:]]), OK)
    beyond = struct.pack(">IIII", 0, 60_000, 60_000, 60_000) + tail[4:]
    outside = [(b"acTL", struct.pack(">II", 2, 0)), (b"fcTL", beyond)]
    yield entry("frame-outside.png", kind, png_of([chunks[0], *outside, *chunks[1:]]), *MENDED)
    short = [(b"acTL", b"\x00"), (b"fcTL", b"\x00")]
    yield entry("control-cut-short.png", kind, png_of([chunks[0], *short, *chunks[1:]]), *MENDED)
