"""The vector store, as the gateway calls it."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Generic, Protocol, Self, TypeVar

import grpc.aio
from twin.face.v1 import face_pb2
from twin.vectorstore.v1 import vectorstore_pb2 as pb
from twin.vectorstore.v1 import vectorstore_pb2_grpc

from gateway.convert import held_photo, source_of, source_to_wire, stored_photo
from gateway.records import (
    Deletion,
    Embedding,
    ExternalAction,
    Gallery,
    HeldPhoto,
    ListedPhoto,
    Model,
    Neighbours,
    Removal,
    Reservation,
    Source,
    StoredPhoto,
)
from runtime.channels import peer_errors, request_metadata
from runtime.errors import NotFound, TwinError
from runtime.status import error_info, to_status

DEPENDENCY = "vectorstore"
_PAGE_SIZE = 100
# Photos come with their faces.
_PHOTO_PAGE_SIZE = 500


class _PagedRequest(Protocol):
    page_token: str


class _PagedAnswer(Protocol):
    next_page_token: str


_Request = TypeVar("_Request", bound=_PagedRequest)
_Page = TypeVar("_Page", bound=_PagedAnswer)


class VectorStore:
    """Searches, looks up and deletes. Every call raises TwinError."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: vectorstore_pb2_grpc.VectorStoreServiceAsyncStub = vectorstore_pb2_grpc.VectorStoreServiceStub(
            channel
        )

    async def search(
        self,
        gallery: str,
        embeddings: Sequence[Embedding],
        *,
        limit: int,
        mode: int,
        min_similarity: float | None,
        timeout_s: float,
    ) -> tuple[Neighbours, ...]:
        """Returns the neighbours of each embedding, in order. mode is the wire's number of a MatchMode."""
        request = pb.SearchRequest(
            gallery=gallery,
            queries=[pb.Query(embedding=embedding.wire) for embedding in embeddings],
            limit=limit,
            mode=pb.MatchMode.ValueType(mode),
            min_similarity=min_similarity,
        )
        with peer_errors(DEPENDENCY):
            answer = await self._stub.Search(request, timeout=timeout_s, metadata=request_metadata())
        return tuple(Neighbours(tuple(result.matches), tuple(result.yourself)) for result in answer.results)

    async def find_photo(self, photo_id: str, timeout_s: float) -> StoredPhoto | None:
        """Returns a photo, or None when the vector store says that there is none."""
        try:
            with peer_errors(DEPENDENCY):
                answer = await self._stub.GetPhoto(
                    pb.GetPhotoRequest(photo_id=photo_id), timeout=timeout_s, metadata=request_metadata()
                )
        except TwinError as error:
            if is_not_found(error):
                return None
            raise
        return stored_photo(answer.photo)

    async def export_photo(self, photo_id: str, deletion_token: str, timeout_s: float) -> HeldPhoto:
        """Returns all that is held about a photo. An empty token is not checked: only for callers who need none."""
        request = pb.ExportPhotoRequest(photo_id=photo_id, deletion_token=deletion_token)
        with peer_errors(DEPENDENCY):
            answer = await self._stub.ExportPhoto(request, timeout=timeout_s, metadata=request_metadata())
        return held_photo(answer)

    async def delete_photo(self, photo_id: str, deletion_token: str, timeout_s: float) -> Deletion:
        """Deletes a photo and its faces. An empty token is not checked: only for callers who need none."""
        request = pb.DeletePhotoRequest(photo_id=photo_id, deletion_token=deletion_token)
        with peer_errors(DEPENDENCY):
            answer = await self._stub.DeletePhoto(request, timeout=timeout_s, metadata=request_metadata())
        return Deletion(source_of(answer.source), answer.face_count, answer.original_removed, answer.deletion_id)

    async def reserve_original(self, photo_id: str, source: Source, timeout_s: float) -> None:
        """Records, durably, that an original is about to be stored."""
        request = pb.ReserveOriginalRequest(photo_id=photo_id, source=source_to_wire(source))
        with peer_errors(DEPENDENCY):
            await self._stub.ReserveOriginal(request, timeout=timeout_s, metadata=request_metadata())

    async def list_reservations(self, min_age_s: float, timeout_s: float) -> AsyncGenerator[Reservation, None]:
        """Yields the reserved originals of that age that no photo names, oldest first. timeout_s is for each page."""
        request = pb.ListReservationsRequest(page_size=_PAGE_SIZE)
        request.min_age.FromMilliseconds(max(0, int(min_age_s * 1000)))
        async for page in _Pages(self._stub.ListReservations, request, timeout_s):
            for found in page.reservations:
                yield Reservation(found.reservation_id, found.photo_id, source_of(found.source))

    async def release_reservation(self, reservation_id: int, timeout_s: float) -> None:
        """Forgets a reservation whose original is gone from its store."""
        request = pb.ReleaseReservationRequest(reservation_id=reservation_id)
        with peer_errors(DEPENDENCY):
            await self._stub.ReleaseReservation(request, timeout=timeout_s, metadata=request_metadata())

    async def confirm_removal(self, photo_id: str, deletion_id: int, timeout_s: float) -> None:
        """Records that the original that a deletion left behind is gone."""
        request = pb.ConfirmRemovalRequest(photo_id=photo_id, deletion_id=deletion_id)
        with peer_errors(DEPENDENCY):
            await self._stub.ConfirmRemoval(request, timeout=timeout_s, metadata=request_metadata())

    async def record_audit(
        self, action: ExternalAction, timeout_s: float, *, gallery: str = "", photo_count: int = 0
    ) -> None:
        """Has the audit log say what is about to be done; photo_count: to how many photos, 0 when not known."""
        request = pb.RecordAuditRequest(
            action=pb.ExternalAction.ValueType(action), gallery=gallery, photo_count=photo_count
        )
        with peer_errors(DEPENDENCY):
            await self._stub.RecordAudit(request, timeout=timeout_s, metadata=request_metadata())

    async def list_removals(self, timeout_s: float) -> AsyncGenerator[Removal, None]:
        """Yields the deleted photos whose originals still have to go, oldest first. timeout_s is for each page."""
        async for page in _Pages(self._stub.ListRemovals, pb.ListRemovalsRequest(page_size=_PAGE_SIZE), timeout_s):
            for removal in page.removals:
                yield Removal(removal.photo_id, source_of(removal.source), removal.deletion_id)

    async def get_gallery(self, name: str, timeout_s: float) -> Gallery:
        """Returns a gallery; raises NotFound. timeout_s is for each page."""
        async with aclosing(self.list_galleries(timeout_s)) as galleries:
            async for gallery in galleries:
                if gallery.name == name:
                    return gallery
        raise NotFound("gallery")

    async def list_galleries(self, timeout_s: float) -> AsyncGenerator[Gallery, None]:
        """Yields every gallery, by name. timeout_s is for each page."""
        async for page in _Pages(self._stub.ListGalleries, pb.ListGalleriesRequest(page_size=_PAGE_SIZE), timeout_s):
            for gallery in page.galleries:
                made_s = gallery.create_time.ToNanoseconds() / 1e9
                yield Gallery(gallery.name, gallery.model_id, gallery.photo_count, gallery.face_count, made_s)

    async def list_photos(self, timeout_s: float) -> AsyncGenerator[ListedPhoto, None]:
        """Yields every photo of every gallery. timeout_s is for each page."""
        async for gallery in self.list_galleries(timeout_s):
            request = pb.ListPhotosRequest(gallery=gallery.name, page_size=_PHOTO_PAGE_SIZE)
            async for page in _Pages(self._stub.ListPhotos, request, timeout_s):
                for photo in page.photos:
                    made_s = photo.create_time.ToNanoseconds() / 1e9
                    yield ListedPhoto(photo.photo_id, source_of(photo.source), made_s)

    async def create_gallery(self, name: str, model: Model, timeout_s: float) -> None:
        """Makes an empty gallery for a model's vectors."""
        calibration = face_pb2.Calibration(
            same_person_similarity=model.calibration.same_person_similarity,
            duplicate_similarity=model.calibration.duplicate_similarity,
            percent_slope=model.calibration.percent_slope,
            percent_midpoint=model.calibration.percent_midpoint,
        )
        request = pb.CreateGalleryRequest(
            name=name, model_id=model.model_id, dimension=model.dimension, calibration=calibration
        )
        with peer_errors(DEPENDENCY):
            await self._stub.CreateGallery(request, timeout=timeout_s, metadata=request_metadata())


class _Pages(Generic[_Request, _Page]):
    """Every page of a listing. No generator, which would want to be closed by whoever has seen enough."""

    def __init__(
        self, call: "grpc.aio.UnaryUnaryMultiCallable[_Request, _Page]", request: _Request, timeout_s: float
    ) -> None:
        """timeout_s is for each page."""
        self._call = call
        self._request = request
        self._timeout_s = timeout_s
        self._is_last = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _Page:
        if self._is_last:
            raise StopAsyncIteration
        with peer_errors(DEPENDENCY):
            page = await self._call(self._request, timeout=self._timeout_s, metadata=request_metadata())
        self._request.page_token = page.next_page_token
        self._is_last = not page.next_page_token
        return page


def is_not_found(error: TwinError) -> bool:
    """True when the vector store itself says so: a proxy's or a stranger's NOT_FOUND carries no reason of ours."""
    info = error_info(to_status(error))
    return info is not None and info.reason == NotFound.reason
