"""Whoever cancels what uses PostgreSQL has it end, also when the connection is dead by then."""

import asyncio
from typing import Any

import asyncpg
import pytest

from tests.vectorstore.conftest import Store
from vectorstore.postgres_errors import mapped_errors


async def test_a_cancellation_is_not_lost_to_a_rollback_that_fails(store: Store, database: Any) -> None:
    database_of_store = store.service._database
    inside: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def write() -> None:
        async with database_of_store.writing() as connection:
            await connection.execute("SELECT 1")
            inside.set_result(connection)
            await asyncio.sleep(60)

    writing = asyncio.create_task(write())
    connection = await asyncio.wait_for(inside, 10)
    # Until the rollback, nobody notices that the server ends the connection, as it does with one that idles too long.
    transport = connection._transport
    transport.pause_reading()
    await database.execute("SELECT pg_terminate_backend($1)", connection.get_server_pid())
    writing.cancel()
    await asyncio.sleep(0.1)
    transport.resume_reading()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(writing, 10)


async def test_a_failure_on_the_way_out_does_not_take_the_place_of_a_cancellation() -> None:
    async def fail_on_the_way_out() -> None:
        with mapped_errors():
            try:
                await asyncio.sleep(60)
            finally:
                raise asyncpg.InterfaceError("the connection is gone")

    failing = asyncio.create_task(fail_on_the_way_out())
    await asyncio.sleep(0)
    failing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await failing
