"""Who may have work done, and when: one bounded queue for all calls, and nothing is done for a caller who left."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from embedder import metrics
from embedder.board import StageRunner
from embedder.caller import Caller
from embedder.scheduler import Scheduler
from embedder.steps import Stage, Steps
from runtime.errors import Overloaded

Result = TypeVar("Result")

_CLOSE_TIMEOUT_S: Final = 5.0


class Admission:
    """The event loop's door to the workers. All methods belong to one event loop."""

    def __init__(
        self, stages: Mapping[Stage, StageRunner], *, thread_count: int, queue_limit: int, max_begun: int
    ) -> None:
        """queue_limit: photos of unary calls that may wait; beyond that they are refused.

        Photos of streams wait as long as it takes: a stream is bounded by what it may have under way. Turns go to the
        caller who has had the least of the workers' time, so that a bulk import never shuts anybody out.
        """
        self._loop = asyncio.get_running_loop()
        self.death: asyncio.Future[BaseException] = self._loop.create_future()
        self._scheduler = Scheduler(
            stages,
            thread_count=thread_count,
            queue_limit=queue_limit,
            max_begun=max_begun,
            on_death=self._report_death,
        )

    async def run_or_refuse(self, steps: Steps[Result], caller: Caller) -> Result:
        """Does a unary call's work. Raises Overloaded at once when the queue is full."""
        try:
            result: Result = await self._run(steps, caller, refusable=True)
            return result
        except Overloaded:
            metrics.REFUSED.labels("queue_full").inc()
            raise

    async def run_when_free(self, steps: Steps[Result], caller: Caller) -> Result:
        """Does the work for one photo of a stream, which waits for its turn."""
        result: Result = await self._run(steps, caller, refusable=False)
        return result

    async def supervise(self) -> None:
        """Waits for a worker to die, and raises then."""
        death = await asyncio.shield(self.death)
        raise RuntimeError("an embedding worker died") from death

    async def close(self) -> None:
        """Stops the workers; what is not answered fails, and what runs may end."""
        await asyncio.to_thread(self._scheduler.close, _CLOSE_TIMEOUT_S)

    async def _run(self, steps: Steps[Any], caller: Caller, *, refusable: bool) -> Any:
        caller.check()
        photo = self._scheduler.submit(steps, caller, refusable=refusable)
        try:
            return await asyncio.wrap_future(photo.future)
        except asyncio.CancelledError:
            self._scheduler.withdraw(photo)
            raise
        finally:
            # The error that a future holds has this frame in it, and this frame the future.
            del photo

    def _report_death(self, death: BaseException) -> None:
        def tell() -> None:
            if not self.death.done():
                self.death.set_result(death)

        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(tell)
