"""Fixtures of the gateway's tests."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.drive_emulator import DriveEmulator
from tests.gateway.harness import Gateway, running_gateway
from vectorstore.embedded import EmbeddedPostgres


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with running_gateway(tmp_path) as running:
        yield running


@pytest.fixture
def emulator() -> Iterator[DriveEmulator]:
    with DriveEmulator() as running:
        yield running


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """One server for all tests; outside pytest's own folder, which is closed to the user that root's PostgreSQL is."""
    with tempfile.TemporaryDirectory(prefix="twin-") as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres")
        yield asyncio.run(server.start())
        asyncio.run(server.stop())


@pytest.fixture
async def database_url(postgres_url: str) -> str:
    """A database without imports: emptied, since making one costs half a second."""
    connection: asyncpg.Connection[Any] = await asyncpg.connect(postgres_url)
    try:
        if await connection.fetchval("SELECT to_regclass('import_files')") is not None:
            await connection.execute("TRUNCATE imports, import_files, import_jobs, import_jobs_log")
    finally:
        await connection.close()
    return postgres_url


@pytest.fixture
async def importing_gateway(tmp_path: Path, database_url: str) -> AsyncIterator[Gateway]:
    """A gateway that has a database for the jobs of its imports."""
    async with running_gateway(tmp_path, database_url=database_url, import_takeover_s=1.0) as running:
        yield running
