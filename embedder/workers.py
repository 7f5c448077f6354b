"""Worker threads that never leave a caller waiting: a thread that dies fails its job and all that were queued."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from runtime.errors import NotReady

Result = TypeVar("Result")


class WorkerPool:
    """A fixed number of threads that run jobs in the order given.

    An Exception of a job belongs to its caller. Anything else that leaves a job ends the whole pool: what state it left
    behind nobody knows, so nothing more runs in this process.
    """

    def __init__(self, thread_count: int, *, name: str, on_death: Callable[[BaseException], None]) -> None:
        """Starts the threads. on_death is called once, from the thread that died."""
        self._jobs: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._on_death = on_death
        self._lock = threading.Lock()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True) for number in range(thread_count)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def thread_count(self) -> int:
        """Threads, alive or not."""
        return len(self._threads)

    def submit(self, job: Callable[[], Result]) -> Future[Result]:
        """Queues a job; the caller bounds how many. Raises NotReady once the pool is closed or dead."""
        future: Future[Result] = Future()
        with self._lock:
            if self._closed:
                raise NotReady("the workers have stopped")
            self._jobs.put((future, job))
        return future

    def close(self, timeout_s: float) -> None:
        """Fails what is queued, lets what runs end, and waits for the threads, each at most timeout_s."""
        self._stop_taking_jobs()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(timeout_s)

    def _work(self) -> None:
        while (item := self._jobs.get()) is not None:
            future, job = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = job()
            except Exception as error:
                future.set_exception(error)
            except BaseException as death:
                future.set_exception(NotReady("a worker died"))
                self._stop_taking_jobs()
                self._on_death(death)
                return
            else:
                future.set_result(result)
            # A finished photo must not stay in memory until the next one comes.
            del item, future, job

    def _stop_taking_jobs(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
        while True:
            try:
                item = self._jobs.get_nowait()
            except queue.Empty:
                break
            if item is not None and item[0].set_running_or_notify_cancel():
                item[0].set_exception(NotReady("the workers have stopped"))
        for _ in self._threads:
            self._jobs.put(None)
