"""Whether the log is the one that was applied: a database that was restored or replaced, and pruned changes."""

import asyncio
from datetime import timedelta
from typing import Any

import grpc
import numpy as np
import pytest
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from tests.vectorstore.conftest import StartStore, Store
from tests.vectorstore.wire import DIMENSION, MODEL, add, add_one, ids, photo, random_unit, refused, search, take_apart
from vectorstore.follower import Follower
from vectorstore.history import Anchor, HistoryChanged, after, read_log
from vectorstore.pruning import Pruner

Rng = np.random.Generator
CODE = grpc.StatusCode


async def _until_failed(store: Store) -> None:
    async with asyncio.timeout(20):
        await store.tasks.failed.wait()
    assert not store.readiness.is_ready
    with refused(CODE.UNAVAILABLE, "NOT_READY"):
        await search(store.stub, random_unit(np.random.default_rng(1)))


async def _is_followed(stub: Any, rng: Rng) -> None:
    vector = random_unit(rng)
    added = await add_one(stub, photo(vector))
    (result,) = await search(stub, vector)
    assert ids(result.matches)[0] == added.photo_id


_RESTORED_BEFORE = "DELETE FROM changes WHERE revision = (SELECT max(revision) FROM changes)"
_OTHER_CHANGE = "UPDATE changes SET change_time = now() WHERE revision = (SELECT max(revision) FROM changes)"
_OTHER_DATABASE = "UPDATE store SET store_id = gen_random_uuid()"
_LOST_STORE = "DELETE FROM store"


@pytest.mark.parametrize("what", [_RESTORED_BEFORE, _OTHER_CHANGE, _OTHER_DATABASE])
async def test_a_replica_stops_rather_than_follow_another_history(
    stub: Any, store: Store, database: Any, rng: Rng, what: str
) -> None:
    await _is_followed(stub, rng)
    await asyncio.sleep(0.5)
    assert not store.tasks.failed.is_set()
    await database.execute(what)
    await _until_failed(store)


async def test_a_replica_that_stopped_serves_what_the_database_holds_once_it_is_started_again(
    start_store: StartStore, database: Any, rng: Rng
) -> None:
    async with start_store() as store:
        await store.stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))
        vectors = [random_unit(rng), random_unit(rng)]
        kept, lost = [await add_one(store.stub, photo(vector)) for vector in vectors]
        await store.stub.CreateSnapshot(pb.CreateSnapshotRequest())
        # As a standby that was promoted without the last transaction, and got another one since.
        async with database.transaction():
            await database.execute(_RESTORED_BEFORE)
            await database.execute("DELETE FROM photos WHERE photo_id = $1::text::uuid", lost.photo_id)
        await _until_failed(store)
    async with start_store() as store:
        (result,) = await search(store.stub, vectors[1])
        assert ids(result.matches) == [kept.photo_id]


async def test_nobody_is_told_of_a_revision_that_an_earlier_photo_had(
    stub: Any, store: Store, database: Any, rng: Rng
) -> None:
    await _is_followed(stub, rng)
    added = await add_one(stub, photo(random_unit(rng)))
    await database.execute("SELECT setval('revisions', (SELECT max(revision) - 1 FROM changes))")
    (answer,) = await add(stub, photo(random_unit(rng)))
    assert take_apart(answer.error).reason == "NOT_READY"
    await database.execute("SELECT setval('revisions', (SELECT max(revision) - 1 FROM changes))")
    with refused(CODE.UNAVAILABLE, "NOT_READY"):
        await stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=added.photo_id))
    assert await database.fetchval("SELECT count(*) FROM photos") == 2
    create = pb.CreateGalleryRequest(name="other", model_id=MODEL, dimension=DIMENSION)
    for call, request in ((stub.CreateGallery, create), (stub.DeleteGallery, pb.DeleteGalleryRequest(name="default"))):
        await database.execute("SELECT setval('revisions', (SELECT max(revision) - 1 FROM changes))")
        with refused(CODE.UNAVAILABLE, "NOT_READY"):
            await call(request)
    assert [row["name"] for row in await database.fetch("SELECT name FROM galleries")] == ["default"]


async def test_old_changes_are_pruned_and_whoever_has_them_goes_on(
    stub: Any, store: Store, database: Any, rng: Rng
) -> None:
    for _ in range(5):
        await _is_followed(stub, rng)
    await database.execute(
        "UPDATE changes SET change_time = change_time - interval '2 hours' WHERE revision IN "
        "(SELECT revision FROM changes ORDER BY revision LIMIT 3)"
    )
    # The last of the old ones stays.
    assert await Pruner(store.service._database, timedelta(hours=1)).prune() == 2
    assert await database.fetchval("SELECT count(*) FROM changes") == 4
    await _is_followed(stub, rng)
    assert not store.tasks.failed.is_set()


