"""A whole gateway in this process, between real gRPC servers that stand in for its peers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from twin.embedder.v1 import embedder_pb2_grpc
from twin.gateway.v1 import gateway_pb2_grpc
from twin.vectorstore.v1 import vectorstore_pb2_grpc

from gateway.photo_store import PhotoStore
from gateway.service import GatewayService
from gateway.settings import GatewaySettings
from runtime.interceptor import BoundaryInterceptor
from runtime.readiness import Readiness
from runtime.server import ServiceContext
from runtime.status import error_info, status_from_rpc_error
from runtime.tasks import TaskSupervisor
from tests.gateway.fakes import FakeEmbedder, FakeVectorStore

ADMIN_KEY = "an-administrators-key"
ADMIN = (("authorization", f"Bearer {ADMIN_KEY}"),)
OPTIONS = [("grpc.max_send_message_length", 48 * 2**20), ("grpc.max_receive_message_length", 48 * 2**20)]


@dataclass
class Gateway:
    """A running gateway and what stands behind it."""

    service: GatewayService
    embedder: FakeEmbedder
    vectors: FakeVectorStore
    readiness: Readiness
    address: str
    http: str
    data_dir: Path
    channel: grpc.aio.Channel
    servers: dict[str, grpc.aio.Server] = field(default_factory=dict)

    @property
    def stub(self) -> Any:
        return gateway_pb2_grpc.TwinServiceStub(self.channel)

    @property
    def url(self) -> str:
        return f"http://{self.http}"

    @property
    def photos_dir(self) -> Path:
        return self.data_dir / "photos"

    def kept_files(self) -> list[Path]:
        return sorted(path for path in (self.photos_dir / "kept").rglob("*") if path.is_file())


async def serve(register: Any) -> tuple[grpc.aio.Server, str]:
    readiness = Readiness()
    readiness.mark_ready()
    server = grpc.aio.server(
        interceptors=[BoundaryInterceptor(readiness)], options=[*OPTIONS, ("grpc.so_reuseport", 0)]
    )
    register(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, f"127.0.0.1:{port}"


@asynccontextmanager
async def running_gateway(
    tmp_path: Path, *, store: PhotoStore | None = None, start: bool = True, **more: Any
) -> AsyncIterator[Gateway]:
    """A gateway with fakes; more: settings that differ from the defaults."""
    vectors = FakeVectorStore()
    embedder = FakeEmbedder(vectors)
    embedder_server, embedder_address = await serve(
        lambda server: embedder_pb2_grpc.add_EmbedderServiceServicer_to_server(embedder, server)
    )
    vectors_server, vectors_address = await serve(
        lambda server: vectorstore_pb2_grpc.add_VectorStoreServiceServicer_to_server(vectors, server)
    )
    data_dir = tmp_path / "data"
    settings = GatewaySettings(
        **{
            "data_dir": data_dir,
            "gateway_http_bind": "127.0.0.1:0",
            "embedder_target": embedder_address,
            "vectorstore_target": vectors_address,
            "admin_key": ADMIN_KEY,
            "removal_retry_s": 0.05,
            **more,
        }
    )
    readiness = Readiness()
    tasks = TaskSupervisor(readiness)
    service = GatewayService(settings, store=store)
    server = grpc.aio.server(
        interceptors=[BoundaryInterceptor(readiness)], options=[*OPTIONS, ("grpc.so_reuseport", 0)]
    )
    service.register(server)
    servicer = health.aio.HealthServicer()
    for name in ("", *service.grpc_services):
        await servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    reflection.enable_server_reflection([*service.grpc_services, reflection.SERVICE_NAME], server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    context = ServiceContext(address, readiness, tasks)
    channel = grpc.aio.insecure_channel(address, options=OPTIONS)
    try:
        http = (await service.bind(context))["gateway_http"]
        await server.start()
        if start:
            await service.start(context)
            readiness.mark_ready()
        servers = {"embedder": embedder_server, "vectorstore": vectors_server}
        yield Gateway(service, embedder, vectors, readiness, address, http, data_dir, channel, servers)
    finally:
        await channel.close()
        for one in (server, embedder_server, vectors_server):
            await one.stop(0)
        await tasks.stop()
        await service.stop()


async def refusal(call: Any) -> tuple[grpc.StatusCode, str]:
    """Returns the code and the reason of a call that fails."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        info = error_info(status_from_rpc_error(error))
        return error.code(), info.reason if info is not None else ""
    raise AssertionError("the call succeeded")


async def until(condition: Any) -> None:
    """Waits for something that happens in the background."""
    while not condition():  # noqa: ASYNC110 - what is waited for happens in files and fakes, which set no event
        await asyncio.sleep(0.01)
