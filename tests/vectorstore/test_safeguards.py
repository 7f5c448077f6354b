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

ADDS = 120


async def _faces_after_adding_from_both(one: Store, two: Store) -> list[int]:
    """Adds from two replicas whose writers dawdle before they commit; returns how many faces each of them has."""
    await one.stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))
    await two.service._follower.wait_for(1, 10)

    async def write(store: Store, seed: int) -> int:
        rng, revision = np.random.default_rng(seed), 0
        for _ in range(ADDS // 4):
            for answer in await add(store.stub, photo(random_unit(rng)), photo(random_unit(rng))):
                assert answer.HasField("photo")
                revision = max(revision, answer.revision)
        return revision

    with failpoints.armed("add.before_commit=sleep:0.02%50"):
        last = max(await asyncio.gather(write(one, 1), write(two, 2)))
    counts = []
    for store in (one, two):
        await store.service._follower.wait_for(last, 10)
        counts.append((await store.stub.GetStats(pb.GetStatsRequest())).indexes[0].face_count)
    return counts


async def test_with_turns_no_replica_misses_a_change(start_store: StartStore) -> None:
    async with start_store("one") as one, start_store("two") as two:
        assert await _faces_after_adding_from_both(one, two) == [ADDS, ADDS]


async def test_without_turns_replicas_miss_changes(start_store: StartStore, monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_turn(_: Any) -> None:
        return

    async with start_store("one") as one, start_store("two") as two:
        await one.stub.ListGalleries(pb.ListGalleriesRequest())
        monkeypatch.setattr(change_log, "take_turn", no_turn)
        assert min(await _faces_after_adding_from_both(one, two)) < ADDS
