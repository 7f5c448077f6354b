"""Answers over HTTP whose reader takes nothing: they are ended, and what they hold is free for others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

# For a part of an answer; a client that reads at all is faster.
WRITE_TIMEOUT_S: Final = 30.0
# What is asked of a reader in that time, however large a piece is: 2 KiB a second, and mobile networks are faster.
_PART_BYTES: Final = 64 * 1024


async def write_in_time(request: web.Request, response: web.StreamResponse, data: bytes) -> None:
    """Writes a piece; raises ConnectionResetError, and ends the connection, when some of it is not taken in time."""
    for start in range(0, len(data), _PART_BYTES):
        async with _in_time(request):
            await response.write(data[start : start + _PART_BYTES])


async def end_in_time(request: web.Request, response: web.StreamResponse) -> None:
    """Ends an answer; raises ConnectionResetError as write_in_time does."""
    async with _in_time(request):
        await response.write_eof()


@asynccontextmanager
async def _in_time(request: web.Request) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(WRITE_TIMEOUT_S):
            yield
    except TimeoutError as error:
        # Whoever reads nothing would otherwise hold this call's place, and its work, for ever.
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the client does not read its answer") from error
