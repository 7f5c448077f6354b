"""Who may have work done, and when: one bounded queue for all calls, and nothing is done for a caller who left."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

from embedder import metrics
from embedder.workers import WorkerPool
from runtime.errors import CallerGone, DeadlineExceeded, Overloaded

Result = TypeVar("Result")

_CLOSE_TIMEOUT_S: Final = 5.0
_FIRST_GUESS_S: Final = 0.1
_SMOOTHING: Final = 0.1


class Caller:
    """One caller's patience. Worker threads ask it before each stage; any thread may."""

    def __init__(self, time_left_s: float | None) -> None:
        self._deadline = None if time_left_s is None else time.monotonic() + time_left_s
        self._gone = threading.Event()

    def leave(self) -> None:
        """Says that nobody waits for the answer any more."""
        self._gone.set()

    def check(self) -> None:
        """Raises CallerGone or DeadlineExceeded when the work would be for nothing."""
        if self._gone.is_set():
            raise CallerGone
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise DeadlineExceeded


Job = Callable[[Callable[[], None]], Result]
"""Work for a thread; it calls what it is given before each of its stages."""


class Admission:
    """Lets at most a fixed number of jobs in. All methods belong to one event loop."""

    def __init__(self, *, thread_count: int, queue_limit: int) -> None:
        """thread_count jobs run at once and queue_limit more wait; unary calls beyond that are refused.

        Streams wait for a place instead, and hold at most half of the queue, so that a bulk import never shuts unary
        calls out.
        """
        self._loop = asyncio.get_running_loop()
        self.death: asyncio.Future[BaseException] = self._loop.create_future()
        self._pool = WorkerPool(thread_count, name="embed", on_death=self._report_death)
        self._capacity = thread_count + queue_limit
        self._stream_places = asyncio.Semaphore(thread_count + queue_limit // 2)
        self._in_flight = 0
        self._job_s = _FIRST_GUESS_S

    async def run_or_refuse(self, job: Job[Result], caller: Caller) -> Result:
        """Runs a job for a unary call. Raises Overloaded at once when the queue is full."""
        if self._in_flight >= self._capacity:
            metrics.REFUSED.inc()
            raise Overloaded(retry_delay_s=self._expected_wait_s())
        return await self._run(job, caller)

    async def run_when_free(self, job: Job[Result], caller: Caller) -> Result:
        """Runs a job for a stream, which waits for its place."""
        async with self._stream_places:
            caller.check()
            return await self._run(job, caller)

    async def supervise(self) -> None:
        """Waits for a worker to die, and raises then."""
        death = await asyncio.shield(self.death)
        raise RuntimeError("an embedding worker died") from death

    async def close(self) -> None:
        """Stops the workers; what is queued fails, what runs may end."""
        await asyncio.to_thread(self._pool.close, _CLOSE_TIMEOUT_S)

    async def _run(self, job: Job[Result], caller: Caller) -> Result:
        def work() -> Result:
            caller.check()
            started = time.monotonic()
            result = job(caller.check)
            self._loop.call_soon_threadsafe(self._note_duration, time.monotonic() - started)
            return result

        future = self._pool.submit(work)
        self._in_flight += 1
        metrics.IN_FLIGHT.set(self._in_flight)
        # The place is free when the thread is done with it, which may be after the caller left.
        future.add_done_callback(lambda _: self._call_soon(self._free_place))
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            caller.leave()
            raise

    def _call_soon(self, callback: Callable[[], None]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback)

    def _free_place(self) -> None:
        self._in_flight -= 1
        metrics.IN_FLIGHT.set(self._in_flight)

    def _note_duration(self, duration_s: float) -> None:
        self._job_s += _SMOOTHING * (duration_s - self._job_s)

    def _expected_wait_s(self) -> float:
        """How long the queue now takes to empty, kept between a tenth of a second and half a minute."""
        return min(max(self._job_s * self._in_flight / self._pool.thread_count, 0.1), 30.0)

    def _report_death(self, death: BaseException) -> None:
        def tell() -> None:
            if not self.death.done():
                self.death.set_result(death)

        self._call_soon(tell)
