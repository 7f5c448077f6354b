"""The bound on what waits to be written."""

import asyncio

from runtime.byte_budget import ByteBudget


async def test_who_would_exceed_the_budget_waits_for_others() -> None:
    budget = ByteBudget(100)
    await budget.take(60)
    second = asyncio.create_task(budget.take(50))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not second.done()
    budget.give_back(60)
    await asyncio.wait_for(second, 5)


async def test_what_is_larger_than_the_budget_gets_in_alone() -> None:
    budget = ByteBudget(100)
    await asyncio.wait_for(budget.take(500), 5)
    small = asyncio.create_task(budget.take(1))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not small.done()
    budget.give_back(500)
    await asyncio.wait_for(small, 5)


async def test_who_stops_waiting_takes_nothing() -> None:
    budget = ByteBudget(100)
    await budget.take(100)
    gone = asyncio.create_task(budget.take(80))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    budget.give_back(100)
    await asyncio.wait_for(budget.take(100), 5)
