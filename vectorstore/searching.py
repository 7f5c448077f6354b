"""Where searches run: in a few threads, which answer together what waits for one scan; or on the event loop."""

import asyncio
import concurrent.futures
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from runtime.errors import CallerGone, DeadlineExceeded, Overloaded
from runtime.logs import get_logger
from runtime.vectors import Vector
from vectorstore.gallery_view import GalleryView
from vectorstore.index.threads import one_thread_each
from vectorstore.metrics import SCAN_SECONDS, SEARCH_GROUP_QUERIES
from vectorstore.orders import FoundResult, SearchOrder
from vectorstore.search import Outcome, SearchJob, search_gallery
from vectorstore.short_searches import ShortSearches, TakesLongerError

Answer = TypeVar("Answer")
# What is asked of the answers to one request, in the thread that found them.
Finish = Callable[[list[FoundResult]], Any]

# Queries that one scan answers. A product of matrices gains with every query; a scan of codes hardly does, and its
# callers wait for the slowest.
_MOST_EXACT_QUERIES: Final = 64
_MOST_QUERIES: Final = 16

_log = get_logger(__name__)


class _Waiting:
    """One request, from its arrival until its answer; and whether anybody still waits for that."""

    def __init__(
        self, view: GalleryView, targets: Sequence[Vector | int], order: SearchOrder, deadline_s: float, finish: Finish
    ) -> None:
        self.view = view
        self.order = order
        self.query_count = len(targets)
        self.finish = finish
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.caller_is_gone = False
        self._deadline_s = deadline_s
        self.job = SearchJob(targets, order, self.check)

    def check(self) -> None:
        """Raises CallerGone or DeadlineExceeded."""
        if self.caller_is_gone:
            raise CallerGone
        if time.monotonic() >= self._deadline_s:
            raise DeadlineExceeded


