"""Where searches run: a few threads with a bounded queue before them, off the event loop."""

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import faiss

from runtime.errors import CallerGone, DeadlineExceeded, Overloaded
from runtime.vectors import Vector
from vectorstore.gallery_view import GalleryView
from vectorstore.metrics import SCAN_SECONDS
from vectorstore.search import FoundResult, SearchOrder, search_gallery

Answer = TypeVar("Answer")


def _one_thread_each() -> None:
    # OpenMP counts threads for each calling thread. Searches run beside one another already; a pool under each of them
    # would only fight over the cores.
    faiss.omp_set_num_threads(1)


class Searcher:
    """Runs searches in threads; refuses them when too many wait, and skips those whose caller no longer waits."""

    def __init__(self, thread_count: int, queue_size: int) -> None:
        self._threads = concurrent.futures.ThreadPoolExecutor(
            thread_count, thread_name_prefix="search", initializer=_one_thread_each
        )
        self._most_open = thread_count + queue_size
        self._open = 0

    async def search(
        self,
        view: GalleryView,
        targets: Sequence[Vector | int],
        order: SearchOrder,
        timeout_s: float,
        finish: Callable[[list[FoundResult]], Answer],
    ) -> Answer:
        """Answers every target and returns what ``finish``, in the same thread, makes of the answers.

        A thousand queries find up to a million matches: making a message of them would hold up the event loop for
        seconds. Raises Overloaded at once when the queue is full, and what the search itself raises.
        """
        if self._open >= self._most_open:
            raise Overloaded(retry_delay_s=0.2)
        wanted = _Wanted(time.monotonic() + timeout_s)

        def answer() -> Answer:
            wanted.check()
            with SCAN_SECONDS.time():
                results = search_gallery(view, targets, order, wanted.check)
            return finish(results)

        self._open += 1
        work = self._threads.submit(answer)
        # Counted until the thread is done with it: a caller who leaves does not free a thread that still works.
        loop = asyncio.get_running_loop()
        work.add_done_callback(lambda _: loop.call_soon_threadsafe(self._close_one))
        try:
            # Cancelling this wait, as happens when the caller goes away, takes the work out of the queue.
            return await asyncio.wrap_future(work)
        finally:
            wanted.caller_is_gone.set()

    def close(self) -> None:
        """Ends the threads; what still waits is dropped."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _close_one(self) -> None:
        self._open -= 1


class _Wanted:
    """Whether anybody still waits for an answer; asked between one query and the next."""

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self.caller_is_gone = threading.Event()

    def check(self) -> None:
        """Raises CallerGone or DeadlineExceeded."""
        if self.caller_is_gone.is_set():
            raise CallerGone
        if time.monotonic() >= self._deadline_s:
            raise DeadlineExceeded
