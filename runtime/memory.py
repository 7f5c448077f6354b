"""Memory that was used once goes back to the system: a service that met a huge photo does not stay huge."""

import ctypes
import sys
from typing import Final

# malloc.h of the GNU C library.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8

_LARGE_BYTES: Final = 8 * 2**20
"""Blocks of this size and more are pages of their own, given back when they are freed.

Left to itself the C library raises this to 32 MiB once such a block was freed, and keeps all below for later. Smaller
than this is what an ordinary photo takes: pages for it anew each time would cost a few per cent.
"""

_KEPT_BYTES: Final = 32 * 2**20
_ARENAS: Final = 4


def return_freed_memory() -> None:
    """Sets the C library's allocator so; on systems with another library, changes nothing."""
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has no such function.
        return
    for parameter, value in (
        (_M_MMAP_THRESHOLD, _LARGE_BYTES),
        (_M_TRIM_THRESHOLD, _KEPT_BYTES),
        (_M_ARENA_MAX, _ARENAS),
    ):
        mallopt(parameter, value)
