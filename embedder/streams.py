"""Working on a stream: a bounded number at once, answers in the order that work finishes."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from embedder import metrics
from runtime.byte_budget import ByteBudget
from runtime.errors import Overloaded

Request = TypeVar("Request")
Answer = TypeVar("Answer")
_RETRY_DELAY_S: Final = 1.0


class StreamPlaces:
    """How many streams may be open at once, and how many bytes of photos wait in all of them for their turn."""

    def __init__(self, count: int, *, max_waiting_bytes: int) -> None:
        self._free = count
        self.waiting_bytes = ByteBudget(max_waiting_bytes)

    @contextmanager
    def take(self) -> Iterator[None]:
        """Holds a place for as long as the stream is open; raises Overloaded when there is none."""
        if not self._free:
            metrics.REFUSED.labels("streams_full").inc()
            raise Overloaded(_RETRY_DELAY_S)
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1


async def as_finished(
    requests: AsyncIterator[Request],
    work: Callable[[Request], Awaitable[Answer]],
    in_flight: int,
    *,
    waiting_bytes: ByteBudget,
    size_of: Callable[[Request], int],
) -> AsyncGenerator[Answer, None]:
    """Yields work(request) for each request, at most in_flight at once, as each finishes.

    No request is read while in_flight are being worked on, or while those of all streams fill waiting_bytes, so that a
    fast sender is held back by the transport. When the consumer stops, or reading fails, everything unfinished is
    cancelled.
    """
    iterator = aiter(requests)
    working: set[asyncio.Task[Answer]] = set()
    reading: asyncio.Task[list[Request]] | None = None
    at_end = False

    async def read_one() -> list[Request]:
        """Returns the next request once there is room for it, or an empty list at the end."""
        async for request in iterator:
            await waiting_bytes.take(size_of(request))
            return [request]
        return []

    def start(request: Request) -> asyncio.Task[Answer]:
        task = asyncio.create_task(_worked(work, request))
        byte_count = size_of(request)
        # However the task ends, even before it began.
        task.add_done_callback(lambda _: waiting_bytes.give_back(byte_count))
        return task

    try:
        while True:
            if reading is None and not at_end and len(working) < in_flight:
                reading = asyncio.create_task(read_one())
            waits: set[asyncio.Task[Any]] = {*working, reading} if reading is not None else {*working}
            if not waits:
                return
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if reading is not None and reading.done():
                requests_read = reading.result()
                reading, at_end = None, not requests_read
                working.update(start(request) for request in requests_read)
            for task in [task for task in working if task.done()]:
                working.discard(task)
                yield task.result()
    finally:
        left: list[asyncio.Task[Any]] = [*working] if reading is None else [*working, reading]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        if reading is not None and not reading.cancelled() and reading.exception() is None:
            for request in reading.result():
                waiting_bytes.give_back(size_of(request))


async def _worked(work: Callable[[Request], Awaitable[Answer]], request: Request) -> Answer:
    return await work(request)
