"""Replicas that fall behind, writers that stand still, and starts: who is served, and when."""

import asyncio
import time
from pathlib import Path

import grpc
import grpc.aio
import pytest
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from tests.chaos.replicas import keys_of, missed_by, nearest_to, replicas
from tests.chaos.stores import PostgresServer, running_store
from tests.chaos.workload import make_gallery, photo_of, vector_of
from tests.vectorstore.wire import add, add_one, search

pytestmark = pytest.mark.chaos

CODE = grpc.StatusCode


async def test_a_replica_that_is_seconds_behind_says_so_and_takes_calls_again_later(
    postgres: PostgresServer, folder: Path
) -> None:
    """One that stands still for ten seconds, with the service's own patience of five."""
    async with replicas(await postgres.make_database(), folder, ["", "follower.before_apply=sleep:10@3"]) as (one, two):
        keys = keys_of(5, 9)
        for key in keys:
            await add_one(one.stub, photo_of(key))
            await asyncio.sleep(0.3)
        assert await two.is_serving()
        await two.until_serving(False)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await search(two.stub, vector_of(keys[0]))
        assert caught.value.code() is CODE.UNAVAILABLE
        assert await one.is_serving()
        await two.until_serving()
        assert await missed_by(two, keys) == []


async def test_a_writer_that_stands_still_in_its_turn_is_ended_and_the_others_go_on(
    postgres: PostgresServer, folder: Path
) -> None:
    """The idle transaction's own timeout bounds it; until then it is seen as a metric."""
    async with replicas(await postgres.make_database(), folder, ["add.before_commit=sleep:60@1", ""]) as (stuck, other):
        stuck_key, key = keys_of(2, 10)
        request = pb.AddPhotosRequest(photo=photo_of(stuck_key))
        waiting = stuck.stub.AddPhotos(iter([request]))
        async with asyncio.timeout(30):
            while await asyncio.to_thread(other.metric, "twin_vectorstore_oldest_transaction_seconds") < 1:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            start_s = time.monotonic()
            while True:
                (answer,) = await add(other.stub, photo_of(key))
                if answer.HasField("photo"):
                    break
                assert answer.error.code == CODE.UNAVAILABLE.value[0]
        print(f"the others wait for {time.monotonic() - start_s + 1:.1f} s at the most")
        assert await missed_by(other, [key]) == []
        assert stuck_key not in await nearest_to(other, stuck_key)
        waiting.cancel()


async def test_a_store_takes_calls_only_once_it_has_caught_up(postgres: PostgresServer, folder: Path) -> None:
    """It begins from an old snapshot, and each batch of the log takes its time."""
    url = await postgres.make_database()
    keys = keys_of(700, 15)
    async with running_store(folder / "data", url) as store:
        await make_gallery(store.stub)
        await add(store.stub, *[photo_of(key) for key in keys[:100]])
        await store.stub.CreateSnapshot(pb.CreateSnapshotRequest())
        await add(store.stub, *[photo_of(key) for key in keys[100:]])
        store.process.kill()
    refusals = 0
    async with running_store(folder / "data", url, failpoints="follower.before_apply=sleep:0.4", wait=False) as store:
        async with asyncio.timeout(60):
            while True:
                try:
                    missed = await missed_by(store, keys)
                    break
                except grpc.aio.AioRpcError as error:
                    assert error.code() is CODE.UNAVAILABLE
                    refusals += 1
                    await asyncio.sleep(0.002)
        assert missed == []
        assert refusals > 10
        assert await store.is_serving()
