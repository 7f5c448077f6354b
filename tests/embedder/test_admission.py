"""Who is let in, who is refused, and what happens when callers leave or workers die. No times are asserted."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from embedder.admission import Admission
from embedder.board import StageRunner
from embedder.caller import Caller
from embedder.steps import Ask, Stage, Steps
from runtime.errors import CallerGone, DeadlineExceeded, NotReady, Overloaded
from runtime.readiness import Readiness
from runtime.tasks import TaskSupervisor

PATIENT = None


class Gate:
    """Work whose first stage waits in its thread until it is let go; stages counts those that ran."""

    def __init__(self, *, stages: int = 1, dies: BaseException | None = None) -> None:
        self.started = threading.Event()
        self.opened = threading.Event()
        self.stages = 0
        self._count = stages
        self._dies = dies

    def __call__(self) -> str:
        self.started.set()
        assert self.opened.wait(30)
        if self._dies is not None:
            raise self._dies
        self.stages += 1
        return "done"

    def steps(self) -> Steps[str]:
        answer = "nothing"
        for _ in range(self._count):
            [answer] = yield Ask(Stage.DECODE, [self])
        return answer


def at_once(answer: str) -> Steps[str]:
    [result] = yield Ask(Stage.DECODE, [lambda: answer])
    text: str = result
    return text


def calls(items: list[Callable[[], Any]]) -> list[Any]:
    return [item() for item in items]


def one_thread(queue_limit: int = 2) -> Admission:
    runners = {Stage.DECODE: StageRunner(calls, max_batch=1, max_running=1)}
    return Admission(runners, thread_count=1, queue_limit=queue_limit, max_begun=1)


@pytest.fixture
async def admission() -> AsyncIterator[Admission]:
    admission = one_thread()
    yield admission
    await admission.close()


async def test_full_queue_refuses_unary_calls_at_once(admission: Admission) -> None:
    gate = Gate()
    running = asyncio.create_task(admission.run_or_refuse(gate.steps(), Caller(PATIENT)))
    await asyncio.to_thread(gate.started.wait, 30)
    waiting = [asyncio.create_task(admission.run_or_refuse(at_once("next"), Caller(PATIENT))) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as caught:
        await admission.run_or_refuse(at_once("never"), Caller(PATIENT))
    assert caught.value.retry_delay_s is not None and caught.value.retry_delay_s > 0
    gate.opened.set()
    assert await asyncio.gather(running, *waiting) == ["done", "next", "next"]
    assert await admission.run_or_refuse(at_once("again"), Caller(PATIENT)) == "again"


async def test_caller_with_many_waiting_loses_a_place_to_one_with_none(admission: Admission) -> None:
    gate = Gate()
    running = asyncio.create_task(admission.run_or_refuse(gate.steps(), Caller(PATIENT, "greedy")))
    await asyncio.to_thread(gate.started.wait, 30)
    greedy = [
        asyncio.create_task(admission.run_or_refuse(at_once("greedy"), Caller(PATIENT, "greedy"))) for _ in range(2)
    ]
    await asyncio.sleep(0)
    modest = asyncio.create_task(admission.run_or_refuse(at_once("modest"), Caller(PATIENT, "modest")))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await greedy[1]
    # Level now: nobody else's place is taken.
    with pytest.raises(Overloaded):
        await admission.run_or_refuse(at_once("more"), Caller(PATIENT, "modest"))
    gate.opened.set()
    assert [await running, await greedy[0], await modest] == ["done", "greedy", "modest"]


async def test_streams_wait_and_leave_room_for_unary_calls(admission: Admission) -> None:
    gate = Gate()
    running = asyncio.create_task(admission.run_when_free(gate.steps(), Caller(PATIENT, "stream")))
    await asyncio.to_thread(gate.started.wait, 30)
    order: list[str] = []

    async def noted(name: str, work: Any) -> None:
        await work
        order.append(name)

    streamed = [
        asyncio.create_task(noted("stream", admission.run_when_free(at_once("s"), Caller(PATIENT, "stream"))))
        for _ in range(10)
    ]
    await asyncio.sleep(0)
    unary = asyncio.create_task(noted("unary", admission.run_or_refuse(at_once("u"), Caller(PATIENT, "unary"))))
    await asyncio.sleep(0)
    gate.opened.set()
    await asyncio.gather(running, unary, *streamed)
    # The stream has had worker time and the newcomer none: it is not the last of eleven.
    assert order.index("unary") <= 2


async def test_work_of_a_caller_who_left_never_starts(admission: Admission) -> None:
    gate, never = Gate(), Gate()
    never.opened.set()
    running = asyncio.create_task(admission.run_or_refuse(gate.steps(), Caller(PATIENT)))
    await asyncio.to_thread(gate.started.wait, 30)
    queued = [asyncio.create_task(admission.run_or_refuse(never.steps(), Caller(PATIENT))) for _ in range(2)]
    await asyncio.sleep(0)
    for task in queued:
        task.cancel()
    await asyncio.gather(*queued, return_exceptions=True)
    # Their places are free at once, while the first still runs.
    next_one = asyncio.create_task(admission.run_or_refuse(at_once("next"), Caller(PATIENT)))
    await asyncio.sleep(0)
    assert not next_one.done()
    gate.opened.set()
    assert await running == "done"
    assert await next_one == "next"
    assert not never.started.is_set()


async def test_work_of_a_caller_who_leaves_stops_before_its_next_stage(admission: Admission) -> None:
    gate = Gate(stages=2)
    running = asyncio.create_task(admission.run_or_refuse(gate.steps(), Caller(PATIENT)))
    await asyncio.to_thread(gate.started.wait, 30)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    gate.opened.set()
    assert await admission.run_or_refuse(at_once("next"), Caller(PATIENT)) == "next"
    assert gate.stages == 1


async def test_work_past_its_deadline_never_starts(admission: Admission) -> None:
    never = Gate()
    for run in (admission.run_or_refuse, admission.run_when_free):
        with pytest.raises(DeadlineExceeded):
            await run(never.steps(), Caller(0.0))
    assert not never.started.is_set()


def test_caller_who_left_is_told_apart_from_one_who_is_late() -> None:
    patient, gone = Caller(PATIENT), Caller(PATIENT)
    patient.check()
    gone.leave()
    with pytest.raises(CallerGone):
        gone.check()


async def test_error_of_a_job_is_its_callers_alone(admission: Admission) -> None:
    def fail() -> str:
        raise ValueError("mine")

    def failing() -> Steps[str]:
        [answer] = yield Ask(Stage.DECODE, [fail])
        text: str = answer
        return text

    with pytest.raises(ValueError, match="mine"):
        await admission.run_or_refuse(failing(), Caller(PATIENT))
    assert await admission.run_or_refuse(at_once("next"), Caller(PATIENT)) == "next"


async def test_dead_worker_fails_its_callers_and_the_readiness(admission: Admission) -> None:
    class Death(BaseException):
        pass

    gate = Gate(dies=Death())
    readiness = Readiness()
    readiness.mark_ready()
    tasks = TaskSupervisor(readiness)
    tasks.spawn(admission.supervise(), "embedding workers")
    dying = asyncio.create_task(admission.run_or_refuse(gate.steps(), Caller(PATIENT)))
    await asyncio.to_thread(gate.started.wait, 30)
    queued = [asyncio.create_task(admission.run_or_refuse(at_once("never"), Caller(PATIENT))) for _ in range(2)]
    await asyncio.sleep(0)
    gate.opened.set()
    outcomes = await asyncio.gather(dying, *queued, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [NotReady] * 3
    with pytest.raises(NotReady):
        await admission.run_or_refuse(at_once("never"), Caller(PATIENT))
    await tasks.failed.wait()
    assert readiness.has_failed and "embedding workers" in readiness.reason


async def test_closing_fails_what_is_not_answered() -> None:
    admission = one_thread()
    gate = Gate()
    running = asyncio.create_task(admission.run_or_refuse(gate.steps(), Caller(PATIENT)))
    await asyncio.to_thread(gate.started.wait, 30)
    queued = asyncio.create_task(admission.run_or_refuse(at_once("never"), Caller(PATIENT)))
    await asyncio.sleep(0)
    closing = asyncio.create_task(admission.close())
    assert [type(outcome) for outcome in await asyncio.gather(running, queued, return_exceptions=True)] == [
        NotReady
    ] * 2
    gate.opened.set()
    await closing
