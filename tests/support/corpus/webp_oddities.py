"""WebPs whose container and pictures disagree."""

import struct
from collections.abc import Iterator

from tests.support.corpus.bytes_of import patched, riff_chunk, webp_of
from tests.support.corpus.file import DAMAGED, MENDED, OK, UNREADABLE, CorpusFile, entry
from tests.support.corpus.people import People
from tests.support.photos import encoded

_ALPHA, _EXIF, _ANIMATION = 0x10, 0x08, 0x02


def canvas(width: int, height: int, flags: int = 0) -> bytes:
    """Returns the VP8X chunk: RFC 9649, section 2.7."""
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return riff_chunk(b"VP8X", bytes([flags, 0, 0, 0]) + sides)


def containers(people: People) -> Iterator[CorpusFile]:
    kind = "odd WebP container"
    width, height = people.gauss.size
    whole = encoded(people.gauss, "WEBP", quality=85)
    picture = whole[12:]
    size = len(whole) - 8
    yield entry("riff-too-long.webp", kind, patched(whole, 4, struct.pack("<I", size + 1_000)), UNREADABLE)
    yield entry("riff-too-short.webp", kind, patched(whole, 4, struct.pack("<I", size // 2)), UNREADABLE)
    yield entry("riff-of-4-gigabytes.webp", kind, patched(whole, 4, b"\xff" * 4), UNREADABLE)
    yield entry("riff-of-nothing.webp", kind, patched(whole, 4, bytes(4)), UNREADABLE)
    yield entry("chunk-of-4-gigabytes.webp", kind, patched(whole, 16, b"\xff" * 4), UNREADABLE)
    yield entry("canvas-larger-than-picture.webp", kind, webp_of(canvas(2_000, 2_000), picture), UNREADABLE)
    yield entry("canvas-smaller-than-picture.webp", kind, webp_of(canvas(8, 8), picture), UNREADABLE)
    yield entry("canvas-alone.webp", kind, webp_of(canvas(width, height)), UNREADABLE)
    yield entry("two-pictures.webp", kind, webp_of(canvas(width, height), picture, picture), *MENDED)
    yield entry("junk-first.webp", kind, webp_of(riff_chunk(b"JUNK", bytes(40)), picture), UNREADABLE)
    yield entry("alpha-flag-alone.webp", kind, webp_of(canvas(width, height, _ALPHA), picture), *MENDED)
    alpha = riff_chunk(b"ALPH", b"\x01rubbish")
    yield entry("alpha-garbage.webp", kind, webp_of(canvas(width, height, _ALPHA), alpha, picture), *DAMAGED)
    exif = riff_chunk(b"EXIF", b"MM\x00*\xff\xff\xff\xff")
    yield entry("exif-garbage.webp", kind, webp_of(canvas(width, height, _EXIF), picture, exif), OK)
    chunks = riff_chunk(b"JUNK", b"") * 20_000
    yield entry("20000-chunks.webp", kind, webp_of(canvas(width, height), picture, chunks), *MENDED)
    yield entry("trailing-data.webp", kind, whole + bytes(100_000), OK)


def animation_frames(people: People) -> Iterator[CorpusFile]:
    kind = "odd WebP animation"
    picture = encoded(people.newton, "WEBP", quality=80)[12:]
    size = people.newton.size
    control = riff_chunk(b"ANIM", bytes(6))
    frame = _frame(*size, picture)
    yield entry("frame-outside.webp", kind, webp_of(canvas(64, 64, _ANIMATION), control, frame), UNREADABLE)
    yield entry("no-frames.webp", kind, webp_of(canvas(*size, _ANIMATION), control), UNREADABLE)
    yield entry("500-frames.webp", kind, webp_of(canvas(*size, _ANIMATION), control, frame * 500), OK)
    on_large = webp_of(canvas(7_000, 7_000, _ANIMATION), control, frame * 2)
    yield entry("frame-on-49-megapixels.webp", kind, on_large, OK, "NO_FACE", "IMAGE_TOO_LARGE")


def _frame(width: int, height: int, picture: bytes) -> bytes:
    """Returns the ANMF chunk of a frame in the upper left corner, shown for a tenth of a second."""
    place = bytes(6) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return riff_chunk(b"ANMF", place + (100).to_bytes(3, "little") + b"\x00" + picture)
