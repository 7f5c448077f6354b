"""Calls to Drive from the event loop: in a bounded number of threads, tried again, and given up in time."""

import asyncio
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from gateway.drive_errors import DriveUnavailable, failure_of
from gateway.drive_http import DriveHttp
from gateway.drive_tokens import TokenKeeper
from gateway.metrics import DRIVE_ATTEMPTS
from runtime.errors import Overloaded

WORKERS: Final = 16
_MAX_WAITING: Final = 512
_FIRST_DELAY_S: Final = 0.1
_MAX_DELAY_S: Final = 8.0
_CUT_AGAIN_S: Final = 0.05
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a call is worth waiting for, seconds.

    retry_s: from the first failure to the last attempt's begin; silence_s: for the next byte; total_s: all in all.
    """

    retry_s: float
    silence_s: float
    total_s: float


# A small question that tells whether Drive is there: whoever adds a photo hears so within two seconds.
QUICK: Final = Patience(retry_s=1.2, silence_s=1.5, total_s=1.5)
# An upload is begun after a small question was answered, and may take as long as its caller has.
UPLOAD: Final = Patience(retry_s=1.5, silence_s=10.0, total_s=120.0)
READ: Final = Patience(retry_s=4.0, silence_s=5.0, total_s=30.0)
# What fails is tried again later by itself, and its caller told so.
REMOVE: Final = Patience(retry_s=1.5, silence_s=3.0, total_s=5.0)
# Nobody waits.
BACKGROUND: Final = Patience(retry_s=30.0, silence_s=20.0, total_s=60.0)


class DriveCalls:
    """Runs calls."""

    def __init__(self, tokens: TokenKeeper, *, workers: int = WORKERS) -> None:
        self._tokens = tokens
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="drive")
        self._mine = threading.local()
        # One for each thread; the list grows no longer than they are many.
        self._https: list[DriveHttp] = []
        # Each with its caller, or to be ended.
        self._calls: dict[Future[Any], _Call[Any]] = {}
        self._abandoned: set[asyncio.Task[None]] = set()

    async def run(self, work: Callable[[DriveHttp], Answer], patience: Patience) -> Answer:
        """Returns what the work returns; it is run again after a failure that may pass, in one of the threads.

        Raises DriveUnavailable in time, whatever the thread is held up by; DriveRefused, DriveFull and NotFound. A
        cancelled call's connection is cut.
        """
        if len(self._calls) >= _MAX_WAITING:
            raise Overloaded
        call = _Call(work, patience, self._http)
        future = self._threads.submit(call.run)
        self._calls[future] = call
        try:
            async with asyncio.timeout(patience.total_s):
                return await asyncio.wrap_future(future)
        except TimeoutError as error:
            raise DriveUnavailable from error
        finally:
            del self._calls[future]
            if not future.done():
                task = asyncio.create_task(_end(call, future))
                self._abandoned.add(task)
                task.add_done_callback(self._abandoned.discard)

    async def close(self) -> None:
        """Cuts off what is in progress, whoever waits for it, and ends the threads."""
        ending = [_end(call, future) for future, call in self._calls.items() if not future.cancel()]
        await asyncio.gather(*ending, *self._abandoned)
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        for http in self._https:
            http.close()

    def _http(self) -> DriveHttp:
        """Returns this thread's connections."""
        http: DriveHttp | None = getattr(self._mine, "http", None)
        if http is None:
            http = self._mine.http = DriveHttp(self._tokens)
            self._https.append(http)
        return http


class _Call(Generic[Answer]):
    """One call, in its thread."""

    def __init__(self, work: Callable[[DriveHttp], Answer], patience: Patience, http: Callable[[], DriveHttp]) -> None:
        self._work = work
        self._patience = patience
        self._find_http = http
        self.http: DriveHttp | None = None
        self.is_over = threading.Event()

    def run(self) -> Answer:
        http = self.http = self._find_http()
        http.wait_at_most(self._patience.silence_s)
        give_up_at = float("inf")
        delay_s = _FIRST_DELAY_S
        while True:
            try:
                answer = self._work(http)
            except Exception as error:
                failure = failure_of(error)
                DRIVE_ATTEMPTS.labels("failed").inc()
                now = time.monotonic()
                give_up_at = min(give_up_at, now + self._patience.retry_s)
                wait_s = max(failure.after_s, delay_s * random.uniform(0.5, 1.0))  # noqa: S311
                if not failure.may_retry or now + wait_s > give_up_at or self.is_over.wait(wait_s):
                    raise failure.error from error
                delay_s = min(2 * delay_s, _MAX_DELAY_S)
            else:
                DRIVE_ATTEMPTS.labels("done").inc()
                return answer


async def _end(call: "_Call[Answer]", future: "Future[Answer]") -> None:
    """Ends a call that nobody waits for: until its thread has noticed, whatever connection it opens is cut."""
    call.is_over.set()
    while not future.done():
        if call.http is not None:
            call.http.cut()
        await asyncio.sleep(_CUT_AGAIN_S)
