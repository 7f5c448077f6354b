"""The way to PostgreSQL: a bounded pool, a watch that notices when the server is gone, and one error mapping."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

import asyncpg
import numpy as np

from runtime.errors import DependencyUnavailable, Overloaded, StartupError
from runtime.logs import get_logger
from runtime.vectors import Vector
from vectorstore.metrics import DATABASE_UP
from vectorstore.postgres_errors import DEPENDENCY, POSTGRES_FAILURES, mapped_errors

Connection = Any  # asyncpg.Connection, or the pool's proxy of one

POOL_SIZE: Final = 8
# A write that finds the server gone or stalled answers within a second: the watch asks this often and waits this long.
WATCH_INTERVAL_S: Final = 0.2
WATCH_TIMEOUT_S: Final = 0.6
ACQUIRE_TIMEOUT_S: Final = 0.8
# For one statement; whole-gallery statements set their own.
STATEMENT_TIMEOUT_S: Final = 30
# Beyond a statement's own limit: a server that is there has answered by then, and a connection that has not is dead.
ANSWER_MARGIN_S: Final = 5
COMMAND_TIMEOUT_S: Final = STATEMENT_TIMEOUT_S + ANSWER_MARGIN_S
# Writers wait for one another, here in a row and across replicas under an advisory lock.
MAX_WAITING_WRITERS: Final = 256
SERVER_SETTINGS: Final = {
    "application_name": "find-your-twin",
    "statement_timeout": f"{STATEMENT_TIMEOUT_S}s",
    # A writer that stalls between its revision and its commit holds up every other one.
    "idle_in_transaction_session_timeout": "10s",
    "lock_timeout": "10s",
    "jit": "off",
    "timezone": "UTC",
}
# Behind a pooler that lends a connection for one transaction at a time, settings can be a transaction's alone.
_LOCAL_SETTINGS_SQL: Final = ";".join(
    f"SET LOCAL {name} = '{SERVER_SETTINGS[name]}'"
    for name in ("statement_timeout", "idle_in_transaction_session_timeout", "lock_timeout")
)

_log = get_logger(__name__)


def encode_pgvector(vector: Vector) -> bytes:
    """Returns a (n,) float32 vector in pgvector's binary form: n and 0 as 16 bits, then the values, all big-endian."""
    return len(vector).to_bytes(2, "big") + b"\x00\x00" + vector.astype(">f4").tobytes()


def decode_pgvector(data: bytes) -> Vector:
    """Returns the (n,) float32 vector of pgvector's binary form."""
    return np.frombuffer(data, dtype=">f4", offset=4).astype(np.float32)


async def prepare_connection(connection: Connection) -> None:
    """Teaches a connection the type vector, wherever the extension was installed."""
    schema = await connection.fetchval(
        "SELECT nspname FROM pg_type JOIN pg_namespace n ON n.oid = typnamespace WHERE typname = 'vector'"
    )
    await connection.set_type_codec(
        "vector", schema=schema, encoder=encode_pgvector, decoder=decode_pgvector, format="binary"
    )


def connection_options(*, pooled: bool) -> dict[str, Any]:
    """Returns what asyncpg is told of each connection.

    A pooler takes no settings at a connection's start, and what one transaction prepared the next may not find.
    """
    return {"statement_cache_size": 0} if pooled else {"server_settings": SERVER_SETTINGS}


