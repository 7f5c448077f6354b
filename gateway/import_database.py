"""PostgreSQL, as imports use it: which one, its pool, and what its failures mean."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import asyncpg

from gateway.import_queue import ImportQueue
from runtime.errors import DependencyUnavailable

DEPENDENCY: Final = "postgres"
Connection = Any  # asyncpg.Connection, or the pool's proxy of one
POOL_SIZE: Final = 6
_TIMEOUT_S: Final = 10.0
_SCHEMA: Final = Path(__file__).with_name("import_schema.sql")
# Any number, the same for every gateway that shares the database.
_SCHEMA_LOCK: Final = 0x7477_696E_0002
# Of the embedded server's postmaster.pid, counted from 0: the folder of its socket.
_SOCKET_FOLDER_LINE: Final = 4
_FAILURES: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
# SQL states of a statement that is wrong: a bug of ours, and not a server that is away.
_BUG_STATES: Final = ("42", "22", "23")


class NoDatabase(DependencyUnavailable):
    """There is no database for the jobs of imports."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            DEPENDENCY,
            message="imports keep their jobs in PostgreSQL, and the gateway finds none: set TWIN_DATABASE_URL for it "
            f"as for the vector store, or run both on one TWIN_DATA_DIR (no embedded one runs in its {folder.name!r})",
        )


class DatabaseBug(Exception):
    """PostgreSQL refused a statement that it should have taken; holds the kind of refusal and nothing of the row."""


@contextmanager
def mapped_errors() -> Iterator[None]:
    """Turns PostgreSQL's failures into DependencyUnavailable("postgres") or DatabaseBug, without their texts."""
    try:
        yield
    except _FAILURES as error:
        state = error.sqlstate if isinstance(error, asyncpg.PostgresError) else None
        if state is not None and state.startswith(_BUG_STATES):
            raise DatabaseBug(f"{type(error).__name__} {state}") from None
        raise DependencyUnavailable(DEPENDENCY) from None


class ImportDatabase:
    """Opened by the first import, since a gateway that imports nothing needs no database."""

    def __init__(self, url: str | None, embedded_folder: Path, *, pooled: bool) -> None:
        """url: None for the embedded PostgreSQL of that folder. pooled: a pooler lends connections by transaction."""
        self._url = url
        self._embedded_folder = embedded_folder
        self._pooled = pooled
        self._pool: asyncpg.Pool[Any] | None = None
        self._opened_url = ""
        self._turn = asyncio.Lock()

    async def open(self) -> "asyncpg.Pool[Any]":
        """Returns the pool, with every table there; raises NoDatabase or DependencyUnavailable."""
        async with self._turn:
            url = self._url if self._url else await asyncio.to_thread(_embedded_url, self._embedded_folder)
            if self._pool is not None and url != self._opened_url:
                # The embedded server was started anew, on another socket.
                self._pool.terminate()
                self._pool = None
            if self._pool is None:
                with mapped_errors():
                    self._pool = await self._connect(url)
                self._opened_url = url
            return self._pool

    async def close(self) -> None:
        """Closes every connection."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None

    async def _connect(self, url: str) -> "asyncpg.Pool[Any]":
        pool: asyncpg.Pool[Any] = await asyncpg.create_pool(
            url,
            min_size=0,
            max_size=POOL_SIZE,
            timeout=_TIMEOUT_S,
            command_timeout=_TIMEOUT_S,
            # What one transaction prepared, behind a pooler the next may not find.
            statement_cache_size=0 if self._pooled else 100,
        )
        try:
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock($1)", _SCHEMA_LOCK)
                await connection.execute(await asyncio.to_thread(_SCHEMA.read_text))
                await ImportQueue(connection).install()
            async with pool.acquire() as connection:
                await ImportQueue(connection).upgrade()
        except BaseException:
            pool.terminate()
            raise
        return pool


def _embedded_url(folder: Path) -> str:
    """Returns where the embedded PostgreSQL of this machine listens; raises NoDatabase when none runs."""
    try:
        socket_folder = (folder / "postmaster.pid").read_text().splitlines()[_SOCKET_FOLDER_LINE]
    except (OSError, IndexError):
        raise NoDatabase(folder) from None
    return f"postgresql://postgres@/postgres?host={quote(socket_folder)}"
