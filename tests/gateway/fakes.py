"""An embedder and a vector store that remember in memory, answer over real gRPC, and fail where a test wants it."""
# ruff: noqa: N802 - the methods are named by the contract

import asyncio
import hashlib
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc.aio
import numpy as np
from google.rpc import status_pb2
from twin.embedder.v1 import embedder_pb2 as em
from twin.embedder.v1 import embedder_pb2_grpc as em_grpc
from twin.face.v1 import face_pb2 as fc
from twin.vectorstore.v1 import vectorstore_pb2 as vs
from twin.vectorstore.v1 import vectorstore_pb2_grpc as vs_grpc

from runtime.errors import DuplicatePhoto, FaceIndexOutOfRange, LowQuality, NoFaceFound, NotFound, TwinError
from runtime.interceptor import status_of

MODEL_ID = "fake-model-1"
DIMENSION = 8
NO_FACE = b"nobody is in this picture"
POOR_FACE = b"somebody is far away in this picture"
Context = grpc.aio.ServicerContext[Any, Any]


class Script:
    """What each method is to do before it works: fail, wait, or run something."""

    def __init__(self) -> None:
        self.before: dict[str, Callable[[], None]] = {}
        self.after: dict[str, Callable[[], None]] = {}
        self.held: dict[str, asyncio.Event] = {}
        self.calls: Counter[str] = Counter()
        self.cancelled: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.time_left_s: dict[str, float | None] = {}

    def fail(self, method: str, error: Exception) -> None:
        def raise_it() -> None:
            raise error

        self.before[method] = raise_it

    def fail_after(self, method: str, error: Exception) -> None:
        """The work is done, and its answer is lost."""

        def raise_it() -> None:
            raise error

        self.after[method] = raise_it

    def hold(self, method: str) -> asyncio.Event:
        self.held[method] = asyncio.Event()
        return self.held[method]

    async def enter(self, method: str, context: Context) -> None:
        self.calls[method] += 1
        self.time_left_s[method] = context.time_remaining()
        if method in self.held:
            try:
                await self.held[method].wait()
            except asyncio.CancelledError:
                self.cancelled[method].set()
                raise
        self.before.get(method, lambda: None)()

    def leave(self, method: str) -> None:
        self.after.get(method, lambda: None)()

    def heal(self) -> None:
        self.before.clear()
        self.after.clear()


