"""Vector stores as processes on a PostgreSQL that stays up when they are killed, and that can be killed itself."""

import asyncio
import contextlib
import os
import tempfile
import urllib.request
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import grpc.aio
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families
from twin.vectorstore.v1 import vectorstore_pb2_grpc as pb_grpc

from tests.vectorstore.processes import StoreProcess, process_is_there
from vectorstore.embedded import EmbeddedPostgres

START_TIMEOUT_S = 60.0
SERVICE = "twin.vectorstore.v1.VectorStoreService"
OPTIONS = [("grpc.max_send_message_length", 48 * 2**20), ("grpc.max_receive_message_length", 48 * 2**20)]


class PostgresServer:
    """One PostgreSQL in a folder, with as many databases as are wanted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "postgres"
        self._server = EmbeddedPostgres(self._folder)
        self.url = ""

    async def start(self) -> None:
        """Starts it, also after a kill."""
        self.url = await self._server.start()

    async def stop(self) -> None:
        await self._server.stop()

    async def make_database(self) -> str:
        """Makes an empty database and returns its URL."""
        name = f"chaos_{uuid.uuid4().hex}"
        await self.execute(f"CREATE DATABASE {name}")
        return self.url.replace("/postgres?", f"/{name}?")

    async def execute(self, statement: str) -> None:
        connection: asyncpg.Connection[Any] = await asyncpg.connect(self.url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def processes(self) -> list[psutil.Process]:
        """Returns the main process and its children."""
        main = psutil.Process(int((self._folder / "postmaster.pid").read_text().splitlines()[0]))
        return [main, *main.children()]

    async def kill(self) -> None:
        """Ends all its processes at once, so that nothing in their memory reaches the disk, and starts it again."""
        processes = self.processes()
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        # A process that is about to die still looks alive to whoever would start it again.
        async with asyncio.timeout(10):
            while any(process_is_there(process.pid) for process in processes):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await self._server._run_with_patience()

    @contextlib.contextmanager
    def stalled(self) -> Iterator[None]:
        """Every process of it stands still for the length of the block."""
        processes = self.processes()
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        try:
            yield
        finally:
            for process in processes:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.resume()


@contextlib.asynccontextmanager
async def postgres_server() -> AsyncIterator[PostgresServer]:
    """Lends a server of its own. Its folder lies outside pytest's, which other users cannot enter."""
    with tempfile.TemporaryDirectory(prefix="twin-chaos-", ignore_cleanup_errors=True) as folder:
        server = PostgresServer(Path(folder))
        await server.start()
        try:
            yield server
        finally:
            await server.stop()


@contextlib.contextmanager
def lasting_postgres_server() -> Iterator[PostgresServer]:
    """Lends one to tests that each have an event loop of their own."""
    with tempfile.TemporaryDirectory(prefix="twin-chaos-", ignore_cleanup_errors=True) as folder:
        server = PostgresServer(Path(folder))
        asyncio.run(server.start())
        try:
            yield server
        finally:
            asyncio.run(server.stop())


class Died(Exception):
    """The process ended before it was ready."""


class RunningStore:
    """A process that has printed its addresses, with clients."""

    def __init__(self, process: StoreProcess, addresses: dict[str, str]) -> None:
        self.process = process
        self.addresses = addresses
        self.channel = grpc.aio.insecure_channel(addresses["vectorstore"], options=OPTIONS)
        self.stub: Any = pb_grpc.VectorStoreServiceStub(self.channel)
        self._health: Any = health_pb2_grpc.HealthStub(self.channel)

    @property
    def pid(self) -> int:
        return self.process.process.pid

    @property
    def is_running(self) -> bool:
        return self.process.process.poll() is None

    async def is_serving(self) -> bool:
        """Asks for health."""
        answer = await self._health.Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=5)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def until_serving(self, serving: bool = True) -> None:
        """Waits for health; raises Died when the process ends first."""
        async with asyncio.timeout(START_TIMEOUT_S):
            while True:
                if not self.is_running:
                    raise Died(self.process.log.read_text()[-2000:])
                with contextlib.suppress(grpc.aio.AioRpcError):
                    if await self.is_serving() is serving:
                        return
                await asyncio.sleep(0.02)

    def metric(self, name: str) -> float:
        """Returns the sum of a metric's samples, 0 for none."""
        with urllib.request.urlopen(f"http://{self.addresses['metrics']}/metrics", timeout=20) as response:
            text = response.read().decode()
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return sum(sample.value for sample in samples if sample.name == name)

    def resident_bytes(self) -> int:
        return int(psutil.Process(self.pid).memory_info().rss)


def start_process(
    data_folder: Path, database_url: str = "", *, failpoints: str = "", seed: int = 0, **more: str
) -> StoreProcess:
    """Starts a store, to be stopped by the caller.

    database_url: none for the embedded server. TWIN_INDEX is handed on from this process's environment.
    """
    environment = dict(more)
    if database_url:
        environment["TWIN_DATABASE_URL"] = database_url
    if failpoints:
        environment |= {
            "TWIN_FAILPOINTS": failpoints,
            "TWIN_ALLOW_FAILPOINTS": "1",
            "TWIN_FAILPOINTS_SEED": str(seed),
        }
    if "TWIN_INDEX" in os.environ:
        environment.setdefault("TWIN_INDEX", os.environ["TWIN_INDEX"])
    return StoreProcess(data_folder, **environment)


@contextlib.asynccontextmanager
async def connected(process: StoreProcess, *, wait: bool = True) -> AsyncIterator[RunningStore]:
    """Lends clients of a process that was started; raises Died when it does not come to serve."""
    addresses = await process.addresses()
    if addresses is None:
        raise Died(process.log.read_text()[-2000:])
    store = RunningStore(process, addresses)
    try:
        if wait:
            await store.until_serving()
        yield store
    finally:
        await store.channel.close()


@contextlib.asynccontextmanager
async def running_store(
    data_folder: Path, database_url: str = "", *, wait: bool = True, **how: Any
) -> AsyncIterator[RunningStore]:
    """Starts a store as ``start_process`` does, and ends it, whatever became of it."""
    process = start_process(data_folder, database_url, **how)
    try:
        async with connected(process, wait=wait) as store:
            yield store
    finally:
        # In this thread: a test that is cancelled would not wait for another one, and leave the process behind.
        process.stop()
