"""Whoever cancels what uses PostgreSQL has it end, also when the connection is dead by then."""

import asyncio
from typing import Any

import pytest

from tests.vectorstore.conftest import Store


async def test_a_cancellation_is_not_lost_to_a_rollback_that_fails(store: Store, database: Any) -> None:
    database_of_store = store.service._database
    is_inside = asyncio.Event()

    async def write() -> None:
        async with database_of_store.writing() as connection:
            await connection.execute("SELECT 1")
            is_inside.set()
            await asyncio.sleep(60)

    writing = asyncio.create_task(write())
    await asyncio.wait_for(is_inside.wait(), 10)
    # The server ends the transaction, as it does with one that is idle for too long.
    await database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE state = 'idle in transaction' AND datname = current_database()"
    )
    await asyncio.sleep(0.1)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(writing, 10)
