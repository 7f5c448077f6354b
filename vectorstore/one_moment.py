"""Several connections that see one moment of the database, and read it by COPY."""

from typing import Final

from vectorstore.database import Connection, Database

# For one answer, so that a server that does not answer ends the start.
_ANSWER_TIMEOUT_S: Final = 300
# Idle while others read. And galleries are read through their indexes, piece by piece: what PostgreSQL believes of
# tables that were just filled must not make it scan or sort them for each piece.
_SETTINGS_SQL: Final = """
    SET LOCAL statement_timeout = 0;
    SET LOCAL idle_in_transaction_session_timeout = 0;
    SET LOCAL enable_seqscan = off;
    SET LOCAL enable_bitmapscan = off;
    SET LOCAL enable_sort = off;
"""


class CopyReader:
    """One connection, with a buffer that holds its answers one after the other: new memory costs more than reading."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._buffer = bytearray()

    async def copy(self, sql: str, *arguments: int) -> memoryview:
        """Returns what COPY of the query gives, in binary; valid until the next call.

        The arguments are written into the query, which COPY cannot be given otherwise without preparing it: behind a
        pooler of transactions a prepared statement's name would meet those of others.
        """
        for place in range(len(arguments), 0, -1):
            sql = sql.replace(f"${place}", f"'{arguments[place - 1]:d}'::bigint")
        filled = 0

        async def keep(data: bytes) -> None:
            nonlocal filled
            needed = filled + len(data)
            if needed > len(self._buffer):
                grown = bytearray(max(needed, 2 * len(self._buffer)))
                grown[:filled] = self._buffer[:filled]
                self._buffer = grown
            self._buffer[filled:needed] = data
            filled = needed

        await self.connection.copy_from_query(sql, output=keep, format="binary")
        return memoryview(self._buffer)[:filled].toreadonly()


class OneMoment:
    """A context in which every reader sees the database as it was when it began; errors come out unmapped."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._readers: list[CopyReader] = []
        self._snapshot = ""

    async def __aenter__(self) -> "OneMoment":
        try:
            await self.readers(1)
            self._snapshot = await self._readers[0].connection.fetchval("SELECT pg_export_snapshot()")
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for reader in self._readers:
            reader.connection.terminate()

    async def readers(self, count: int) -> list[CopyReader]:
        """Returns so many readers; the same ones each time."""
        while len(self._readers) < count:
            connection = await self._database.connect(_ANSWER_TIMEOUT_S)
            self._readers.append(CopyReader(connection))
            await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            if self._snapshot:
                await connection.execute(f"SET TRANSACTION SNAPSHOT '{self._snapshot}'")
            await connection.execute(_SETTINGS_SQL)
        return self._readers[:count]