def vector_of(image: bytes, index: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    seed = int.from_bytes(hashlib.sha256(image + bytes([index])).digest()[:8], "big")
    vector = np.random.default_rng(seed).normal(size=DIMENSION)
    return (vector / np.linalg.norm(vector)).astype("<f4")


def face_of(image: bytes, index: int, *, embedded: bool) -> fc.Face:
    face = fc.Face(index=index, detection_score=0.9, primary=index == 0)
    face.box.CopyFrom(fc.Box(left=20 + 60 * index, top=20, width=40, height=50))
    face.landmarks.left_eye.CopyFrom(fc.Point(x=30 + 60 * index, y=40))
    face.landmarks.right_eye.CopyFrom(fc.Point(x=50 + 60 * index, y=40))
    if embedded:
        face.embedding.CopyFrom(
            fc.Embedding(float32_le=vector_of(image, index).astype("<f4").tobytes(), model_id=MODEL_ID)
        )
    return face


class NotForTheGateway(AssertionError):
    """The gateway has no business with the method."""


class FakeVectorStore(vs_grpc.VectorStoreServiceServicer):
    def __init__(self) -> None:
        self.script = Script()
        self.photos: dict[str, tuple[str, vs.Photo]] = {}
        self.galleries: dict[str, str] = {}
        # When they were made, seconds since 1970.
        self.made_s = 0
        self.removals: dict[str, vs.Removal] = {}
        self.reserved: dict[int, vs.Reservation] = {}
        self.deleted: dict[str, tuple[bytes, vs.DeletePhotoResponse]] = {}
        self.recorded: list[vs.RecordAuditRequest] = []
        self.next_face_id = 1
        self.last_deletion_id = 0

    def add(self, gallery: str, photo: vs.Photo) -> vs.Photo:
        if gallery not in self.galleries:
            raise NotFound("gallery")
        if photo.photo_id in self.photos:
            known = self.photos[photo.photo_id][1]
            if known.sha256 != photo.sha256:
                raise DuplicatePhoto(photo.photo_id, "this photo_id names other content")
            return known
        for other_gallery, other in self.photos.values():
            if other_gallery == gallery and other.sha256 == photo.sha256:
                raise DuplicatePhoto(other.photo_id)
        for face in photo.faces:
            face.face_id = self.next_face_id
            self.next_face_id += 1
        self.photos[photo.photo_id] = (gallery, photo)
        return photo

    async def Search(self, request: vs.SearchRequest, context: Context) -> vs.SearchResponse:
        await self.script.enter("Search", context)
        if (request.gallery or "default") not in self.galleries:
            raise NotFound("gallery")
        response = vs.SearchResponse()
        for query in request.queries:
            probe = np.frombuffer(query.embedding.float32_le, "<f4")
            found = []
            for gallery, photo in self.photos.values():
                for face in photo.faces if gallery == (request.gallery or "default") else ():
                    cosine = float(probe @ np.frombuffer(face.face.embedding.float32_le, "<f4"))
                    found.append((cosine, photo, face))
            found.sort(key=lambda item: -item[0])
            result = response.results.add()
            for cosine, photo, face in found[: request.limit]:
                match = vs.Match(
                    photo_id=photo.photo_id, face_id=face.face_id, box=face.face.box, person=face.person or photo.person
                )
                match.similarity.cosine = cosine
                (result.yourself if cosine > 0.99 else result.matches).append(match)
        return response

    async def GetPhoto(self, request: vs.GetPhotoRequest, context: Context) -> vs.GetPhotoResponse:
        await self.script.enter("GetPhoto", context)
        if request.photo_id not in self.photos:
            raise NotFound("photo")
        photo = vs.Photo()
        photo.CopyFrom(self.photos[request.photo_id][1])
        photo.ClearField("deletion_token_sha256")
        for face in photo.faces:
            face.face.ClearField("embedding")
        return vs.GetPhotoResponse(photo=photo)

    async def ExportPhoto(self, request: vs.ExportPhotoRequest, context: Context) -> vs.ExportPhotoResponse:
        await self.script.enter("ExportPhoto", context)
        gallery, photo = self.photos.get(request.photo_id, ("", vs.Photo()))
        given = hashlib.sha256(request.deletion_token.encode()).digest()
        if not gallery or (request.deletion_token and given != photo.deletion_token_sha256):
            raise NotFound("photo")
        answer = vs.ExportPhotoResponse(photo=photo, gallery=gallery)
        answer.photo.ClearField("deletion_token_sha256")
        return answer

    async def RecordAudit(self, request: vs.RecordAuditRequest, context: Context) -> vs.RecordAuditResponse:
        await self.script.enter("RecordAudit", context)
        self.recorded.append(request)
        return vs.RecordAuditResponse()

    async def DeletePhoto(self, request: vs.DeletePhotoRequest, context: Context) -> vs.DeletePhotoResponse:
        await self.script.enter("DeletePhoto", context)
        token = hashlib.sha256(request.deletion_token.encode()).digest() if request.deletion_token else None
        if request.photo_id in self.deleted and request.photo_id not in self.photos:
            wanted, answer = self.deleted[request.photo_id]
            if token not in (None, wanted):
                raise NotFound("photo")
            return vs.DeletePhotoResponse(
                source=answer.source,
                face_count=answer.face_count,
                original_removed=request.photo_id not in self.removals,
                deletion_id=answer.deletion_id,
            )
        if request.photo_id not in self.photos:
            raise NotFound("photo")
        photo = self.photos[request.photo_id][1]
        if token not in (None, photo.deletion_token_sha256):
            raise NotFound("photo")
        del self.photos[request.photo_id]
        self.last_deletion_id += 1
        number = self.last_deletion_id
        removal = vs.Removal(photo_id=request.photo_id, source=photo.source, deletion_id=number)
        self.removals[request.photo_id] = removal
        answer = vs.DeletePhotoResponse(source=photo.source, face_count=len(photo.faces), deletion_id=number)
        self.deleted[request.photo_id] = (photo.deletion_token_sha256, answer)
        self.script.leave("DeletePhoto")
        return answer

    async def DeletePhotos(self, request: vs.DeletePhotosRequest, context: Context) -> vs.DeletePhotosResponse:
        raise NotForTheGateway

    async def ReserveOriginal(self, request: vs.ReserveOriginalRequest, context: Context) -> vs.ReserveOriginalResponse:
        await self.script.enter("ReserveOriginal", context)
        number = len(self.reserved) + 1
        made = vs.Reservation(reservation_id=number, photo_id=request.photo_id, source=request.source)
        made.reserve_time.GetCurrentTime()
        self.reserved[number] = made
        return vs.ReserveOriginalResponse()

    async def ListReservations(
        self, request: vs.ListReservationsRequest, context: Context
    ) -> vs.ListReservationsResponse:
        await self.script.enter("ListReservations", context)
        youngest_s = time.time() - request.min_age.ToMilliseconds() / 1000
        named = {photo.source.key for _, photo in self.photos.values()}
        found = [
            made
            for made in self.reserved.values()
            if made.source.key not in named and made.reserve_time.ToMilliseconds() / 1000 <= youngest_s
        ]
        return vs.ListReservationsResponse(reservations=found)

    async def ReleaseReservation(
        self, request: vs.ReleaseReservationRequest, context: Context
    ) -> vs.ReleaseReservationResponse:
        await self.script.enter("ReleaseReservation", context)
        del self.reserved[request.reservation_id]
        return vs.ReleaseReservationResponse()

    async def ListRemovals(self, request: vs.ListRemovalsRequest, context: Context) -> vs.ListRemovalsResponse:
        await self.script.enter("ListRemovals", context)
        ids = sorted(self.removals)
        start = int(request.page_token or 0)
        page = ids[start : start + 2]
        more = str(start + 2) if start + 2 < len(ids) else ""
        return vs.ListRemovalsResponse(removals=[self.removals[name] for name in page], next_page_token=more)

    async def ConfirmRemoval(self, request: vs.ConfirmRemovalRequest, context: Context) -> vs.ConfirmRemovalResponse:
        await self.script.enter("ConfirmRemoval", context)
        pending = self.removals.get(request.photo_id)
        if pending is not None and pending.deletion_id == request.deletion_id:
            del self.removals[request.photo_id]
        return vs.ConfirmRemovalResponse()

    async def CreateGallery(self, request: vs.CreateGalleryRequest, context: Context) -> vs.CreateGalleryResponse:
        await self.script.enter("CreateGallery", context)
        assert request.dimension == DIMENSION
        assert request.calibration.percent_slope == 10
        self.galleries[request.name] = request.model_id
        return vs.CreateGalleryResponse()

    async def ListGalleries(self, request: vs.ListGalleriesRequest, context: Context) -> vs.ListGalleriesResponse:
        await self.script.enter("ListGalleries", context)
        galleries = []
        for name, model_id in self.galleries.items():
            photos = [photo for gallery, photo in self.photos.values() if gallery == name]
            faces = sum(len(photo.faces) for photo in photos)
            gallery = vs.Gallery(name=name, model_id=model_id, photo_count=len(photos), face_count=faces)
            gallery.create_time.FromSeconds(self.made_s)
            galleries.append(gallery)
        return vs.ListGalleriesResponse(galleries=galleries)

    async def AddPhotos(
        self, request_iterator: AsyncIterator[vs.AddPhotosRequest], context: Context
    ) -> AsyncIterator[vs.AddPhotosResponse]:
        async for _ in request_iterator:
            raise NotForTheGateway
        yield vs.AddPhotosResponse()

    async def ListPhotos(self, request: vs.ListPhotosRequest, context: Context) -> vs.ListPhotosResponse:
        await self.script.enter("ListPhotos", context)
        photos = [photo for gallery, photo in self.photos.values() if gallery == request.gallery]
        start = int(request.page_token or 0)
        more = str(start + 2) if start + 2 < len(photos) else ""
        return vs.ListPhotosResponse(photos=photos[start : start + 2], next_page_token=more)

    async def DeleteGallery(self, request: vs.DeleteGalleryRequest, context: Context) -> vs.DeleteGalleryResponse:
        raise NotForTheGateway

    async def GetStats(self, request: vs.GetStatsRequest, context: Context) -> vs.GetStatsResponse:
        raise NotForTheGateway

    async def CreateSnapshot(self, request: vs.CreateSnapshotRequest, context: Context) -> vs.CreateSnapshotResponse:
        raise NotForTheGateway

    async def ListAudit(self, request: vs.ListAuditRequest, context: Context) -> vs.ListAuditResponse:
        raise NotForTheGateway

    async def VerifyAudit(
        self, request: vs.VerifyAuditRequest, context: Context
    ) -> AsyncIterator[vs.VerifyAuditResponse]:
        if context.time_remaining() != 0:
            raise NotForTheGateway
        yield vs.VerifyAuditResponse()


class FakeEmbedder(em_grpc.EmbedderServiceServicer):
    """Sees two faces in every picture, but for those that hold NO_FACE; enrols none of one that holds POOR_FACE."""

    def __init__(self, vectors: FakeVectorStore) -> None:
        self.script = Script()
        self.vectors = vectors
        self.requests: list[em.EmbedRequest] = []
        self.enrolled: list[em.EnrollRequest] = []
        self.answers_at_most: int | None = None

    async def Embed(self, request: em.EmbedRequest, context: Context) -> em.EmbedResponse:
        await self.script.enter("Embed", context)
        self.requests.append(request)
        faces = _faces(request.image, request.faces, request.face_index if request.HasField("face_index") else None)
        return em.EmbedResponse(faces=faces, image_width=160, image_height=120)

    async def Enroll(
        self, request_iterator: AsyncIterator[em.EnrollRequest], context: Context
    ) -> AsyncIterator[em.EnrollResponse]:
        await self.script.enter("Enroll", context)
        async for request in request_iterator:
            if len(self.enrolled) == self.answers_at_most:
                return
            self.enrolled.append(request)
            try:
                self.script.before.get("item", lambda: None)()
                if POOR_FACE in request.image:
                    raise LowQuality(0, ["TOO_SMALL"], ["it is 18 px across, and at least 20 px are needed"])
                photo = vs.Photo()
                photo.CopyFrom(request.photo)
                photo.photo_id = photo.photo_id or str(uuid.uuid4())
                index = request.face_index if request.HasField("face_index") else None
                for face in _faces(request.image, request.faces, index):
                    if face.HasField("embedding"):
                        photo.faces.append(vs.StoredFace(face=face, person=request.persons.get(face.index, "")))
                added = self.vectors.add(request.gallery, photo)
                self.script.leave("item")
                yield em.EnrollResponse(photo_id=added.photo_id, photo=added)
            except TwinError as error:
                status: status_pb2.Status = status_of(error)
                yield em.EnrollResponse(photo_id=request.photo.photo_id, error=status)
        self.script.leave("Enroll")

    async def EmbedStream(
        self, request_iterator: AsyncIterator[em.EmbedStreamRequest], context: Context
    ) -> AsyncIterator[em.EmbedStreamResponse]:
        async for _ in request_iterator:
            raise NotForTheGateway
        yield em.EmbedStreamResponse()

    async def GetModel(self, request: em.GetModelRequest, context: Context) -> em.GetModelResponse:
        await self.script.enter("GetModel", context)
        return em.GetModelResponse(
            pack="fake",
            model_id=MODEL_ID,
            dimension=DIMENSION,
            calibration=fc.Calibration(
                same_person_similarity=0.4, duplicate_similarity=0.95, percent_slope=10, percent_midpoint=0.3
            ),
        )


def _faces(image: bytes, choice: int, face_index: int | None) -> list[fc.Face]:
    if NO_FACE in image:
        raise NoFaceFound
    if face_index is not None and face_index > 1:
        raise FaceIndexOutOfRange(face_index, 2)
    wanted = {face_index} if face_index is not None else {0, 1} if choice == em.FACE_CHOICE_ALL else {0}
    if choice == em.FACE_CHOICE_DETECT_ONLY:
        wanted = set()
    return [face_of(image, index, embedded=index in wanted) for index in (0, 1)]
