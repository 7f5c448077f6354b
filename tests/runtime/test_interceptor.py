"""The interceptor around one handler at a time."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from prometheus_client import REGISTRY
from twin.vectorstore.v1 import vectorstore_pb2 as vs
from twin.vectorstore.v1 import vectorstore_pb2_grpc as vs_grpc

from runtime.interceptor import BoundaryInterceptor
from runtime.readiness import Readiness

METHOD = "/twin.vectorstore.v1.VectorStoreService/AddPhotos"


class Endless(vs_grpc.VectorStoreServiceServicer):
    """Answers without an end, and notes when its stream is closed."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()

    async def AddPhotos(  # noqa: N802
        self, request_iterator: Any, context: Any
    ) -> AsyncIterator[vs.AddPhotosResponse]:
        try:
            while True:
                yield vs.AddPhotosResponse()
                await asyncio.sleep(0.01)
        finally:
            self.closed.set()


def count(code: str) -> float:
    return REGISTRY.get_sample_value("twin_rpc_seconds_count", {"method": METHOD, "code": code}) or 0.0


async def test_a_stream_whose_client_leaves_is_closed_and_counted_as_cancelled() -> None:
    readiness = Readiness()
    readiness.mark_ready()
    servicer = Endless()  # type: ignore[abstract]
    server = grpc.aio.server(interceptors=[BoundaryInterceptor(readiness)])
    vs_grpc.add_VectorStoreServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    before = count("CANCELLED"), count("OK")
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = vs_grpc.VectorStoreServiceStub(channel).AddPhotos(iter([vs.AddPhotosRequest()]))
            assert await call.read() == vs.AddPhotosResponse()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call.read()
        async with asyncio.timeout(10):
            await servicer.closed.wait()
            while count("CANCELLED") == before[0]:  # noqa: ASYNC110 - a metric wakes nobody
                await asyncio.sleep(0.01)
    finally:
        await server.stop(0)
    assert (count("CANCELLED"), count("OK")) == (before[0] + 1, before[1])
