"""Background tasks whose death is noticed."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from runtime.logs import get_logger
from runtime.readiness import Readiness

_CANCEL_AGAIN_S: Final = 0.5

_log = get_logger(__name__)


class TaskSupervisor:
    """Runs background tasks; one that dies fails the service's readiness and sets ``failed``."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness
        self._tasks: set[asyncio.Task[Any]] = set()
        self.failed = asyncio.Event()

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Starts a task. Its end by an exception fails the service; a normal end and a cancellation do not."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    async def stop(self) -> None:
        """Cancels every task and waits for their ends."""
        tasks = set(self._tasks)
        while tasks:
            # Again, where the first time was lost: what fails while it is being cancelled goes on as after any failure.
            for task in tasks:
                task.cancel()
            _, tasks = await asyncio.wait(tasks, timeout=_CANCEL_AGAIN_S)

    def _on_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            _log.error("background task died", task=task.get_name(), exc_info=error)
            self._readiness.mark_failed(f"{task.get_name()} died")
            self.failed.set()
