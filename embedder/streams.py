"""Working on a stream: a bounded number at once, answers in the order that work finishes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from runtime.errors import Overloaded

Request = TypeVar("Request")
Answer = TypeVar("Answer")
_RETRY_DELAY_S: Final = 1.0


class StreamPlaces:
    """How many streams may be open at once: each holds whole photos in memory while they wait for their turn."""

    def __init__(self, count: int) -> None:
        self._free = count

    @contextmanager
    def take(self) -> Iterator[None]:
        """Holds a place for as long as the stream is open; raises Overloaded when there is none."""
        if not self._free:
            raise Overloaded(_RETRY_DELAY_S)
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1


async def as_finished(
    requests: AsyncIterator[Request], work: Callable[[Request], Awaitable[Answer]], in_flight: int
) -> AsyncIterator[Answer]:
    """Yields work(request) for each request, at most in_flight at once, as each finishes.

    No request is read while in_flight are being worked on, so that a fast sender is held back by the transport. When
    the consumer stops, or reading fails, everything unfinished is cancelled.
    """
    iterator = aiter(requests)
    working: set[asyncio.Task[Answer]] = set()
    reading: asyncio.Task[list[Request]] | None = None
    at_end = False
    try:
        while True:
            if reading is None and not at_end and len(working) < in_flight:
                reading = asyncio.create_task(_read_one(iterator))
            waits: set[asyncio.Task[Any]] = {*working, reading} if reading is not None else {*working}
            if not waits:
                return
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if reading is not None and reading.done():
                requests_read = reading.result()
                reading, at_end = None, not requests_read
                working.update(asyncio.create_task(_worked(work, request)) for request in requests_read)
            for task in [task for task in working if task.done()]:
                working.discard(task)
                yield task.result()
    finally:
        left: list[asyncio.Task[Any]] = [*working] if reading is None else [*working, reading]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


async def _read_one(iterator: AsyncIterator[Request]) -> list[Request]:
    """Returns the next request, or an empty list at the end."""
    async for request in iterator:
        return [request]
    return []


async def _worked(work: Callable[[Request], Awaitable[Answer]], request: Request) -> Answer:
    return await work(request)
