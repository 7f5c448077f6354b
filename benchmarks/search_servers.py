"""Databases of others that are called through their own clients: PostgreSQL with pgvector, and Milvus Lite."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Final

import asyncpg
import numpy as np

from benchmarks.contestant import Setup
from benchmarks.galleries import DIMENSION, Rows
from benchmarks.load import Load, from_clients
from benchmarks.search_data import Found, K
from benchmarks.search_peers import BUILD_EFFORT, EFFORTS, NEIGHBOURS
from vectorstore.embedded import EmbeddedPostgres

_MILVUS_ROWS: Final = 1000
# Beyond PostgreSQL's defaults, so that the whole gallery fits into its cache and the graph is built in memory.
_POSTGRES_SETTINGS: Final = {
    "shared_buffers": "4GB",
    "maintenance_work_mem": "4GB",
    "max_connections": "100",
    "max_wal_size": "8GB",
}


def encode_halfvec(vector: Rows) -> bytes:
    """Returns a vector (n,) in pgvector's binary form of float16: n and 0 as 16 bits, then the values, big-endian."""
    return len(vector).to_bytes(2, "big") + b"\x00\x00" + vector.astype(">f2").tobytes()


class Pgvector:
    """A table of halfvec with an HNSW index, asked over as many connections as there are callers."""

    # Its effort ends at 1,000.
    variants: tuple[str, ...] = (*EFFORTS[:-2], "1000")
    chooses = True

    def __init__(self, setup: Setup) -> None:
        self._runner = asyncio.Runner()
        self._folder = setup.folder / "postgres"
        self._threads = setup.threads
        self._server = EmbeddedPostgres(self._folder)
        self._url = ""
        self._connections: list[Any] = []
        # What each connection was told.
        self._efforts: list[str] = []

    def build(self, rows: Rows) -> None:
        self._runner.run(self._build(rows))

    def bytes_each(self) -> dict[str, float]:
        sizes = (
            "SELECT pg_relation_size('faces_by_embedding')::float8, pg_table_size('faces')::float8, count(*) FROM faces"
        )
        index, table, count = self._runner.run(self._connections[0].fetchrow(sizes))
        return {"memory": index / count, "table": table / count}

    def search(self, probes: Rows, variant: str, threads: int) -> Found:
        found: Found = self._runner.run(self._search(probes, variant, threads))
        return found

    def under_load(self, probes: Rows, variant: str, callers: int, threads: int, duration_s: float) -> list[Load]:
        async def ask(number: int, probe: Rows) -> None:
            await self._ask(number, probe)

        async def run() -> Load:
            await self._connect(callers, variant)
            return await from_clients(ask, probes, callers, duration_s)

        return [self._runner.run(run())]

    def add(self, ids: Found, rows: Rows) -> None:
        self._runner.run(self._copy(ids, rows))

    def remove(self, ids: Found) -> None:
        statement = "DELETE FROM faces WHERE face_id = ANY($1::bigint[])"
        self._runner.run(self._connections[0].execute(statement, ids.tolist()))

    def close(self) -> None:
        self._runner.run(self._stop())
        self._runner.close()

    def open(self) -> None:
        self._runner.run(self._open())

    def abort(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._server.stop())

    async def _build(self, rows: Rows) -> None:
        connection = await asyncpg.connect(await self._server.start())
        for name, value in _POSTGRES_SETTINGS.items():
            await connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        await connection.execute("CREATE EXTENSION vector")
        await connection.close()
        await self._server.stop()
        self._server = EmbeddedPostgres(self._folder)
        await self._open()
        connection = self._connections[0]
        await connection.execute(
            f"CREATE TABLE faces (face_id bigint PRIMARY KEY, embedding halfvec({DIMENSION}) STORAGE PLAIN)"
        )
        for start in range(0, len(rows), 10_000):
            piece = rows[start : start + 10_000]
            await self._copy(np.arange(start, start + len(piece)), piece)
        await connection.execute(f"SET max_parallel_maintenance_workers = {self._threads - 1}")
        await connection.execute(
            "CREATE INDEX faces_by_embedding ON faces USING hnsw (embedding halfvec_ip_ops)"
            f" WITH (m = {NEIGHBOURS}, ef_construction = {BUILD_EFFORT})",
            timeout=7200,
        )
        await connection.execute("VACUUM ANALYZE faces")

    async def _open(self) -> None:
        self._url = await self._server.start()
        await self._connect(1, self.variants[0])

    async def _connect(self, count: int, variant: str) -> None:
        """Sees to it that so many connections are there, and search with this effort."""
        while len(self._connections) < count:
            connection: asyncpg.Connection[Any] = await asyncpg.connect(self._url, server_settings={"jit": "off"})
            await connection.set_type_codec(
                "halfvec", schema="public", encoder=encode_halfvec, decoder=bytes, format="binary"
            )
            # Its settings are there once the library of the extension is loaded.
            await connection.execute("LOAD 'vector'")
            self._connections.append(connection)
            self._efforts.append("")
        for number, effort in enumerate(self._efforts[:count]):
            if effort != variant:
                await self._connections[number].execute(f"SET hnsw.ef_search = {variant}")
                self._efforts[number] = variant

    async def _copy(self, ids: Found, rows: Rows) -> None:
        records = list(zip(ids.tolist(), rows, strict=True))
        await self._connections[0].copy_records_to_table("faces", records=records)

    async def _ask(self, number: int, probe: Rows) -> list[int]:
        statement = f"SELECT face_id FROM faces ORDER BY embedding <#> $1 LIMIT {K}"
        return [row[0] for row in await self._connections[number].fetch(statement, probe)]

    async def _search(self, probes: Rows, variant: str, threads: int) -> Found:
        await self._connect(threads, variant)
        found = np.full((len(probes), K), -1, np.int64)
        turns = iter(range(len(probes)))

        async def caller(number: int) -> None:
            for turn in turns:
                ids = await self._ask(number, probes[turn])
                found[turn, : len(ids)] = ids

        await asyncio.gather(*(caller(number) for number in range(threads)))
        return found

    async def _stop(self) -> None:
        for connection in self._connections:
            await connection.close()
        await self._server.stop()


