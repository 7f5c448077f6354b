"""Containers by hand: PNG chunks, JPEG segments and RIFF chunks, for files that no encoder would write."""

import struct
import zlib
from collections.abc import Iterable, Iterator

from tests.runtime.images.images import png_chunk

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_END = png_chunk(b"IEND", b"")
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"


def ihdr(width: int, height: int, depth: int = 8, color_type: int = 2, coding: bytes = b"\x00\x00\x00") -> bytes:
    """Returns a PNG's header chunk; coding is its compression, filter and interlace methods."""
    return png_chunk(b"IHDR", struct.pack(">IIBB", width, height, depth, color_type) + coding)


def png(header: bytes, *chunks: bytes) -> bytes:
    return PNG_SIGNATURE + header + b"".join(chunks) + PNG_END


def idat(rows: bytes) -> bytes:
    return png_chunk(b"IDAT", zlib.compress(rows, 9))


def deflated(parts: Iterable[bytes]) -> bytes:
    """Returns one zlib stream of all parts, which are never together in memory."""
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(part) for part in parts) + packer.flush()


def zeros(byte_count: int) -> Iterator[bytes]:
    """Yields so many zero bytes, a mebibyte at a time."""
    block = bytes(2**20)
    for _ in range(byte_count // len(block)):
        yield block
    yield bytes(byte_count % len(block))


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Returns the kind and the body of each chunk of a PNG."""
    chunks, position = [], len(PNG_SIGNATURE)
    while position < len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        chunks.append((kind, data[position + 8 : position + 8 + length]))
        position += 12 + length
    return chunks


def png_of(chunks: Iterable[tuple[bytes, bytes]]) -> bytes:
    return PNG_SIGNATURE + b"".join(png_chunk(kind, body) for kind, body in chunks)


def png_with(data: bytes, kind: bytes, body: bytes) -> bytes:
    """Returns the PNG with one more chunk, right after its header."""
    header, *rest = png_chunks(data)
    return png_of([header, (kind, body), *rest])


def jpeg_segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def jpeg_with(data: bytes, *segments: bytes) -> bytes:
    """Returns the JPEG with more segments, right after its first two bytes."""
    return JPEG_START + b"".join(segments) + data[2:]


def riff_chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\x00" * (len(body) & 1)


def webp_of(*chunks: bytes) -> bytes:
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def patched(data: bytes, position: int, new: bytes) -> bytes:
    return data[:position] + new + data[position + len(new) :]
