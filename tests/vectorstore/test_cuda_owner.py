"""The thread that alone uses a device: grouping, bounds and what its death does to those who wait."""

import asyncio
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from runtime.errors import DependencyUnavailable, Overloaded
from runtime.readiness import Readiness
from runtime.tasks import TaskSupervisor
from vectorstore.index.owner import DeviceOwner, OwnerLost


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(32) as threads:
        yield threads


class _Gate:
    """Holds the owner up inside a job."""

    def __init__(self, owner: DeviceOwner, pool: ThreadPoolExecutor) -> None:
        self._open, self._reached = threading.Event(), threading.Event()
        self.answer = pool.submit(owner.run, self._hold)
        assert self._reached.wait(10)

    def _hold(self) -> str:
        self._reached.set()
        assert self._open.wait(10)
        return "held"

    def open(self) -> None:
        self._open.set()


def _waiting_count(owner: DeviceOwner, count: int) -> bool:
    end_s = time.monotonic() + 10
    while len(owner._waiting) != count:
        if time.monotonic() > end_s:
            return False
        time.sleep(0.001)
    return True


def test_jobs_run_in_one_thread_and_their_errors_reach_their_own_callers(pool: ThreadPoolExecutor) -> None:
    owner = DeviceOwner("a device")
    try:
        threads = {future.result() for future in [pool.submit(owner.run, threading.get_ident) for _ in range(20)]}
        assert len(threads) == 1
        assert threading.get_ident() not in threads
        with pytest.raises(ZeroDivisionError):
            owner.run(lambda: 1 // 0)
        assert owner.run(lambda: 7) == 7
    finally:
        owner.stop()


def test_what_waits_is_answered_by_one_call_and_what_does_not_is_not_kept_waiting(pool: ThreadPoolExecutor) -> None:
    owner, calls = DeviceOwner("a device", max_group_weight=10), []

    def double(payloads: Sequence[int]) -> list[int]:
        calls.append(list(payloads))
        return [2 * payload for payload in payloads]

    def triple(payloads: Sequence[int]) -> list[int]:
        calls.append(list(payloads))
        return [3 * payload for payload in payloads]

    try:
        assert owner.run_grouped("double", double, 50, 1) == 100
        assert calls == [[50]]
        gate = _Gate(owner, pool)
        doubled = []
        for number in range(12):
            doubled.append(pool.submit(owner.run_grouped, "double", double, number, 1))
            assert _waiting_count(owner, number + 1)
        tripled = pool.submit(owner.run_grouped, "triple", triple, 9, 1)
        assert _waiting_count(owner, 13)
        gate.open()
        assert [future.result() for future in doubled] == [2 * number for number in range(12)]
        assert tripled.result() == 27
        # Ten fill a group; two are left for the next, behind the other kind, which came before them in no case.
        assert calls[1] == list(range(10))
        assert sorted(map(tuple, calls[2:])) == [(9,), (10, 11)]
    finally:
        owner.stop()


def test_a_failing_group_fails_each_of_its_callers(pool: ThreadPoolExecutor) -> None:
    owner = DeviceOwner("a device")

    def fail(_: Sequence[int]) -> list[int]:
        raise ValueError("no")

    def answer_too_few(_: Sequence[int]) -> list[int]:
        return []

    try:
        gate = _Gate(owner, pool)
        futures = [pool.submit(owner.run_grouped, "fail", fail, 1, 1) for _ in range(3)]
        gate.open()
        for future in futures:
            with pytest.raises(ValueError, match="no"):
                future.result()
        with pytest.raises(RuntimeError, match="got 0 answers"):
            owner.run_grouped("few", answer_too_few, 1, 1)
        assert owner.is_alive
    finally:
        owner.stop()


def test_more_than_the_queue_holds_is_refused(pool: ThreadPoolExecutor) -> None:
    owner = DeviceOwner("a device", max_waiting=3)
    try:
        gate = _Gate(owner, pool)
        waiting = [pool.submit(owner.run, lambda: 1) for _ in range(3)]
        assert _waiting_count(owner, 3)
        with pytest.raises(Overloaded):
            owner.run(lambda: 1)
        gate.open()
        assert [future.result() for future in waiting] == [1, 1, 1]
    finally:
        owner.stop()


def _lose() -> Any:
    raise OwnerLost("the device fell off the bus")


def test_dead_owner_fails_its_callers_and_all_later_ones(pool: ThreadPoolExecutor) -> None:
    owner = DeviceOwner("a device")
    gate = _Gate(owner, pool)
    fatal = pool.submit(owner.run, _lose)
    assert _waiting_count(owner, 1)
    waiting = [pool.submit(owner.run, lambda: 1) for _ in range(5)]
    assert _waiting_count(owner, 6)
    gate.open()
    assert gate.answer.result() == "held"
    for future in [fatal, *waiting]:
        with pytest.raises(DependencyUnavailable, match="a device"):
            future.result(10)
    with pytest.raises(DependencyUnavailable):
        owner.run(lambda: 1)
    assert not owner.is_alive


def test_an_owner_that_does_not_answer_in_time_is_lost(pool: ThreadPoolExecutor) -> None:
    owner = DeviceOwner("a device", answer_timeout_s=0.2)
    stuck = threading.Event()
    try:
        first = pool.submit(owner.run, lambda: stuck.wait(10))
        with pytest.raises(DependencyUnavailable):
            first.result(10)
        with pytest.raises(DependencyUnavailable):
            owner.run(lambda: 1)
    finally:
        stuck.set()


def test_a_job_s_own_time_out_is_no_silence_of_the_device() -> None:
    owner = DeviceOwner("a device")

    def time_out() -> None:
        raise TimeoutError("of its own")

    try:
        with pytest.raises(TimeoutError, match="of its own"):
            owner.run(time_out)
        assert owner.is_alive
    finally:
        owner.stop()


def test_an_owner_that_waited_for_itself_would_wait_for_ever() -> None:
    owner = DeviceOwner("a device")
    try:
        with pytest.raises(RuntimeError, match="itself"):
            owner.run(lambda: owner.run(lambda: 1))
    finally:
        owner.stop()


def test_an_idle_owner_holds_nothing_of_what_it_worked_on() -> None:
    class Vectors:
        pass

    owner, vectors = DeviceOwner("a device"), Vectors()
    gone = weakref.ref(vectors)
    try:
        assert owner.run_grouped("group", lambda payloads: [1 for _ in payloads], vectors, 1) == 1
        del vectors
        end_s = time.monotonic() + 10
        while gone() is not None:
            assert time.monotonic() < end_s
            time.sleep(0.001)
    finally:
        owner.stop()


def test_what_is_posted_is_done_and_its_error_is_nobody_s(pool: ThreadPoolExecutor) -> None:
    owner = DeviceOwner("a device")
    done: list[int] = []
    try:
        owner.post(lambda: done.append(1 // 0))
        owner.post(lambda: done.append(threading.get_ident()))
        assert owner.run(threading.get_ident) == done[0]
    finally:
        owner.stop()
    owner.post(lambda: done.append(3))
    assert len(done) == 1


def test_what_is_posted_while_a_group_is_gathered_is_done_and_breaks_nothing(pool: ThreadPoolExecutor) -> None:
    """As when the last of something is let go of in the middle of it, and its end asks for the device."""
    owner = DeviceOwner("a device", answer_timeout_s=20)
    posted: list[int] = []

    class Group:
        def __eq__(self, other: object) -> bool:
            if threading.current_thread() is owner._thread:
                owner.post(lambda: posted.append(1))
            return isinstance(other, Group)

        __hash__ = None  # type: ignore[assignment]

    try:
        gate = _Gate(owner, pool)
        answers = []
        for number in range(6):
            group = Group() if number % 2 else "another"
            answers.append(pool.submit(owner.run_grouped, group, lambda payloads: payloads, number, 1))
            assert _waiting_count(owner, number + 1)
        gate.open()
        assert [answer.result(10) for answer in answers] == list(range(6))
        assert owner.run(lambda: len(posted)) > 0
        assert owner.is_alive
    finally:
        owner.stop()


async def test_the_death_of_an_owner_turns_health() -> None:
    readiness = Readiness()
    tasks = TaskSupervisor(readiness)
    owner = DeviceOwner("a device")
    task = tasks.spawn(owner.watch(), "CUDA device")
    readiness.mark_ready()
    with pytest.raises(DependencyUnavailable):
        await asyncio.to_thread(owner.run, _lose)
    await asyncio.wait([task], timeout=10)
    assert readiness.has_failed
    assert tasks.failed.is_set()


async def test_stopping_an_owner_is_no_death() -> None:
    owner = DeviceOwner("a device")
    watching = asyncio.create_task(owner.watch())
    await asyncio.to_thread(owner.stop)
    await asyncio.wait_for(watching, 10)
    with pytest.raises(DependencyUnavailable):
        owner.run(lambda: 1)
