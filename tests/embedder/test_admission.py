"""Who is let in, who is refused, and what happens when callers leave or workers die. No times are asserted."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable

import pytest

from embedder.admission import Admission, Caller
from embedder.streams import StreamPlaces, as_finished
from runtime.errors import CallerGone, DeadlineExceeded, NotReady, Overloaded
from runtime.readiness import Readiness
from runtime.tasks import TaskSupervisor

PATIENT = None


class Gate:
    """A job that waits in its thread until it is let go."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.opened = threading.Event()
        self.stages = 0

    def __call__(self, checkpoint: Callable[[], None]) -> str:
        self.started.set()
        assert self.opened.wait(30)
        checkpoint()
        self.stages += 1
        return "done"


@pytest.fixture
async def admission() -> AsyncIterator[Admission]:
    admission = Admission(thread_count=1, queue_limit=2)
    yield admission
    await admission.close()


async def test_full_queue_refuses_unary_calls_at_once(admission: Admission) -> None:
    gate = Gate()
    admitted = [asyncio.create_task(admission.run_or_refuse(gate, Caller(PATIENT))) for _ in range(3)]
    await asyncio.to_thread(gate.started.wait, 30)
    with pytest.raises(Overloaded) as caught:
        await admission.run_or_refuse(gate, Caller(PATIENT))
    assert caught.value.retry_delay_s is not None and caught.value.retry_delay_s > 0
    gate.opened.set()
    assert await asyncio.gather(*admitted) == ["done"] * 3
    assert await admission.run_or_refuse(gate, Caller(PATIENT)) == "done"


async def test_streams_wait_and_leave_room_for_unary_calls(admission: Admission) -> None:
    gate = Gate()
    streamed = [asyncio.create_task(admission.run_when_free(gate, Caller(PATIENT))) for _ in range(10)]
    await asyncio.to_thread(gate.started.wait, 30)
    unary = asyncio.create_task(admission.run_or_refuse(lambda _: "unary", Caller(PATIENT)))
    await asyncio.sleep(0)
    gate.opened.set()
    assert await unary == "unary"
    assert await asyncio.gather(*streamed) == ["done"] * 10


async def test_work_of_a_caller_who_left_never_starts(admission: Admission) -> None:
    gate, never = Gate(), Gate()
    never.opened.set()
    running = asyncio.create_task(admission.run_or_refuse(gate, Caller(PATIENT)))
    await asyncio.to_thread(gate.started.wait, 30)
    queued = asyncio.create_task(admission.run_or_refuse(never, Caller(PATIENT)))
    await asyncio.sleep(0)
    queued.cancel()
    await asyncio.gather(queued, return_exceptions=True)
    gate.opened.set()
    assert await running == "done"
    assert await admission.run_or_refuse(lambda _: "next", Caller(PATIENT)) == "next"
    assert not never.started.is_set()


async def test_work_of_a_caller_who_leaves_stops_before_its_next_stage(admission: Admission) -> None:
    gate = Gate()
    running = asyncio.create_task(admission.run_or_refuse(gate, Caller(PATIENT)))
    await asyncio.to_thread(gate.started.wait, 30)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    gate.opened.set()
    assert await admission.run_or_refuse(lambda _: "next", Caller(PATIENT)) == "next"
    assert gate.stages == 0


async def test_work_past_its_deadline_never_starts(admission: Admission) -> None:
    never = Gate()
    for run in (admission.run_or_refuse, admission.run_when_free):
        with pytest.raises(DeadlineExceeded):
            await run(never, Caller(0.0))
    assert not never.started.is_set()


def test_caller_who_left_is_told_apart_from_one_who_is_late() -> None:
    patient, gone = Caller(PATIENT), Caller(PATIENT)
    patient.check()
    gone.leave()
    with pytest.raises(CallerGone):
        gone.check()


async def test_error_of_a_job_is_its_callers_alone(admission: Admission) -> None:
    def fail(_: Callable[[], None]) -> str:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await admission.run_or_refuse(fail, Caller(PATIENT))
    assert await admission.run_or_refuse(lambda _: "next", Caller(PATIENT)) == "next"


async def test_dead_worker_fails_its_callers_and_the_readiness(admission: Admission) -> None:
    class Death(BaseException):
        pass

    gate = Gate()

    def die(checkpoint: Callable[[], None]) -> str:
        gate(checkpoint)
        raise Death

    readiness = Readiness()
    readiness.mark_ready()
    tasks = TaskSupervisor(readiness)
    tasks.spawn(admission.supervise(), "embedding workers")
    dying = asyncio.create_task(admission.run_or_refuse(die, Caller(PATIENT)))
    await asyncio.to_thread(gate.started.wait, 30)
    queued = [asyncio.create_task(admission.run_or_refuse(lambda _: "never", Caller(PATIENT))) for _ in range(2)]
    await asyncio.sleep(0)
    gate.opened.set()
    outcomes = await asyncio.gather(dying, *queued, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [NotReady] * 3
    with pytest.raises(NotReady):
        await admission.run_or_refuse(lambda _: "never", Caller(PATIENT))
    await tasks.failed.wait()
    assert readiness.has_failed and "embedding workers" in readiness.reason


async def test_closing_fails_what_is_queued() -> None:
    admission = Admission(thread_count=1, queue_limit=2)
    gate = Gate()
    running = asyncio.create_task(admission.run_or_refuse(gate, Caller(PATIENT)))
    await asyncio.to_thread(gate.started.wait, 30)
    queued = asyncio.create_task(admission.run_or_refuse(lambda _: "never", Caller(PATIENT)))
    await asyncio.sleep(0)
    closing = asyncio.create_task(admission.close())
    with pytest.raises(NotReady):
        await queued
    gate.opened.set()
    assert await running == "done"
    await closing


async def numbers(count: int, read: list[int] | None = None) -> AsyncIterator[int]:
    for number in range(count):
        if read is not None:
            read.append(number)
        yield number


async def test_stream_answers_in_the_order_that_work_finishes() -> None:
    gates = [asyncio.Event() for _ in range(3)]

    async def work(number: int) -> int:
        await gates[number].wait()
        return number

    answers = as_finished(numbers(3), work, in_flight=3)
    gates[2].set()
    assert await anext(answers) == 2
    gates[0].set()
    assert await anext(answers) == 0
    gates[1].set()
    assert await anext(answers) == 1
    with pytest.raises(StopAsyncIteration):
        await anext(answers)


async def test_stream_reads_no_further_than_it_can_work() -> None:
    read: list[int] = []
    gate = asyncio.Event()

    async def work(number: int) -> int:
        await gate.wait()
        return number

    answers = as_finished(numbers(100, read), work, in_flight=4)

    async def take_one() -> int:
        return await anext(answers)

    first = asyncio.create_task(take_one())
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(read) == 4
    gate.set()
    assert {await first, *[answer async for answer in answers]} == set(range(100))


async def test_stream_that_is_abandoned_cancels_its_work() -> None:
    cancelled: list[int] = []

    async def work(number: int) -> int:
        if number == 0:
            return number
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(number)
            raise
        return number

    answers = as_finished(numbers(3), work, in_flight=3)
    assert await anext(answers) == 0
    for _ in range(20):
        await asyncio.sleep(0)
    await answers.aclose()  # type: ignore[attr-defined]
    assert sorted(cancelled) in ([1], [1, 2])


def test_a_stream_beyond_the_limit_is_refused_until_another_ends() -> None:
    places = StreamPlaces(1)
    with places.take():
        with pytest.raises(Overloaded) as caught, places.take():
            pass
        assert caught.value.retry_delay_s
    with places.take():
        pass
