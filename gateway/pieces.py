"""The pieces in which files are streamed to callers: small, however much a store hands out at a time."""

from collections.abc import Iterator
from typing import Final

PIECE_BYTES: Final = 64 * 1024


def in_pieces(data: bytes) -> Iterator[bytes]:
    """Yields the data, PIECE_BYTES at a time."""
    for start in range(0, len(data), PIECE_BYTES):
        yield data[start : start + PIECE_BYTES]
