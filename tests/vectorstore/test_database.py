"""The way to PostgreSQL: what its failures mean, and that nobody waits for a server that is gone."""

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import asyncpg
import grpc
import numpy as np
import pytest
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from runtime.errors import DependencyUnavailable, StorageFull
from tests.vectorstore.conftest import StartStore, Store
from tests.vectorstore.wire import DIMENSION, MODEL, add, add_one, photo, random_unit, take_apart
from vectorstore.add_stream import AddStream
from vectorstore.postgres_errors import DatabaseBug, is_unavailable, mapped_errors
from vectorstore.records import CAUTIOUS_CALIBRATION, GalleryRecord

Rng = np.random.Generator
CODE = grpc.StatusCode


@pytest.mark.parametrize(
    ("error", "becomes"),
    [
        (asyncpg.InvalidPasswordError("x"), DependencyUnavailable),
        (asyncpg.InvalidCatalogNameError("x"), DependencyUnavailable),
        (asyncpg.ReadOnlySQLTransactionError("x"), DependencyUnavailable),
        (asyncpg.TooManyConnectionsError("x"), DependencyUnavailable),
        (asyncpg.ConnectionDoesNotExistError("x"), DependencyUnavailable),
        (asyncpg.CannotConnectNowError("x"), DependencyUnavailable),
        (TimeoutError(), DependencyUnavailable),
        (asyncpg.DiskFullError("x"), StorageFull),
        (asyncpg.OutOfMemoryError("x"), StorageFull),
        (asyncpg.UniqueViolationError("x"), DatabaseBug),
    ],
)
def test_every_failure_of_the_server_has_its_meaning(error: Exception, becomes: type[Exception]) -> None:
    with pytest.raises(becomes), mapped_errors():
        raise error
    # Whoever follows the change log tries again, and ends only for a bug.
    assert is_unavailable(error) is (becomes is not DatabaseBug)


async def test_a_server_that_lets_nobody_in_does_not_end_the_service(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = store.service._database
    connect = asyncpg.connect

    async def refuse(*_: Any, **__: Any) -> Any:
        raise asyncpg.InvalidPasswordError("no")

    monkeypatch.setattr(asyncpg, "connect", refuse)
    await database._mark(up=False)
    async with asyncio.timeout(20):
        for connection in list(database._outside_pool):
            connection.terminate()
        await asyncio.sleep(1.0)
        assert not store.tasks.failed.is_set()
        monkeypatch.setattr(asyncpg, "connect", connect)
        while not database.is_up:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        await store.stub.ListGalleries(pb.ListGalleriesRequest())


async def test_whoever_reads_outside_the_pool_is_freed_when_the_server_stops_answering(store: Store) -> None:
    database = store.service._database
    connection = await database.connect()
    reading = asyncio.create_task(connection.execute("SELECT pg_sleep(30)"))
    await asyncio.sleep(0.2)
    await database._mark(up=False)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await asyncio.wait_for(reading, 5)
    assert connection not in database._outside_pool


async def test_writers_see_what_was_committed_before_their_turn_whatever_the_servers_default(
    start_store: StartStore, database: Any, rng: Rng
) -> None:
    name = await database.fetchval("SELECT current_database()")
    await database.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    try:
        async with start_store("one") as one, start_store("two") as two:
            gallery = pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION)
            created = await asyncio.gather(*(replica.stub.CreateGallery(gallery) for replica in (one, two)))
            assert created[0] == created[1]
            for _ in range(10):
                same = photo(random_unit(rng))
                answers = await asyncio.gather(*(add(replica.stub, same) for replica in (one, two, one, two)))
                assert all(answer == answers[0] for answer in answers)
                assert answers[0][0].HasField("photo")
    finally:
        await database.execute(f"ALTER DATABASE {name} RESET default_transaction_isolation")


async def test_a_photo_that_is_not_searchable_yet_leaves_the_other_answers_as_they_are(
    stub: Any, store: Store, rng: Rng, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = await add_one(stub, photo(random_unit(rng)))
    monkeypatch.setattr("vectorstore.adding.APPLY_TIMEOUT_S", 0.3)
    new = photo(random_unit(rng))
    async with store.service._follower.standing_still:
        # While the first waits, the other two come to be one batch.
        first = photo(random_unit(rng))
        _, late, duplicate = await add(stub, first, new, photo(random_unit(rng), sha256=known.sha256))
    assert take_apart(late.error).reason == "NOT_READY"
    assert take_apart(duplicate.error).code is CODE.ALREADY_EXISTS
    (again,) = await add(stub, new)
    assert again.photo.photo_id == new.photo_id


async def test_a_stream_that_is_cancelled_waits_for_none_of_its_photos() -> None:
    waiting: list[asyncio.Future[Any]] = []

    class Adder:
        async def submit(self, photos: Any, gallery: Any, *, wants_photos: bool) -> Any:
            waiting.append(asyncio.get_running_loop().create_future())
            return waiting[-1]

    vector = random_unit(np.random.default_rng(1))

    async def requests() -> Any:
        for _ in range(5):
            yield pb.AddPhotosRequest(photo=photo(vector))

    gallery = GalleryRecord(1, "default", MODEL, DIMENSION, CAUTIOUS_CALIBRATION, datetime.now(UTC))
    projection: Any = SimpleNamespace(get=lambda _: SimpleNamespace(gallery=gallery))
    adder: Any = Adder()
    duplicates: Any = None
    answers = AddStream(adder, projection, duplicates, window_photos=2).answers(requests())
    answering = asyncio.ensure_future(answers.__anext__())
    await asyncio.sleep(0.05)
    # One is awaited, and one is in the window beside it.
    assert len(waiting) == 2
    answering.cancel()
    await asyncio.wait({answering})
    await asyncio.sleep(0.05)
    assert all(future.cancelled() for future in waiting)
