"""One connection to PostgreSQL that is silent, or ends, while the server is well: nobody waits for it for ever."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from runtime.errors import DependencyUnavailable
from tests.chaos.proxy import Proxy, proxied
from tests.vectorstore.wire import add_one, photo, random_unit
from vectorstore import database as database_module
from vectorstore.database import Database

# Where what is tested is missing, the tests would wait for ever, or for the longer of the two timeouts.
PATIENCE_S = 20
SHORT_S = 0.3
# More than the network's buffers hold.
PIECE, PIECE_COUNT = b"x" * 2**20 + b"\n", 64


@pytest.fixture
async def proxy_and_database(database_url: str) -> AsyncIterator[tuple[Proxy, Database]]:
    async with proxied(database_url) as (proxy, url):
        database = Database()
        await database.open(url)
        yield proxy, database
        await database.close()


async def _is_well(database: Database) -> None:
    async with database.writing() as connection:
        assert await connection.fetchval("SELECT 1") == 1


async def test_a_statement_that_gets_no_answer_ends(
    proxy_and_database: tuple[Proxy, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "COMMAND_TIMEOUT_S", SHORT_S)
    proxy, database = proxy_and_database
    # The pool takes its settings when it is opened.
    await database.close()
    await database.open(database._url)
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(DependencyUnavailable):
            async with database.reading() as connection:
                proxy.silence_open()
                await connection.execute("SELECT 1")
        own = await database.connect()
        proxy.silence_open()
        with pytest.raises(TimeoutError):
            await own.execute("SELECT 1")
        own.terminate()
        patient = await database.connect(PATIENCE_S)
        await patient.execute(f"SELECT pg_sleep({2 * SHORT_S})")
        patient.terminate()
        await _is_well(database)


async def test_a_silent_connection_is_given_up_before_its_transaction_is_rolled_back(
    proxy_and_database: tuple[Proxy, Database],
) -> None:
    proxy, database = proxy_and_database
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(DependencyUnavailable):
            async with database.writing() as connection:
                proxy.silence_open()
                await connection.execute("SELECT 1", timeout=SHORT_S)
        await _is_well(database)


@pytest.mark.parametrize("is_reset", [False, True])
async def test_a_copy_ends_with_its_connection_though_the_network_takes_no_more(
    proxy_and_database: tuple[Proxy, Database], *, is_reset: bool
) -> None:
    proxy, database = proxy_and_database
    sent: list[int] = []

    async def pieces() -> AsyncIterator[bytes]:
        for number in range(PIECE_COUNT):
            sent.append(number)
            if number == 2:
                proxy.silence_open()
            yield PIECE

    async def copy() -> None:
        async with database.writing() as connection:
            await connection.execute("CREATE TEMPORARY TABLE pieces (piece text) ON COMMIT DROP")
            await connection.copy_to_table("pieces", source=pieces())

    async with asyncio.timeout(PATIENCE_S):
        copying = asyncio.create_task(copy())
        while len(sent) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        assert len(sent) < PIECE_COUNT, "the network took it all, and nothing is tested"
        if is_reset:
            proxy.reset()
        else:
            # As the watch does once the server does not answer.
            await database._mark(up=False)
            await database._mark(up=True)
        with pytest.raises(DependencyUnavailable):
            await copying
        await _is_well(database)


async def test_a_gallery_may_take_longer_to_delete_than_any_other_statement(
    start_store: Any, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "COMMAND_TIMEOUT_S", 1.0)
    await database.execute(
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_sleep(1.5); RETURN OLD; END $$; "
        "CREATE TRIGGER dawdle BEFORE DELETE ON photos FOR EACH ROW EXECUTE FUNCTION dawdle()"
    )
    try:
        async with start_store() as store:
            await store.stub.CreateGallery(pb.CreateGalleryRequest(model_id="model-a", dimension=32))
            await add_one(store.stub, photo(random_unit(np.random.default_rng(1))))
            answer = await store.stub.DeleteGallery(pb.DeleteGalleryRequest(name="default"))
            assert answer.photo_count == 1
    finally:
        await database.execute("DROP TRIGGER dawdle ON photos; DROP FUNCTION dawdle()")
