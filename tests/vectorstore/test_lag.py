"""A replica that is far behind the database sends its callers away, and takes them back when it has caught up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import grpc
import numpy as np
import pytest
from prometheus_client import REGISTRY
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from runtime.errors import DependencyUnavailable
from tests.vectorstore.conftest import StartStore, Store
from tests.vectorstore.wire import DIMENSION, MODEL, add, add_one, ids, photo, random_unit, refused, search
from vectorstore import change_log
from vectorstore.lag import LagWatch

Rng = np.random.Generator
CODE = grpc.StatusCode


@asynccontextmanager
async def _watching(store: Store, max_behind_s: float) -> AsyncIterator[None]:
    """Watches with less patience than the service's own watch."""
    inside = store.service
    watch = LagWatch(inside._database, inside._follower, store.readiness, max_behind_s)
    task = asyncio.create_task(watch.watch(0.02))
    try:
        yield
    finally:
        task.cancel()


async def _until_ready(store: Store, ready: bool) -> None:
    async with asyncio.timeout(10):
        while store.readiness.is_ready is not ready:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_replica_that_is_far_behind_serves_nobody_until_it_has_caught_up(
    start_store: StartStore, rng: Rng
) -> None:
    async with start_store("one") as one, start_store("two") as two, _watching(two, 0.2):
        await one.stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))
        vector = random_unit(rng)
        async with two.service._follower.standing_still:
            added = await add_one(one.stub, photo(vector))
            await _until_ready(two, False)
            with refused(CODE.UNAVAILABLE, "NOT_READY") as refusal:
                await search(two.stub, vector)
            assert refusal.retry
            assert one.readiness.is_ready
        await _until_ready(two, True)
        (result,) = await search(two.stub, vector)
        assert ids(result.matches) == [added.photo_id]


async def test_a_replica_that_keeps_up_with_steady_changes_stays_ready(store: Store, rng: Rng) -> None:
    """The newest change is never old, though there is one that is not applied at every look."""
    moved: list[bool] = []
    async with _watching(store, 0.3):
        await store.stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))
        store.readiness.on_change(moved.append)
        for _ in range(60):
            await add_one(store.stub, photo(random_unit(rng)))
    assert moved == [True]


async def test_a_database_that_does_not_answer_leaves_readiness_as_it_is(
    store: Store, rng: Rng, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))
    looks = 0

    def away() -> Any:
        nonlocal looks
        looks += 1
        raise DependencyUnavailable("postgres")

    monkeypatch.setattr(store.service._database, "reading", away)
    async with _watching(store, 0.05):
        async with asyncio.timeout(10):
            while looks < 10:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    assert store.readiness.is_ready
    assert not (await search(store.stub, random_unit(rng)))[0].matches


async def test_a_transaction_that_keeps_every_writer_waiting_can_be_seen(store: Store, database_url: str) -> None:
    def age_s() -> float:
        return REGISTRY.get_sample_value("twin_vectorstore_oldest_transaction_seconds") or 0.0

    connection: Any = await asyncpg.connect(database_url)
    async with _watching(store, 5.0), asyncio.timeout(20):
        async with connection.transaction():
            await change_log.take_turn(connection)
            while age_s() < 0.2:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        while age_s() > 0:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await connection.close()


async def test_a_thousand_reads_of_what_another_replica_has_just_written_are_none_of_them_stale(
    start_store: StartStore, rng: Rng
) -> None:
    """Three replicas; each trial writes to one of them and reads from another, at once, asking for the revision."""
    async with start_store("a") as a, start_store("b") as b, start_store("c") as c:
        replicas = [a, b, c]
        await a.stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))
        await asyncio.sleep(0.5)
        stale: list[int] = []

        async def trials(caller: int) -> None:
            own = np.random.default_rng(caller)
            for trial in range(100):
                writer, reader = replicas[trial % 3], replicas[(trial + 1 + caller % 2) % 3]
                vector = random_unit(own)
                added = (await add(writer.stub, photo(vector)))[0]
                (result,) = await search(reader.stub, vector, limit=1, min_revision=added.revision)
                if ids(result.matches) != [added.photo_id]:
                    stale.append(trial)
                if trial % 5 == 0:
                    deleted = await writer.stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=added.photo_id))
                    (result,) = await search(reader.stub, vector, limit=1, min_revision=deleted.revision)
                    if ids(result.matches) == [added.photo_id]:
                        stale.append(trial)

        await asyncio.gather(*(trials(caller) for caller in range(10)))
        assert not stale
