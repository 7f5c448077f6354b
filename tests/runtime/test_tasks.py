"""Background tasks: their ends, and that a stop is the end of every one of them."""

import asyncio

from runtime.readiness import Readiness
from runtime.tasks import TaskSupervisor


async def test_a_task_that_takes_its_cancellation_for_another_failure_is_cancelled_again() -> None:
    lost = 0

    async def stubborn() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                lost += 1
                if lost == 2:
                    raise

    tasks = TaskSupervisor(Readiness())
    tasks.spawn(stubborn(), "stubborn")
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await tasks.stop()
    assert lost == 2
    assert not tasks.failed.is_set()


async def test_a_task_that_dies_fails_the_service() -> None:
    async def broken() -> None:
        raise ZeroDivisionError

    readiness = Readiness()
    tasks = TaskSupervisor(readiness)
    tasks.spawn(broken(), "broken")
    await asyncio.wait_for(tasks.failed.wait(), 5)
    assert readiness.has_failed
    await tasks.stop()
