"""What goes wrong without a safeguard, so that the tests which rest on it can be trusted to notice."""

import asyncio
from typing import Any

import numpy as np
import pytest
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from runtime import failpoints
from tests.vectorstore.conftest import StartStore, Store
from tests.vectorstore.wire import DIMENSION, MODEL, add, photo, random_unit
from vectorstore import change_log


async def _counts_after_an_early_add_commits_late(one: Store, two: Store) -> list[int]:
    """Adds a face through one, which takes its revision and dawdles, and meanwhile one through two.

    Returns how many faces each of them has when both are applied.
    """
    await one.stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))
    await two.service._follower.wait_for(1, 10)
    rng = np.random.default_rng(0)

    async def write(store: Store) -> int:
        (answer,) = await add(store.stub, photo(random_unit(rng)))
        assert answer.HasField("photo"), answer
        return answer.revision

    with failpoints.armed("add.before_copy=sleep:1@1"):
        early = asyncio.create_task(write(one))
        async with asyncio.timeout(20):
            while not failpoints._armed["add.before_copy"].count:  # noqa: ASYNC110 - a failpoint wakes nobody
                await asyncio.sleep(0.01)
        last = max(await write(two), await early)
    counts = []
    for store in (one, two):
        await store.service._follower.wait_for(last, 10)
        counts.append((await store.stub.GetStats(pb.GetStatsRequest())).indexes[0].face_count)
    return counts


async def test_with_turns_no_replica_misses_a_change(start_store: StartStore) -> None:
    async with start_store("one") as one, start_store("two") as two:
        assert await _counts_after_an_early_add_commits_late(one, two) == [2, 2]


async def test_without_turns_a_replica_misses_a_change(
    start_store: StartStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_turn(_: Any) -> None:
        return

    async with start_store("one") as one, start_store("two") as two:
        await one.stub.ListGalleries(pb.ListGalleriesRequest())
        monkeypatch.setattr(change_log, "take_turn", no_turn)
        assert (await _counts_after_an_early_add_commits_late(one, two))[1] == 1