async def test_the_last_change_is_never_pruned(stub: Any, store: Store, database: Any, rng: Rng) -> None:
    await _is_followed(stub, rng)
    head = await database.fetchval("SELECT max(revision) FROM changes")
    assert await Pruner(store.service._database, timedelta()).prune() == 1
    assert [row["revision"] for row in await database.fetch("SELECT revision FROM changes")] == [head]
    await _is_followed(stub, rng)


async def test_an_old_change_after_a_young_one_is_kept(stub: Any, store: Store, database: Any, rng: Rng) -> None:
    """A transaction that began early and had to wait for its turn has an early time and a late revision."""
    for _ in range(4):
        await _is_followed(stub, rng)
    revisions = [row["revision"] for row in await database.fetch("SELECT revision FROM changes ORDER BY revision")]
    await database.execute(
        "UPDATE changes SET change_time = change_time - interval '2 hours' WHERE revision = ANY($1::bigint[])",
        [revisions[0], revisions[1], revisions[3]],
    )
    assert await Pruner(store.service._database, timedelta(hours=1)).prune() == 1
    assert await database.fetchval("SELECT min(revision) FROM changes") == revisions[1]


async def test_what_a_replica_stands_on_stays_while_it_has_not_yet_seen_the_next_change(
    start_store: StartStore, database: Any, rng: Rng, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a quiet week: the last change is old, a new one is committed, and the log is pruned before all have it."""
    async with start_store() as store:
        await store.stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))
        await _is_followed(store.stub, rng)
        await asyncio.sleep(2.1)
        look, may_look = Follower._look, asyncio.Event()

        async def held(self: Follower, connection: Any) -> bool:
            await may_look.wait()
            return await look(self, connection)

        monkeypatch.setattr(Follower, "_look", held)
        begun = asyncio.create_task(_is_followed(store.stub, rng))
        async with asyncio.timeout(10):
            while True:
                if await database.fetchval("SELECT count(*) FROM changes") == 3:
                    break
                await asyncio.sleep(0.02)
        await Pruner(store.service._database, timedelta(seconds=2)).prune()
        may_look.set()
        await begun
        await _is_followed(store.stub, rng)
        assert not store.tasks.failed.is_set()


async def test_a_replica_that_is_further_behind_than_the_log_reaches_stops(
    start_store: StartStore, database: Any, rng: Rng
) -> None:
    async with start_store("one") as one, start_store("two") as two:
        await one.stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))
        await add_one(one.stub, photo(random_unit(rng)))
        async with two.service._follower.standing_still:
            for _ in range(3):
                await add_one(one.stub, photo(random_unit(rng)))
            assert await Pruner(one.service._database, timedelta()).prune() == 4
            # What it has read before is still in order; what it would read next is not.
        await _until_failed(two)
        await _is_followed(one.stub, rng)


async def test_a_snapshot_that_is_older_than_the_log_is_not_used(
    start_store: StartStore, database: Any, rng: Rng
) -> None:
    vectors = [random_unit(rng) for _ in range(3)]
    async with start_store(snapshot_stop_patience_s=0) as store:
        await store.stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))
        first = await add_one(store.stub, photo(vectors[0]))
        await store.stub.CreateSnapshot(pb.CreateSnapshotRequest())
        await store.stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=first.photo_id))
        second = await add_one(store.stub, photo(vectors[1]))
        await Pruner(store.service._database, timedelta()).prune()
    async with start_store() as store:
        (result,) = await search(store.stub, vectors[0])
        assert ids(result.matches) == [second.photo_id]


async def test_an_empty_replica_does_not_follow_a_log_without_its_beginning(database: Any) -> None:
    changes, anchor = await read_log(database, None, 0, 9)
    assert (changes, anchor.change_time) == ([], None)
    await database.execute("UPDATE store SET pruned_revision = 3")
    with pytest.raises(HistoryChanged):
        await read_log(database, anchor, 0, 9)


async def test_a_database_without_a_name_is_not_followed(database: Any) -> None:
    async with database.transaction():
        _, anchor = await read_log(database, None, 0, 9)
        await database.execute(_LOST_STORE)
        with pytest.raises(HistoryChanged):
            await read_log(database, anchor, 0, 9)
        await database.execute("INSERT INTO store DEFAULT VALUES")


async def test_what_was_read_next_is_the_anchor_of_what_comes_then(stub: Any, database: Any, rng: Rng) -> None:
    await add_one(stub, photo(random_unit(rng)))
    changes, anchor = await read_log(database, None, 0, 1)
    following, again = await read_log(database, after(anchor, changes[0]), changes[0].revision, 9)
    assert again == Anchor(anchor.store_id, changes[0].revision, changes[0].change_time)
    assert [change.revision for change in following] > [changes[0].revision]
