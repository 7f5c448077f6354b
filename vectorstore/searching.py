"""Where searches run: a few threads with a bounded queue before them, off the event loop."""

import asyncio
import concurrent.futures
import functools
import time
from collections.abc import Sequence

import faiss

from runtime.errors import DeadlineExceeded, Overloaded
from runtime.vectors import Vector
from vectorstore.gallery_view import GalleryView
from vectorstore.metrics import SCAN_SECONDS
from vectorstore.search import FoundResult, SearchOrder, search_gallery


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
        self, view: GalleryView, targets: Sequence[Vector | int], order: SearchOrder, timeout_s: float
    ) -> list[FoundResult]:
        """Answers every target; raises Overloaded at once when the queue is full, and what the search itself raises."""
        if self._open >= self._most_open:
            raise Overloaded(retry_delay_s=0.2)
        deadline_s = time.monotonic() + timeout_s
        self._open += 1
        work = self._threads.submit(functools.partial(_search_in_time, view, targets, order, deadline_s))
        # Counted until the thread is done with it: a caller who leaves does not free a thread that still works.
        loop = asyncio.get_running_loop()
        work.add_done_callback(lambda _: loop.call_soon_threadsafe(self._close_one))
        # Cancelling this wait, as happens when the caller goes away, takes the work out of the queue.
        return await asyncio.wrap_future(work)

    def close(self) -> None:
        """Ends the threads; what still waits is dropped."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _close_one(self) -> None:
        self._open -= 1


def _search_in_time(
    view: GalleryView, targets: Sequence[Vector | int], order: SearchOrder, deadline_s: float
) -> list[FoundResult]:
    if time.monotonic() >= deadline_s:
        raise DeadlineExceeded
    with SCAN_SECONDS.time():
        return search_gallery(view, targets, order)
