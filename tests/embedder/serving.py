"""The embedder's servicer on a real port, inside the test's own event loop, with a vector store that obeys the test."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
from twin.embedder.v1 import embedder_pb2_grpc
from twin.vectorstore.v1 import vectorstore_pb2, vectorstore_pb2_grpc

from embedder.admission import Admission
from embedder.engine import Engine, Model, max_begun, stage_runners
from embedder.enroll import Enrolment
from embedder.servicer import EmbedderServicer
from embedder.store_link import StoreLink
from runtime.channels import open_channel, time_left_s
from runtime.interceptor import BoundaryInterceptor
from runtime.readiness import Readiness

MAX_MESSAGE_BYTES = 48 * 2**20
NOWHERE = "127.0.0.1:9"


@asynccontextmanager
async def embedder_server(
    model: Model, *, store: str = NOWHERE, queue_limit: int = 8, in_flight: int = 4, answer_timeout_s: float = 20.0
) -> AsyncIterator["embedder_pb2_grpc.EmbedderServiceAsyncStub"]:
    """Serves a loaded model; yields a client of it."""
    readiness = Readiness()
    readiness.mark_ready()
    admission = Admission(
        stage_runners(model, 2), thread_count=2, queue_limit=queue_limit, max_begun=max_begun(model, 2)
    )
    engine = Engine(model, admission)
    store_channel = open_channel(store, max_message_bytes=MAX_MESSAGE_BYTES)

    def open_enrolment(context: Any) -> Enrolment:
        stub = vectorstore_pb2_grpc.VectorStoreServiceStub(store_channel)
        link = StoreLink(stub, answer_timeout_s=answer_timeout_s, stream_timeout_s=lambda: time_left_s(context, 60.0))
        return Enrolment(link)

    server = grpc.aio.server(
        interceptors=[BoundaryInterceptor(readiness)],
        options=[("grpc.max_receive_message_length", MAX_MESSAGE_BYTES), ("grpc.so_reuseport", 0)],
    )
    servicer = EmbedderServicer(
        lambda: engine, open_enrolment, max_streams=64, stream_in_flight=in_flight, stream_waiting_bytes=2**28
    )
    embedder_pb2_grpc.add_EmbedderServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with open_channel(f"127.0.0.1:{port}", max_message_bytes=MAX_MESSAGE_BYTES) as channel:
        yield embedder_pb2_grpc.EmbedderServiceStub(channel)
    await server.stop(0)
    await admission.close()
    await store_channel.close()


Answer = Callable[[vectorstore_pb2.AddPhotosRequest], vectorstore_pb2.AddPhotosResponse | None]


class FakeStore(vectorstore_pb2_grpc.VectorStoreServiceServicer):
    """Answers AddPhotos as told: a response, None for silence; an exception from the function cuts the stream."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[vectorstore_pb2.AddPhotosRequest] = []
        self.streams = 0

    async def AddPhotos(  # noqa: N802
        self, request_iterator: Any, context: Any
    ) -> AsyncIterator[vectorstore_pb2.AddPhotosResponse]:
        self.streams += 1
        async for request in request_iterator:
            self.requests.append(request)
            try:
                response = self.answer(request)
            except ConnectionError:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "cut")
            if response is not None:
                yield response


def fake_store(answer: Answer) -> FakeStore:
    """Makes a store of which only AddPhotos works."""
    return FakeStore(answer)  # type: ignore[abstract]


def stored(request: vectorstore_pb2.AddPhotosRequest) -> vectorstore_pb2.AddPhotosResponse:
    """What a store that works answers."""
    photo = vectorstore_pb2.Photo()
    photo.CopyFrom(request.photo)
    for number, face in enumerate(photo.faces, start=1):
        face.face_id = number
        face.face.ClearField("embedding")
    return vectorstore_pb2.AddPhotosResponse(photo_id=request.photo.photo_id, photo=photo, revision=1)


@asynccontextmanager
async def store_server(fake: FakeStore, address: str = "127.0.0.1:0") -> AsyncIterator[str]:
    """Serves the fake; yields its address."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    vectorstore_pb2_grpc.add_VectorStoreServiceServicer_to_server(fake, server)
    port = server.add_insecure_port(address)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


async def each(*items: Any) -> AsyncIterator[Any]:
    """Streams the items."""
    for item in items:
        yield item
        await asyncio.sleep(0)
