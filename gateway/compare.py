"""Comparing two photos: no gallery, no storage."""

import asyncio
import math
from dataclasses import dataclass

from twin.face.v1 import face_pb2

from gateway.deadlines import TimeLeft
from gateway.embedder_client import Embedder
from gateway.orders import CompareOrder, FaceSelection
from gateway.records import Calibration, Embedding
from runtime.errors import ModelMismatch, NoFaceFound


@dataclass(frozen=True, slots=True)
class Comparison:
    """How alike two faces are: cosine -1 to 1, percent 0 to 100."""

    cosine: float
    percent: float
    same_person: bool
    first_face: face_pb2.Face
    second_face: face_pb2.Face


def percent_of(cosine: float, calibration: Calibration) -> float:
    """Returns 0 to 100 on the model's calibration curve; see twin.face.v1.Calibration."""
    exponent = -calibration.percent_slope * (cosine - calibration.percent_midpoint)
    return 100 / (1 + math.exp(min(exponent, 700.0)))


class Comparer:
    """Compares faces."""

    def __init__(self, embedder: Embedder, *, embed_timeout_s: float) -> None:
        self._embedder = embedder
        self._embed_timeout_s = embed_timeout_s

    async def compare(self, order: CompareOrder, time_left: TimeLeft) -> Comparison:
        """Compares the chosen faces of two photos; raises NoFaceFound and whatever the embedder says."""
        first = asyncio.create_task(self._face(order.first_image, order.first_faces, time_left))
        second = asyncio.create_task(self._face(order.second_image, order.second_faces, time_left))
        try:
            first_face, first_embedding = await first
            second_face, second_embedding = await second
        finally:
            # Whatever ended this, the other photo's work is of no use any more.
            first.cancel()
            second.cancel()
            await asyncio.gather(first, second, return_exceptions=True)
        if first_embedding.wire.model_id != second_embedding.wire.model_id:
            raise ModelMismatch(expected=first_embedding.wire.model_id, actual=second_embedding.wire.model_id)
        model = await self._embedder.model_of(first_embedding.wire.model_id, time_left(self._embed_timeout_s))
        cosine = max(-1.0, min(1.0, float(first_embedding.vector @ second_embedding.vector)))
        return Comparison(
            cosine,
            percent_of(cosine, model.calibration),
            cosine >= model.calibration.same_person_similarity,
            first_face,
            second_face,
        )

    async def _face(
        self, image: bytes, selection: FaceSelection, time_left: TimeLeft
    ) -> tuple[face_pb2.Face, Embedding]:
        analysis = await self._embedder.embed(image, selection, time_left(self._embed_timeout_s))
        for face in analysis.faces:
            if face.embedding is not None:
                return face.wire, face.embedding
        raise NoFaceFound
