"""One thread that alone uses a device; whoever needs the device asks it and waits.

FAISS's GPU objects bear one thread. Work that waits and is of one kind is done in one call: a scan of a gallery costs
the same for one query as for many. Nothing waits for company while the device is idle.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from runtime.errors import DependencyUnavailable, Overloaded, forget_frames
from runtime.logs import get_logger

_log = get_logger(__name__)

Payload = TypeVar("Payload")
Answer = TypeVar("Answer")

# Jobs that wait: far above the threads that search, so that only a leak of callers reaches it.
MAX_WAITING: Final = 4096
# Queries answered by one call; what is beyond goes into the next.
MAX_GROUP_WEIGHT: Final = 1024
# No scan and no upload piece takes a fraction of this; a device that is silent so long is lost.
ANSWER_TIMEOUT_S: Final = 120.0
_STOP_TIMEOUT_S: Final = 10.0


class OwnerLost(Exception):
    """Raised by a job when the device is beyond use: its owner ends, and everybody who waits is told."""


@dataclass(frozen=True, slots=True)
class _Job:
    """payload: what the group's function gets of it. group: None for work that nothing joins."""

    run: Callable[[Sequence[Any]], Sequence[Any]]
    payload: Any
    group: object
    weight: int
    answer: Future[Any] = field(default_factory=Future)


class DeviceOwner:
    """Runs jobs in one thread, in turn. Bounded; when it dies, its callers fail and so do all later ones."""

    def __init__(
        self,
        name: str,
        *,
        max_waiting: int = MAX_WAITING,
        max_group_weight: int = MAX_GROUP_WEIGHT,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> None:
        self._name = name
        self._max_waiting = max_waiting
        self._max_group_weight = max_group_weight
        self._answer_timeout_s = answer_timeout_s
        self._waiting: deque[_Job] = deque()
        self._running: list[_Job] = []
        self._changed = threading.Condition()
        self._stopping = False
        self._end: Future[None] = Future()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """True while jobs are taken."""
        return not self._end.done()

    def run(self, work: Callable[[], Answer]) -> Answer:
        """Runs the work alone in the owner's thread; returns its answer or raises its error.

        Raises Overloaded when too many jobs wait, DependencyUnavailable when the owner is dead or dies of it.
        """
        answer: Answer = self._wait_for(_Job(lambda _: [work()], None, None, 1))
        return answer

    def run_grouped(
        self, group: object, run: Callable[[Sequence[Payload]], Sequence[Answer]], payload: Payload, weight: int
    ) -> Answer:
        """Runs ``run`` with this payload and those of all jobs of an equal group that wait; returns its own answer.

        run: the same for each job of the group; returns one answer a payload, in order. weight: how much of
        ``max_group_weight`` the payload takes; one that is heavier than all of it goes alone. Raises as ``run`` does.
        """
        answer: Answer = self._wait_for(_Job(run, payload, group, weight))
        return answer

    def post(self, work: Callable[[], None]) -> None:
        """Has the work done some time, and waits for nothing: for what is given back. Does nothing on a dead owner."""

        def run(_: Sequence[None]) -> Sequence[None]:
            work()
            return (None,)

        with self._changed:
            if not self._stopping and not self._end.done():
                self._waiting.append(_Job(run, None, None, 1))
                self._changed.notify_all()

    async def watch(self) -> None:
        """Returns once the owner was stopped; raises what it died of: for a supervised task, which turns health."""
        await asyncio.shield(asyncio.wrap_future(self._end))

    def stop(self) -> None:
        """Ends the thread after the job that it works on; what waits is refused."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(_STOP_TIMEOUT_S)

    def _wait_for(self, job: _Job) -> Any:
        if threading.current_thread() is self._thread:
            raise RuntimeError("the owner's own thread must not wait for itself")
        with self._changed:
            if self._stopping or self._end.done():
                raise self._gone()
            if len(self._waiting) >= self._max_waiting:
                raise Overloaded(retry_delay_s=0.2)
            self._waiting.append(job)
            self._changed.notify_all()
        try:
            return job.answer.result(self._answer_timeout_s)
        except FutureTimeoutError:
            if job.answer.done():
                # The job's own error, or an answer that came at the last moment.
                return job.answer.result()
            self._die(TimeoutError(f"{self._name} did not answer within {self._answer_timeout_s:g} s"))
            raise self._gone() from None

    def _work(self) -> None:
        try:
            while jobs := self._next_jobs():
                self._do(jobs)
                with self._changed:
                    self._running = []
                # They hold vectors, and stores that may be given up while the device is idle.
                jobs.clear()
        except BaseException as error:
            self._die(error)
            return
        self._die(None)

    def _next_jobs(self) -> list[_Job]:
        """Waits for a job; returns it with those of its group, an empty list once the owner is to stop."""
        with self._changed:
            while not self._waiting:
                if self._stopping or self._end.done():
                    return []
                self._changed.wait()
            if self._stopping or self._end.done():
                return []
            first = self._waiting.popleft()
            jobs, weight = [first], first.weight
            if first.group is not None:
                # So many and no more: what is let go of meanwhile may post something, in this very thread.
                for _ in range(len(self._waiting)):
                    job = self._waiting.popleft()
                    if job.group == first.group and weight + job.weight <= self._max_group_weight:
                        jobs.append(job)
                        weight += job.weight
                    else:
                        self._waiting.append(job)
            self._running = jobs
            return jobs

    def _do(self, jobs: Sequence[_Job]) -> None:
        try:
            answers = jobs[0].run([job.payload for job in jobs])
            if len(answers) != len(jobs):
                raise RuntimeError(f"a group of {len(jobs)} jobs got {len(answers)} answers")
        except OwnerLost:
            raise
        except Exception as error:
            for job in jobs:
                _settle(job, error=error)
            return
        for job, answer in zip(jobs, answers, strict=True):
            _settle(job, answer=answer)

    def _die(self, error: BaseException | None) -> None:
        """Fails everybody who waits, and everybody who comes later. error: None when it was asked to stop."""
        with self._changed:
            if self._end.done():
                return
            if error is None:
                self._end.set_result(None)
            else:
                _log.error("the owner of a device is lost", device=self._name, exc_info=error)
                forget_frames(error)
                self._end.set_exception(error)
            jobs = [*self._running, *self._waiting]
            self._waiting.clear()
            self._changed.notify_all()
        for job in jobs:
            _settle(job, error=self._gone())

    def _gone(self) -> DependencyUnavailable:
        return DependencyUnavailable(self._name)


def _settle(job: _Job, *, answer: Any = None, error: BaseException | None = None) -> None:
    try:
        if error is None:
            job.answer.set_result(answer)
        else:
            job.answer.set_exception(error)
    except InvalidStateError:
        # Its caller gave up, or was told already that the owner is lost.
        return
