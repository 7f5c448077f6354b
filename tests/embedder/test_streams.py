"""Streams: how many are open, how far they read, and in what order they answer. No times are asserted."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from embedder.streams import StreamPlaces, as_finished
from runtime.byte_budget import ByteBudget
from runtime.errors import Overloaded


def room(byte_count: int) -> dict[str, Any]:
    """Numbers count as that many bytes."""
    return {"waiting_bytes": ByteBudget(byte_count), "size_of": lambda number: number}


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

    answers = as_finished(numbers(3), work, in_flight=3, **room(10**9))
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

    answers = as_finished(numbers(100, read), work, in_flight=4, **room(10**9))

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

    answers = as_finished(numbers(3), work, in_flight=3, **room(10**9))
    assert await anext(answers) == 0
    for _ in range(20):
        await asyncio.sleep(0)
    await answers.aclose()
    assert sorted(cancelled) in ([1], [1, 2])


def test_a_stream_beyond_the_limit_is_refused_until_another_ends() -> None:
    places = StreamPlaces(1, max_waiting_bytes=1)
    with places.take():
        with pytest.raises(Overloaded) as caught, places.take():
            pass
        assert caught.value.retry_delay_s
    with places.take():
        pass


async def test_streams_together_hold_no_more_bytes_than_the_budget() -> None:
    budget = ByteBudget(100)
    gate = asyncio.Event()
    started: list[int] = []

    async def work(number: int) -> int:
        started.append(number)
        await gate.wait()
        return number

    async def answers() -> list[int]:
        stream = as_finished(numbers(5), work, in_flight=5, waiting_bytes=budget, size_of=lambda _: 40)
        return [answer async for answer in stream]

    streams = [asyncio.create_task(answers()) for _ in range(2)]
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(started) == 2
    gate.set()
    assert [sorted(found) for found in await asyncio.gather(*streams)] == [list(range(5))] * 2
    await asyncio.wait_for(budget.take(100), 5)


async def test_abandoned_streams_give_back_what_they_held() -> None:
    budget = ByteBudget(100)

    async def work(number: int) -> int:
        if number:
            await asyncio.Event().wait()
        return number

    for turns in range(6):
        stream = as_finished(numbers(5), work, in_flight=5, waiting_bytes=budget, size_of=lambda _: 30)
        assert await anext(stream) == 0
        for _ in range(turns):
            await asyncio.sleep(0)
        await stream.aclose()
        await asyncio.sleep(0)
    await asyncio.wait_for(budget.take(100), 5)


async def test_work_under_way_is_cancelled_before_its_stream_is_done() -> None:
    """Whoever closes the answers may let go of what the work uses right afterwards."""
    order: list[str] = []

    async def work(number: int) -> int:
        if number == 0:
            return number
        try:
            await asyncio.Event().wait()
        finally:
            order.append("work ended")
        return number

    stream = as_finished(numbers(3), work, in_flight=3, **room(10**9))
    async with contextlib.aclosing(stream) as answers:
        assert await anext(answers) == 0
        for _ in range(20):
            await asyncio.sleep(0)
    order.append("stream closed")
    assert order[-1] == "stream closed" and "work ended" in order
