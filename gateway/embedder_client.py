"""The embedder, as the gateway calls it."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import grpc.aio
from twin.embedder.v1 import embedder_pb2 as pb
from twin.embedder.v1 import embedder_pb2_grpc

from gateway.convert import enroll_request, face_choice, found_face, stored_photo
from gateway.orders import FaceSelection
from gateway.records import Analysis, Calibration, Model, NewPhoto, StoredPhoto
from runtime.channels import peer_errors, request_metadata
from runtime.errors import DependencyUnavailable, PeerError

DEPENDENCY = "embedder"


class Embedder:
    """Finds faces, makes vectors, and enrols photos. Every call raises TwinError."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: embedder_pb2_grpc.EmbedderServiceAsyncStub = embedder_pb2_grpc.EmbedderServiceStub(channel)
        self._model: Model | None = None

    async def get_model(self, timeout_s: float, *, fresh: bool = False) -> Model:
        """Returns the model that serves; asked for once, unless a fresh answer is wanted."""
        if self._model is None or fresh:
            with peer_errors(DEPENDENCY):
                answer = await self._stub.GetModel(pb.GetModelRequest(), timeout=timeout_s, metadata=request_metadata())
            calibration = answer.calibration
            self._model = Model(
                answer.pack,
                answer.model_id,
                answer.dimension,
                Calibration(
                    calibration.same_person_similarity,
                    calibration.duplicate_similarity,
                    calibration.percent_slope,
                    calibration.percent_midpoint,
                ),
            )
        return self._model

    async def model_of(self, model_id: str, timeout_s: float) -> Model:
        """Returns the model of that id, asking anew when the embedder has been restarted with another one."""
        model = await self.get_model(timeout_s)
        return model if model.model_id == model_id else await self.get_model(timeout_s, fresh=True)

    async def detect(self, image: bytes, timeout_s: float) -> Analysis:
        """Finds every face of a photo, and makes no vectors."""
        return await self._embed(pb.EmbedRequest(image=image, faces=pb.FACE_CHOICE_DETECT_ONLY), timeout_s)

    async def embed(self, image: bytes, selection: FaceSelection, timeout_s: float) -> Analysis:
        """Finds every face of a photo, and makes the vectors of the selected ones."""
        request = pb.EmbedRequest(image=image, faces=face_choice(selection), face_index=selection.face_index)
        return await self._embed(request, timeout_s)

    async def enroll(self, photo: NewPhoto, timeout_s: float) -> StoredPhoto:
        """Embeds one photo and adds it to the vector store."""

        async def one() -> AsyncIterator[NewPhoto]:
            yield photo

        async with aclosing(self.enroll_many(one(), timeout_s)) as answers:
            async for _, outcome in answers:
                if isinstance(outcome, PeerError):
                    raise outcome
                return outcome
        raise DependencyUnavailable(DEPENDENCY)  # The stream ended without the answer that it owes.

    async def enroll_many(
        self, photos: AsyncIterator[NewPhoto], timeout_s: float
    ) -> AsyncGenerator[tuple[str, StoredPhoto | PeerError], None]:
        """Enrols photos over one call; yields each photo_id with its outcome, in the order in which they come."""

        async def requests() -> AsyncIterator[pb.EnrollRequest]:
            async for photo in photos:
                yield enroll_request(photo)

        with peer_errors(DEPENDENCY):
            call = self._stub.Enroll(requests(), timeout=timeout_s, metadata=request_metadata())
            try:
                async for answer in call:
                    if answer.WhichOneof("result") == "photo":
                        yield answer.photo_id, stored_photo(answer.photo)
                    else:
                        yield answer.photo_id, PeerError(answer.error)
            finally:
                call.cancel()

    async def _embed(self, request: pb.EmbedRequest, timeout_s: float) -> Analysis:
        with peer_errors(DEPENDENCY):
            answer = await self._stub.Embed(request, timeout=timeout_s, metadata=request_metadata())
        return Analysis(tuple(found_face(face) for face in answer.faces), answer.image_width, answer.image_height)
