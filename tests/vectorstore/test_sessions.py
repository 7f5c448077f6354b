"""Sessions with PostgreSQL: how long anything may take, and what a pooler in front of it allows."""

import asyncio
from typing import Any

import asyncpg
import grpc
import numpy as np
import pytest
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from runtime.errors import DependencyUnavailable, StartupError
from tests.vectorstore.conftest import StartStore, Store
from tests.vectorstore.wire import DIMENSION, MODEL, add, add_one, ids, photo, random_unit, search, take_apart
from vectorstore import change_log
from vectorstore.database import SERVER_SETTINGS
from vectorstore.prepare import prepare_database

Rng = np.random.Generator
CODE = grpc.StatusCode


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("statement_timeout", "idle_in_transaction_session_timeout", "lock_timeout"):
        monkeypatch.setitem(SERVER_SETTINGS, name, "300ms")


@pytest.mark.usefixtures("impatient")
async def test_a_statement_that_takes_too_long_is_given_up(store: Store) -> None:
    with pytest.raises(DependencyUnavailable):
        async with store.service._database.reading() as connection:
            await connection.execute("SELECT pg_sleep(20)")
    async with store.service._database.reading() as connection:
        assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.usefixtures("impatient")
async def test_a_writer_that_stalls_in_its_turn_loses_it(start_store: StartStore, rng: Rng) -> None:
    async with start_store("one") as one, start_store("two") as two:
        await one.stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))

        async def stall() -> None:
            async with one.service._database.writing() as connection:
                await change_log.take_turn(connection)
                await asyncio.sleep(60)

        stalling = asyncio.create_task(stall())
        await asyncio.sleep(0.1)
        async with asyncio.timeout(10):
            while (await add(two.stub, photo(random_unit(rng))))[0].HasField("error"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        with pytest.raises(DependencyUnavailable):
            await asyncio.wait_for(stalling, 10)


@pytest.mark.usefixtures("impatient")
async def test_who_waits_too_long_for_its_turn_is_told_to_come_again(stub: Any, database: Any, rng: Rng) -> None:
    async with database.transaction():
        await change_log.take_turn(database)
        (answer,) = await add(stub, photo(random_unit(rng)))
        refusal = take_apart(answer.error)
        assert (refusal.code, refusal.reason, refusal.retry) == (CODE.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", True)
    await add_one(stub, photo(random_unit(rng)))


async def test_every_connection_of_the_service_has_its_timeouts(store: Store) -> None:
    database = store.service._database
    outside = await database.connect()
    try:
        async with database.reading() as pooled:
            for connection in (pooled, outside):
                for name in ("statement_timeout", "idle_in_transaction_session_timeout", "lock_timeout"):
                    assert await connection.fetchval("SELECT current_setting($1)", name) == SERVER_SETTINGS[name]
    finally:
        outside.terminate()


async def test_behind_a_pooler_a_connection_keeps_nothing_between_transactions(
    start_store: StartStore, rng: Rng
) -> None:
    """Everything runs in transactions that bring their settings along; nothing is listened for, nothing prepared."""
    async with start_store("one", database_pooled=True) as one, start_store("two", database_pooled=True) as two:
        await one.stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))
        vectors = [random_unit(rng) for _ in range(20)]
        answers = await add(one.stub, *[photo(vector) for vector in vectors])
        deleted = await two.stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=answers[0].photo_id))
        for store in (one, two):
            found = await search(store.stub, *vectors[1:], limit=1, min_revision=deleted.revision)
            assert [ids(result.matches) for result in found] == [[answer.photo_id] for answer in answers[1:]]
        database = one.service._database
        async with database.reading() as connection:
            assert connection.is_in_transaction()
            assert await connection.fetchval("SELECT current_setting('lock_timeout')") == "10s"
            assert await connection.fetchval("SELECT count(*) FROM pg_prepared_statements") == 0
            assert await connection.fetchval("SELECT count(*) FROM pg_listening_channels()") == 0
        outside = await database.connect()
        try:
            assert await outside.fetchval("SELECT current_setting('lock_timeout')") == "0"
        finally:
            outside.terminate()


async def test_a_pooler_that_nobody_told_of_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: Any, **options: Any) -> Any:
        assert options["server_settings"]
        raise asyncpg.ProtocolViolationError("unsupported startup parameter: statement_timeout")

    monkeypatch.setattr(asyncpg, "connect", refuse)
    with pytest.raises(StartupError, match="TWIN_DATABASE_POOLED=true"):
        await prepare_database("postgresql://nobody@127.0.0.1:1/none")
