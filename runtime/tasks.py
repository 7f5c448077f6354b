"""Background tasks whose death is noticed."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from runtime.logs import get_logger
from runtime.readiness import Readiness

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
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _on_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            _log.error("background task died", task=task.get_name(), exc_info=error)
            self._readiness.mark_failed(f"{task.get_name()} died")
            self.failed.set()