class Database:
    """PostgreSQL as the rest of the package sees it; every failure of it comes out mapped."""

    def __init__(self) -> None:
        self._url = ""
        self._is_pooled = False
        self._pool: asyncpg.Pool[Any] | None = None
        self._is_up = True
        self._in_use: set[Connection] = set()
        self._outside_pool: set[Connection] = set()
        self._write_turn = asyncio.Lock()
        self._waiting_writers = 0

    @property
    def is_up(self) -> bool:
        """False while the server does not answer."""
        return self._is_up

    @property
    def is_pooled(self) -> bool:
        """True behind a pooler, where a connection's own state, such as LISTEN, lasts for one transaction."""
        return self._is_pooled

    async def open(self, url: str, *, pooled: bool = False) -> None:
        """Opens the pool. The schema, with the type vector, must exist. Raises StartupError.

        pooled: the URL leads to a pooler that lends a connection for one transaction at a time.
        """
        self._url = url
        self._is_pooled = pooled
        try:
            self._pool = await asyncpg.create_pool(
                url,
                min_size=0,
                max_size=POOL_SIZE,
                init=self._prepare,
                reset=_keep_as_it_is,
                command_timeout=COMMAND_TIMEOUT_S,
                timeout=5,
                max_inactive_connection_lifetime=60,
                **connection_options(pooled=pooled),
            )
        except POSTGRES_FAILURES as error:
            raise StartupError(f"PostgreSQL cannot be used ({type(error).__name__}); check TWIN_DATABASE_URL") from None
        DATABASE_UP.set(1)

    async def close(self) -> None:
        """Closes every connection."""
        if self._pool is not None:
            with contextlib.suppress(*POSTGRES_FAILURES):
                await asyncio.wait_for(self._pool.close(), 2)
            self._pool.terminate()
            self._pool = None

    async def connect(self, command_timeout_s: float | None = None) -> Connection:
        """Returns a connection of its own, outside the pool, to be closed by the caller; errors come out unmapped.

        It ends by itself when the server is found not to answer: whoever reads from it would otherwise wait for as long
        as the network takes to notice. command_timeout_s: for an answer; by default a statement's limit and a little.
        """
        connection: Connection = await asyncpg.connect(
            self._url,
            timeout=WATCH_TIMEOUT_S * 2,
            command_timeout=COMMAND_TIMEOUT_S if command_timeout_s is None else command_timeout_s,
            **connection_options(pooled=self._is_pooled),
        )
        try:
            await self._prepare(connection)
        except BaseException:
            connection.terminate()
            raise
        self._outside_pool.add(connection)
        connection.add_termination_listener(self._outside_pool.discard)
        return connection

    async def _prepare(self, connection: Connection) -> None:
        async with self.together(connection):
            await prepare_connection(connection)

    @contextlib.asynccontextmanager
    async def together(self, connection: Connection, isolation: str | None = None) -> AsyncIterator[None]:
        """Runs what the block does in one transaction where that must be: behind a pooler, or for one moment's view.

        A statement takes two exchanges, to prepare and to run it, which a pooler may send to two servers otherwise.
        """
        if not self._is_pooled and isolation is None:
            yield
            return
        async with connection.transaction(isolation=isolation or "read_committed"):
            try:
                if self._is_pooled:
                    await connection.execute(_LOCAL_SETTINGS_SQL)
                yield
            except TimeoutError:
                # It did not answer: it would not answer the rollback either, and that would wait for as long again.
                with contextlib.suppress(asyncpg.InterfaceError):
                    connection.terminate()
                raise

    @contextlib.asynccontextmanager
    async def reading(self, isolation: str | None = None) -> AsyncIterator[Connection]:
        """Lends a connection, in a transaction of that isolation where one is named.

        Raises DependencyUnavailable at once while the server is down, within 1 s as it goes.
        """
        if not self._is_up or self._pool is None:
            raise DependencyUnavailable(DEPENDENCY)
        with mapped_errors():
            connection = await self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S)
        self._in_use.add(connection)
        try:
            with mapped_errors():
                async with _ending_with(connection), self.together(connection, isolation):
                    yield connection
        except BaseException:
            # Whatever state it is in, it is not worth the wait that finding out could take on a stalled server.
            with contextlib.suppress(*POSTGRES_FAILURES):
                if connection.is_in_transaction():
                    connection.terminate()
            raise
        finally:
            self._in_use.discard(connection)
            await self._give_back(connection)

    async def _give_back(self, connection: Connection) -> None:
        with contextlib.suppress(*POSTGRES_FAILURES):
            if not self._is_up:
                connection.terminate()
            if self._pool is not None:
                await self._pool.release(connection, timeout=1)

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[Connection]:
        """Lends a connection in a transaction, one writer at a time; commits when the block ends well.

        Raises Overloaded when too many writers wait, and what ``reading`` raises.
        """
        if not self._is_up:
            raise DependencyUnavailable(DEPENDENCY)
        if self._waiting_writers >= MAX_WAITING_WRITERS:
            raise Overloaded
        self._waiting_writers += 1
        try:
            await self._write_turn.acquire()
        finally:
            self._waiting_writers -= 1
        try:
            # Whatever the server's default is: a stricter level would read what was there before this writer's turn.
            async with self.reading(isolation="read_committed") as connection:
                yield connection
        finally:
            self._write_turn.release()

    async def watch(self) -> None:
        """Asks the server for a sign of life, again and again; while it gives none, everyone is told at once."""
        connection: Connection | None = None
        try:
            while True:
                try:
                    if connection is None:
                        # It prepares nothing and needs no settings.
                        connection = await asyncpg.connect(self._url, timeout=WATCH_TIMEOUT_S)
                    await connection.execute("SELECT 1", timeout=WATCH_TIMEOUT_S)
                except POSTGRES_FAILURES:
                    # Whatever is wrong with it: a server that cannot answer this cannot answer anything.
                    if connection is not None:
                        connection.terminate()
                        connection = None
                    await self._mark(up=False)
                else:
                    await self._mark(up=True)
                await asyncio.sleep(WATCH_INTERVAL_S)
        finally:
            if connection is not None:
                connection.terminate()

    async def _mark(self, *, up: bool) -> None:
        if up == self._is_up:
            return
        self._is_up = up
        DATABASE_UP.set(1 if up else 0)
        _log.warning("PostgreSQL answers again" if up else "PostgreSQL does not answer; searching goes on from memory")
        if not up:
            for connection in [*self._in_use, *self._outside_pool]:
                # Ends the statements that wait for a server that does not answer.
                with contextlib.suppress(*POSTGRES_FAILURES):
                    connection.terminate()
            if self._pool is not None:
                await self._pool.expire_connections()


async def _keep_as_it_is(_: Connection) -> None:
    """Leaves a connection's settings alone: what is done here lasts for a transaction, and asyncpg has ended that one.

    Its own reset would undo what nobody did, in one more exchange that the next writer waits for.
    """


@contextlib.asynccontextmanager
async def _ending_with(connection: Connection) -> AsyncIterator[None]:
    """Ends the block with a TimeoutError once the connection has ended.

    asyncpg's COPY, while the network takes no more, waits for its turn to write and for nothing else: for ever, when
    the connection is gone.
    """
    async with asyncio.timeout(None) as block:

        def end(_: Connection) -> None:
            # The block may be over by now.
            with contextlib.suppress(RuntimeError):
                block.reschedule(asyncio.get_running_loop().time())

        connection.add_termination_listener(end)
        try:
            yield
        finally:
            # One that has ended has gone back to the pool, and takes nothing any more.
            with contextlib.suppress(asyncpg.InterfaceError):
                connection.remove_termination_listener(end)
