"""One embedded PostgreSQL for all tests, a fresh database for each, and a real gRPC server in this process."""

import asyncio
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import grpc.aio
import numpy as np
import pytest
from pydantic import SecretStr
from twin.vectorstore.v1 import vectorstore_pb2 as pb
from twin.vectorstore.v1 import vectorstore_pb2_grpc as pb_grpc

from runtime.interceptor import BoundaryInterceptor
from runtime.readiness import Readiness
from runtime.server import ServiceContext
from runtime.tasks import TaskSupervisor
from tests.vectorstore.fake_cuda import fake_device
from tests.vectorstore.wire import DIMENSION, MODEL
from vectorstore.embedded import EmbeddedPostgres
from vectorstore.index import cuda_index
from vectorstore.index.cuda_device import CudaDevice, cuda_memory_bytes, open_device
from vectorstore.prepare import prepare_database
from vectorstore.service import VectorStore
from vectorstore.settings import VectorStoreSettings

_OPTIONS = [("grpc.max_send_message_length", 48 * 2**20), ("grpc.max_receive_message_length", 48 * 2**20)]


@dataclass
class Store:
    """A running vector store, as its callers see it, and its inside for what cannot be seen."""

    stub: Any
    service: VectorStore
    readiness: Readiness
    tasks: TaskSupervisor
    address: str


StartStore = Callable[..., AbstractAsyncContextManager[Store]]


@pytest.fixture(scope="session")
def postgres_folder() -> Iterator[Path]:
    """Outside pytest's own folder: every run of pytest closes that one to other users, and root's PostgreSQL is one."""
    with tempfile.TemporaryDirectory(prefix="twin-") as folder:
        yield Path(folder) / "postgres"


@pytest.fixture(scope="session")
def postgres_url(postgres_folder: Path) -> Iterator[str]:
    server = EmbeddedPostgres(postgres_folder)
    yield asyncio.run(server.start())
    asyncio.run(server.stop())


async def _make_database(postgres_url: str, name: str) -> str:
    connection: asyncpg.Connection[Any] = await asyncpg.connect(postgres_url)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    return postgres_url.replace("/postgres?", f"/{name}?")


@pytest.fixture
async def empty_database_url(postgres_url: str) -> str:
    """A database without our schema."""
    return await _make_database(postgres_url, f"test_{uuid.uuid4().hex}")


@pytest.fixture(scope="session")
def shared_database_url(postgres_url: str) -> str:
    async def make() -> str:
        url = await _make_database(postgres_url, "shared")
        await prepare_database(url)
        return url

    return asyncio.run(make())


@pytest.fixture
async def database_url(shared_database_url: str) -> str:
    """A database with our schema and nothing in it: emptied, since making and dropping one costs half a second."""
    connection: asyncpg.Connection[Any] = await asyncpg.connect(shared_database_url)
    try:
        await connection.execute(
            "TRUNCATE galleries, photos, faces, changes, deletions, reserved_originals, audit_log, audit_links "
            "RESTART IDENTITY"
        )
        await connection.execute("UPDATE store SET store_id = gen_random_uuid(), pruned_revision = 0")
    finally:
        await connection.close()
    return shared_database_url


@asynccontextmanager
async def _running(settings: VectorStoreSettings) -> AsyncIterator[Store]:
    readiness = Readiness()
    tasks = TaskSupervisor(readiness)
    service = VectorStore(settings)
    server = grpc.aio.server(interceptors=[BoundaryInterceptor(readiness)], options=_OPTIONS)
    service.register(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        await service.start(ServiceContext(f"127.0.0.1:{port}", readiness, tasks))
        readiness.mark_ready()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=_OPTIONS) as channel:
            yield Store(pb_grpc.VectorStoreServiceStub(channel), service, readiness, tasks, f"127.0.0.1:{port}")
    finally:
        await server.stop(0.2)
        await tasks.stop()
        await service.stop()


@pytest.fixture
def start_store(database_url: str, tmp_path: Path) -> StartStore:
    """Starts a store on this test's database; more than one are replicas of one another."""

    def start(folder: str = "data", **settings: Any) -> AbstractAsyncContextManager[Store]:
        return _running(
            VectorStoreSettings(data_dir=tmp_path / folder, database_url=SecretStr(database_url), **settings)
        )

    return start


@pytest.fixture
async def store(start_store: StartStore) -> AsyncIterator[Store]:
    async with start_store() as running:
        yield running


@pytest.fixture
async def stub(store: Store) -> Any:
    """A store that has an empty default gallery."""
    await store.stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))
    return store.stub


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Any]:
    """A connection of the test's own, to look behind the service."""
    connection: asyncpg.Connection[Any] = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260101)


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> Iterator[CudaDevice]:
    if request.param == "real":
        if cuda_memory_bytes() is None:
            pytest.skip("needs a CUDA device and the extra vectorstore-gpu: FAISS finds none here")
        yield open_device()
        return
    fake = fake_device()
    yield fake
    fake.owner.stop()


@pytest.fixture
def device_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Galleries as small as the tests' would otherwise be compared on the host, and have a list for every other row."""
    monkeypatch.setattr(cuda_index, "_GATHER_ROWS", 0)
    monkeypatch.setattr("vectorstore.index.cuda_quantized._LIST_COUNT_SMALL", 16)
