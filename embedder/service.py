"""The embedder as a service: loads its model, serves, and lets go of everything at the end."""

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc.aio
from twin.embedder.v1 import embedder_pb2_grpc
from twin.vectorstore.v1 import vectorstore_pb2_grpc

from embedder import metrics
from embedder.admission import Admission
from embedder.engine import Engine, Model, load_model, max_begun, stage_runners
from embedder.enroll import Enrolment
from embedder.servicer import EmbedderServicer
from embedder.settings import EmbedderSettings
from embedder.store_link import StoreLink
from runtime.channels import open_channel, time_left_s
from runtime.errors import NotReady
from runtime.server import ServiceContext


class EmbedderService:
    """One embedder process."""

    name = "embedder"
    grpc_services: Sequence[str] = ("twin.embedder.v1.EmbedderService",)

    def __init__(self, settings: EmbedderSettings) -> None:
        self._settings = settings
        self._engine: Engine | None = None
        self._model: Model | None = None
        self._channel: grpc.aio.Channel | None = None

    def register(self, server: grpc.aio.Server) -> None:
        """Adds the servicer, which answers once the model is loaded."""
        servicer = EmbedderServicer(
            self._loaded_engine,
            self._open_enrolment,
            max_streams=self._settings.embedder_max_streams,
            stream_in_flight=self._settings.embedder_stream_in_flight,
            stream_waiting_bytes=self._settings.embedder_stream_waiting_bytes,
        )
        embedder_pb2_grpc.add_EmbedderServiceServicer_to_server(servicer, server)

    async def bind(self, context: ServiceContext) -> dict[str, str]:
        """Opens the channel to the vector store, which connects when it is first used; there are no more listeners."""
        settings = self._settings
        self._channel = open_channel(settings.vectorstore_address, max_message_bytes=settings.max_message_bytes)
        return {}

    async def start(self, context: ServiceContext) -> None:
        """Loads and tries the model; the service is SERVING once this returns."""
        settings = self._settings
        model = await asyncio.to_thread(load_model, settings, isolated=True)
        self._model = model
        threads = settings.thread_count
        admission = Admission(
            stage_runners(model, threads),
            thread_count=threads,
            queue_limit=settings.embedder_queue_limit,
            max_begun=max_begun(model, threads),
        )
        self._engine = Engine(model, admission)
        metrics.MODEL.info({"model_id": model.pack.model_id, "execution_provider": model.execution_provider})
        context.tasks.spawn(admission.supervise(), "embedding workers")

    async def stop(self) -> None:
        """Ends the workers, the decoders and the channel."""
        if self._engine is not None:
            await self._engine.admission.close()
        if self._model is not None:
            self._model.decoder.close()
        if self._channel is not None:
            await self._channel.close()

    def _loaded_engine(self) -> Engine:
        if self._engine is None:
            raise NotReady("the model is loading")
        return self._engine

    def _open_enrolment(self, context: grpc.aio.ServicerContext[Any, Any]) -> Enrolment:
        if self._channel is None:
            raise NotReady("the service is starting")
        settings = self._settings
        link = StoreLink(
            vectorstore_pb2_grpc.VectorStoreServiceStub(self._channel),
            answer_timeout_s=settings.enroll_answer_timeout_s,
            stream_timeout_s=lambda: time_left_s(context, settings.enroll_stream_timeout_s),
        )
        return Enrolment(link, settings.strict_limits)
