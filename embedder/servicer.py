"""EmbedderService on the wire: translates, and leaves the work to the steps."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeVar

import grpc.aio
from google.rpc import status_pb2
from twin.embedder.v1 import embedder_pb2, embedder_pb2_grpc

from embedder.caller import Caller
from embedder.convert import to_embed_response, to_model_response, to_selection
from embedder.engine import Engine
from embedder.enroll import Enrolment
from embedder.faces import AnalyzedImage, Selection
from embedder.streams import StreamPlaces, as_finished
from runtime.errors import InvalidField, forget_frames
from runtime.interceptor import status_of

Context = grpc.aio.ServicerContext[Any, Any]
Request = TypeVar("Request")
Answer = TypeVar("Answer")


class EmbedderServicer(embedder_pb2_grpc.EmbedderServiceServicer):
    """Serves once the engine is loaded; until then the interceptor answers for it."""

    def __init__(
        self,
        engine: Callable[[], Engine],
        open_enrolment: Callable[[Context], Enrolment],
        *,
        max_streams: int,
        stream_in_flight: int,
        stream_waiting_bytes: int,
    ) -> None:
        """open_enrolment makes the link of one Enroll call to the vector store."""
        self._engine = engine
        self._open_enrolment = open_enrolment
        self._streams = StreamPlaces(max_streams, max_waiting_bytes=stream_waiting_bytes)
        self._stream_in_flight = stream_in_flight

    async def Embed(  # noqa: N802 - the stubs describe the synchronous API, and gRPC's names
        self, request: embedder_pb2.EmbedRequest, context: Context
    ) -> embedder_pb2.EmbedResponse:
        """Handles one image; refuses at once when the queue is full."""
        engine = self._engine()
        selection = to_selection(request)
        # Turns go round between connections, and streams of their own.
        caller = Caller(context.time_remaining(), context.peer())
        analyzed = await engine.admission.run_or_refuse(engine.model.pipeline.steps(request.image, selection), caller)
        return to_embed_response(analyzed, engine.model.pack.model_id)

    async def EmbedStream(  # noqa: N802
        self, request_iterator: AsyncIterator[embedder_pb2.EmbedStreamRequest], context: Context
    ) -> AsyncIterator[embedder_pb2.EmbedStreamResponse]:
        """Handles many images; a bad one fails only its own answer."""
        engine = self._engine()

        async def answer(request: embedder_pb2.EmbedStreamRequest) -> embedder_pb2.EmbedStreamResponse:
            try:
                if not request.HasField("image"):
                    raise InvalidField("image", "is missing")
                analyzed = await self._embed_one(engine, request.image.image, to_selection(request.image), context)
                response = to_embed_response(analyzed, engine.model.pack.model_id)
                return embedder_pb2.EmbedStreamResponse(image_id=request.image_id, response=response)
            except Exception as error:
                return embedder_pb2.EmbedStreamResponse(image_id=request.image_id, error=_status_alone(error))

        with self._streams.take():
            answered = self._answered(request_iterator, answer, lambda request: len(request.image.image))
            async with aclosing(answered) as responses:
                async for response in responses:
                    yield response

    async def Enroll(  # noqa: N802
        self, request_iterator: AsyncIterator[embedder_pb2.EnrollRequest], context: Context
    ) -> AsyncIterator[embedder_pb2.EnrollResponse]:
        """Embeds photos and hands them to the vector store; a bad one fails only its own answer."""
        engine = self._engine()

        async def answer(request: embedder_pb2.EnrollRequest) -> embedder_pb2.EnrollResponse:
            try:
                return await enrolment.enroll(
                    request,
                    lambda data, selection: self._embed_one(engine, data, selection, context),
                    engine.model.pack.model_id,
                )
            except Exception as error:
                return embedder_pb2.EnrollResponse(photo_id=request.photo.photo_id, error=_status_alone(error))

        with self._streams.take():
            answered = self._answered(request_iterator, answer, lambda request: len(request.image))
            # What is under way is cancelled before its link to the store ends.
            async with self._open_enrolment(context) as enrolment, aclosing(answered) as responses:
                async for response in responses:
                    yield response

    async def GetModel(  # noqa: N802
        self, request: embedder_pb2.GetModelRequest, context: Context
    ) -> embedder_pb2.GetModelResponse:
        """Describes the serving model."""
        model = self._engine().model
        return to_model_response(model.pack, model.execution_provider)

    def _answered(
        self,
        requests: AsyncIterator[Request],
        answer: Callable[[Request], Awaitable[Answer]],
        size_of: Callable[[Request], int],
    ) -> AsyncGenerator[Answer, None]:
        budget = self._streams.waiting_bytes
        return as_finished(requests, answer, self._stream_in_flight, waiting_bytes=budget, size_of=size_of)

    async def _embed_one(self, engine: Engine, data: bytes, selection: Selection, context: Context) -> AnalyzedImage:
        caller = Caller(context.time_remaining(), context)
        return await engine.admission.run_when_free(engine.model.pipeline.steps(data, selection), caller)


def _status_alone(error: Exception) -> status_pb2.Status:
    """Returns the error's status, and lets go of all that the error holds: a stream may live long."""
    status = status_of(error)
    forget_frames(error)
    return status
