"""Nobody's work is done: calls that are cancelled or too late never start, and what was begun stops at its next stage.

The embedder's own counters of what its stages did are the proof.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from operator import lt
from pathlib import Path
from typing import Any

import pytest
from twin.embedder.v1 import embedder_pb2 as pb

from tests.chaos.load import OK, clients, embed, outcome_of
from tests.support.embedder_process import EmbedderProcess

BUSY_CALLS = 12
DOOMED_CALLS = 18
PATIENCE_S = 60.0
TRIES = 5
STREAMED = 16

pytestmark = pytest.mark.chaos


async def done_in(embedder: EmbedderProcess, stage: str) -> float:
    return await asyncio.to_thread(embedder.metric, "twin_embedder_stage_seconds_count", stage=stage)


async def begun_in(embedder: EmbedderProcess) -> float:
    return await asyncio.to_thread(embedder.metric, "twin_embedder_queue_seconds_count")


async def waiting_in(embedder: EmbedderProcess) -> float:
    return await asyncio.to_thread(embedder.metric, "twin_embedder_queue_length")


async def until(value: Callable[[], Awaitable[float]], is_reached: Callable[[float], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not is_reached(await value()):  # noqa: ASYNC110 - another process is asked
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("ending", ["cancelled", "late"])
async def test_waiting_calls_whose_callers_have_gone_never_start(
    embedder: EmbedderProcess, solvay_photo: Path, small_photo: bytes, ending: str
) -> None:
    crowd = pb.EmbedRequest(image=solvay_photo.read_bytes(), faces=pb.FACE_CHOICE_DETECT_ONLY)
    doomed = pb.EmbedRequest(image=small_photo)
    async with clients(embedder.address, 1) as [client]:
        begun, decoded = await begun_in(embedder), await done_in(embedder, "decode")
        # One connection's calls are begun in the order in which they come.
        busy = [asyncio.ensure_future(outcome_of(client.Embed(crowd, timeout=120))) for _ in range(BUSY_CALLS)]
        await until(lambda: waiting_in(embedder), lambda waiting: waiting >= 2)
        calls = [client.Embed(doomed, timeout=0.05 if ending == "late" else 120) for _ in range(DOOMED_CALLS)]
        outcomes = [asyncio.ensure_future(outcome_of(call)) for call in calls]
        if ending == "cancelled":
            await until(lambda: waiting_in(embedder), lambda waiting: waiting > DOOMED_CALLS)
            for call in calls:
                call.cancel()
        told = await asyncio.gather(*outcomes, return_exceptions=True)
        assert await asyncio.gather(*busy) == [OK] * BUSY_CALLS
        if ending == "late":
            assert set(told) <= {"DEADLINE_EXCEEDED"}
        assert OK not in told
        await until(lambda: waiting_in(embedder), lambda waiting: waiting == 0)
        assert await begun_in(embedder) - begun == BUSY_CALLS
        assert await done_in(embedder, "decode") - decoded == BUSY_CALLS


async def test_call_that_is_cancelled_stops_before_its_next_stage(
    embedder: EmbedderProcess, huge_photo: bytes, small_photo: bytes
) -> None:
    async with clients(embedder.address, 1) as [client]:
        for _ in range(TRIES):
            begun, decoded, detected = [await count for count in counts(embedder)]
            call = client.Embed(pb.EmbedRequest(image=huge_photo), timeout=120)
            leaving = asyncio.ensure_future(outcome_of(call))
            await until(lambda: begun_in(embedder), partial(lt, begun))
            call.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
            is_in_time = await done_in(embedder, "decode") == decoded
            await until(lambda: done_in(embedder, "decode"), partial(lt, decoded))
            # What comes after it is begun, so whatever the first would do next it has done or given up.
            assert await embed(client, small_photo)() == OK
            if is_in_time:
                assert await done_in(embedder, "decode") == decoded + 2
                # The small photo's two looks, and none at the other.
                assert await done_in(embedder, "detect") == detected + 2
                return
    pytest.fail("no call was cancelled while its photo was still being unpacked")


async def test_stream_that_is_cancelled_gives_up_what_waits(
    embedder: EmbedderProcess, huge_photo: bytes, small_photo: bytes
) -> None:
    async with clients(embedder.address, 1) as [client]:
        begun, decoded, detected = [await count for count in counts(embedder)]
        image = pb.EmbedRequest(image=huge_photo)
        call: Any = client.EmbedStream(timeout=120)
        for number in range(STREAMED):
            await call.write(pb.EmbedStreamRequest(image_id=str(number), image=image))
        await until(lambda: begun_in(embedder), partial(lt, begun))
        call.cancel()
        await until(lambda: waiting_in(embedder), lambda waiting: waiting == 0)
        # One connection's next call comes after what was begun of the stream.
        assert await embed(client, small_photo)() == OK
        started = await begun_in(embedder) - begun - 1
        assert started < STREAMED
        # Those begun may have been unpacked, and perhaps the first of them was even looked at.
        assert await done_in(embedder, "decode") - decoded <= started + 1
        assert await done_in(embedder, "detect") - detected < STREAMED


def counts(embedder: EmbedderProcess) -> Iterator[Awaitable[float]]:
    yield begun_in(embedder)
    yield done_in(embedder, "decode")
    yield done_in(embedder, "detect")
