"""Answers whose reader takes nothing: they are ended, and what they hold is free for others."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final

import grpc.aio
from aiohttp import web

from gateway.pieces import in_pieces
from runtime.errors import DeadlineExceeded

_MESSAGE: Final = "the client does not read its answer"
# For a piece of an answer: 2 KiB a second, and mobile networks are faster.
WRITE_TIMEOUT_S: Final = 30.0


async def write_in_time(request: web.Request, response: web.StreamResponse, data: bytes) -> None:
    """Writes data; raises ConnectionResetError, and ends the connection, when a piece of it is not taken in time."""
    for piece in in_pieces(data):
        async with _in_time(request):
            await response.write(piece)


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
        raise ConnectionResetError(_MESSAGE) from error


class StreamReaders:
    """Ends gRPC streams whose client takes nothing."""

    def __init__(self) -> None:
        # The loop itself keeps tasks by weak references.
        self._ending: set[asyncio.Task[None]] = set()

    @contextmanager
    def taken_in_time(self, context: grpc.aio.ServicerContext[Any, Any]) -> Iterator[None]:
        """Around the yield of a message: ends the call, with DEADLINE_EXCEEDED, when it is not taken in time."""
        handler = asyncio.current_task()
        assert handler is not None

        def end() -> None:
            # The status comes behind what is waiting to be read, and so not before the client reads: it has a task of
            # its own, and the handler, with all that it holds, waits no longer.
            ending = asyncio.ensure_future(_tell(context))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
            handler.cancel()

        alarm = asyncio.get_running_loop().call_later(WRITE_TIMEOUT_S, end)
        try:
            yield
        finally:
            alarm.cancel()


async def _tell(context: grpc.aio.ServicerContext[Any, Any]) -> None:
    error = DeadlineExceeded(_MESSAGE)
    # It raises when it is done, and when the call has ended otherwise.
    with suppress(grpc.aio.BaseError, RuntimeError):
        await context.abort(error.code, error.message)