class Searcher:
    """Runs searches in threads; refuses them when too many wait, and skips those whose caller no longer waits.

    A thread that is free takes the request that has waited longest, and with it those that want the same scan of the
    same gallery. So nothing ever waits for company, and company makes each search cheaper when there is load. What is
    alone, and short, the event loop does itself.
    """

    def __init__(self, thread_count: int, queue_size: int) -> None:
        # The event loop's thread, in which this is made, searches too.
        one_thread_each()
        self._threads = concurrent.futures.ThreadPoolExecutor(
            thread_count, thread_name_prefix="search", initializer=one_thread_each
        )
        self._thread_count = thread_count
        self._most_open = thread_count + queue_size
        self._short = ShortSearches()
        # Requests without an answer yet.
        self._open = 0
        self._queue: deque[_Waiting] = deque()
        # Threads that take from the queue until it is empty.
        self._at_work = 0
        self._queue_lock = threading.Lock()

    async def search(
        self,
        view: GalleryView,
        targets: Sequence[Vector | int],
        order: SearchOrder,
        timeout_s: float,
        finish: Callable[[list[FoundResult]], Answer],
    ) -> Answer:
        """Answers every target and returns what ``finish``, where they were found, makes of the answers.

        A thousand queries find up to a million matches: making a message of them would hold up the event loop for
        seconds. Raises Overloaded at once when the queue is full, and what the search itself raises.
        """
        if self._open >= self._most_open:
            raise Overloaded(retry_delay_s=0.2)
        waiting = _Waiting(view, targets, order, time.monotonic() + timeout_s, finish)
        answer: Answer
        if not self._open and waiting.query_count == 1 and self._short.are_for_the_loop(view, order):
            with contextlib.suppress(TakesLongerError):
                answer = self._answer_here(waiting)
                return answer
        self._open += 1
        self._enqueue(waiting)
        try:
            answer = await waiting.answer
            return answer
        except asyncio.CancelledError:
            self._leave(waiting)
            raise

    def close(self) -> None:
        """Ends the threads; what still waits is dropped."""
        with self._queue_lock:
            self._queue.clear()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _answer_here(self, waiting: _Waiting) -> Any:
        """Answers on the event loop; raises TakesLongerError, with nothing done, once that would hold it up."""
        start_s = time.monotonic()

        def check() -> None:
            self._short.check(start_s)
            waiting.check()

        answered = False
        try:
            (outcome,) = _search(waiting.view, [waiting.job._replace(check_wanted=check)])
            if isinstance(outcome, Exception):
                raise outcome
            answer = waiting.finish(outcome)
            answered = True
            return answer
        finally:
            self._short.note(waiting.view, waiting.order, time.monotonic() - start_s, answered=answered)
            self._short.note_answered()

    def _enqueue(self, waiting: _Waiting) -> None:
        """Lets a thread answer, another one than those at work where there is one."""
        with self._queue_lock:
            self._queue.append(waiting)
            if self._at_work == self._thread_count:
                return
            self._at_work += 1
        self._threads.submit(self._answer_all, asyncio.get_running_loop())

    def _leave(self, waiting: _Waiting) -> None:
        """The caller went away: what still waits is taken out, what is under way ends at its next look."""
        waiting.caller_is_gone = True
        with self._queue_lock:
            if waiting not in self._queue:
                # Counted until the thread is done with it: a caller who leaves does not free a thread that still works.
                return
            self._queue.remove(waiting)
        self._open -= 1

    def _answer_all(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answers, in a thread, until nothing waits."""
        while group := self._take_group():
            outcomes: list[Any]
            start_s = time.monotonic()
            try:
                found = _search(group[0].view, [waiting.job for waiting in group])
                outcomes = [
                    outcome if isinstance(outcome, Exception) else _finished(waiting, outcome)
                    for waiting, outcome in zip(group, found, strict=True)
                ]
            except Exception as error:
                outcomes = [error] * len(group)
            loop.call_soon_threadsafe(self._deliver, group, outcomes, time.monotonic() - start_s)

    def _take_group(self) -> list[_Waiting]:
        with self._queue_lock:
            if not self._queue:
                self._at_work -= 1
                return []
            group = [self._queue.popleft()]
            view, key = group[0].view, group[0].order.scan_key
            room = (_MOST_EXACT_QUERIES if group[0].order.exact else _MOST_QUERIES) - group[0].query_count
            left: deque[_Waiting] = deque()
            while self._queue and room > 0:
                waiting = self._queue.popleft()
                if waiting.view is view and waiting.query_count <= room and waiting.order.scan_key == key:
                    group.append(waiting)
                    room -= waiting.query_count
                else:
                    left.append(waiting)
            self._queue.extendleft(reversed(left))
        return group

    def _deliver(self, group: Sequence[_Waiting], outcomes: Sequence[Any], duration_s: float) -> None:
        self._open -= len(group)
        first = group[0]
        if len(group) == first.query_count == 1:
            answered = not isinstance(outcomes[0], Exception)
            self._short.note(first.view, first.order, duration_s, answered=answered)
        self._short.note_answered()
        for waiting, outcome in zip(group, outcomes, strict=True):
            if waiting.answer.done():
                continue
            if isinstance(outcome, Exception):
                waiting.answer.set_exception(outcome)
            else:
                waiting.answer.set_result(outcome)


def _search(view: GalleryView, jobs: Sequence[SearchJob]) -> Sequence[Outcome]:
    """Searches, and counts it when it is done: what the event loop gives up is begun anew, and what fails is logged."""
    start_s = time.monotonic()
    outcomes = search_gallery(view, jobs)
    SCAN_SECONDS.observe(time.monotonic() - start_s)
    SEARCH_GROUP_QUERIES.observe(sum(len(job.targets) for job in jobs))
    return outcomes


def _finished(waiting: _Waiting, results: list[FoundResult]) -> Any:
    try:
        return waiting.finish(results)
    except Exception as error:
        return error