class MilvusLite:
    """Milvus Lite's own server, asked through pymilvus."""

    variants: tuple[str, ...] = EFFORTS
    chooses = True

    def __init__(self, setup: Setup) -> None:
        self._folder, self._threads = setup.folder / "milvus", setup.threads
        self._runner = asyncio.Runner()
        self._process: subprocess.Popen[bytes] | None = None
        self._client: Any = None
        self._asking: Any = None

    def build(self, rows: Rows) -> None:
        from pymilvus import DataType

        self._connect()
        schema = self._client.create_schema(auto_id=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=DIMENSION)
        self._client.create_collection("faces", schema=schema)
        self.add(np.arange(len(rows)), rows)
        self._client.flush("faces", timeout=7200)
        parameters = self._client.prepare_index_params()
        parameters.add_index(
            "embedding",
            index_type="HNSW",
            metric_type="IP",
            params={"M": NEIGHBOURS, "efConstruction": BUILD_EFFORT},
        )
        self._client.create_index("faces", parameters, timeout=7200)
        self._client.load_collection("faces", timeout=7200)

    def bytes_each(self) -> dict[str, float]:
        count = int(self._client.get_collection_stats("faces")["row_count"])
        size = sum(path.stat().st_size for path in self._folder.rglob("*") if path.is_file())
        return {"disk": size / count}

    def search(self, probes: Rows, variant: str, threads: int) -> Found:
        found = np.full((len(probes), K), -1, np.int64)
        for turn, hits in enumerate(self._client.search("faces", data=list(probes), **_milvus_search(variant))):
            found[turn, : len(hits)] = [hit["id"] for hit in hits]
        return found

    def under_load(self, probes: Rows, variant: str, callers: int, threads: int, duration_s: float) -> list[Load]:
        async def ask(number: int, probe: Rows) -> None:
            await self._asking.search("faces", data=[probe], **_milvus_search(variant))

        return [self._runner.run(from_clients(ask, probes, callers, duration_s))]

    def add(self, ids: Found, rows: Rows) -> None:
        for piece in _pieces(len(ids), _MILVUS_ROWS):
            self._client.insert(
                "faces",
                [{"id": int(row), "embedding": vector} for row, vector in zip(ids[piece], rows[piece], strict=True)],
            )

    def remove(self, ids: Found) -> None:
        self._client.delete("faces", ids=ids.tolist())

    def close(self) -> None:
        self._runner.run(self._asking.close())
        self._client.close()
        self._runner.close()
        assert self._process is not None
        self._process.terminate()
        self._process.wait(60)

    def open(self) -> None:
        self._connect()
        self._client.load_collection("faces", timeout=7200)

    def abort(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _connect(self) -> None:
        from pymilvus import AsyncMilvusClient, MilvusClient

        port = str(_free_port())
        command = [sys.executable, "-m", "milvus_lite", "server", "--data-dir", str(self._folder)]
        self._process = subprocess.Popen([*command, "--host", "127.0.0.1", "--port", port], stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        if b"listening" not in self._process.stdout.readline():
            raise RuntimeError("Milvus Lite did not start")
        self._client = MilvusClient(uri=f"http://127.0.0.1:{port}")

        async def connect() -> Any:
            return AsyncMilvusClient(uri=f"http://127.0.0.1:{port}")

        self._asking = self._runner.run(connect())


def _milvus_search(variant: str) -> dict[str, Any]:
    return {"limit": K, "anns_field": "embedding", "search_params": {"params": {"ef": int(variant)}}}


def _pieces(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(count, start + size))


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
