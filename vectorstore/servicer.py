"""twin.vectorstore.v1.VectorStoreService: reads requests, calls the parts, fills responses."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import grpc
from twin.vectorstore.v1 import vectorstore_pb2 as pb
from twin.vectorstore.v1 import vectorstore_pb2_grpc as pb_grpc

from runtime import failpoints
from runtime.channels import time_left_s
from runtime.errors import InvalidField
from runtime.interceptor import status_of
from runtime.names import check_gallery_name, parse_photo_id
from vectorstore import convert, requests
from vectorstore.adding import PhotoAdder
from vectorstore.deleting import PhotoDeleter
from vectorstore.follower import Follower
from vectorstore.galleries import Galleries
from vectorstore.paging import check_page_size, make_page_token, read_page_number, read_page_token
from vectorstore.projection import Projection
from vectorstore.records import PhotoRecord
from vectorstore.searching import Searcher
from vectorstore.snapshots import Snapshots

Context = grpc.aio.ServicerContext[Any, Any]

# For callers who set no deadline.
SEARCH_TIMEOUT_S: Final = 30.0
# The answer that a revision is not here yet must still arrive before the caller's own deadline.
_ANSWER_MARGIN_S: Final = 0.1
# Photos of one stream that wait for their answers.
_STREAM_WINDOW: Final = 512


class VectorStoreServicer(pb_grpc.VectorStoreServiceServicer):
    """Translates between the wire and the parts."""

    def __init__(
        self,
        *,
        projection: Projection,
        follower: Follower,
        searcher: Searcher,
        adder: PhotoAdder,
        deleter: PhotoDeleter,
        galleries: Galleries,
        snapshots: Snapshots,
    ) -> None:
        self._projection = projection
        self._follower = follower
        self._searcher = searcher
        self._adder = adder
        self._deleter = deleter
        self._galleries = galleries
        self._snapshots = snapshots

    async def Search(self, request: pb.SearchRequest, context: Context) -> pb.SearchResponse:  # noqa: N802
        """See the contract."""
        order = requests.order_from_wire(request)
        name = check_gallery_name(request.gallery)
        timeout_s = time_left_s(context, SEARCH_TIMEOUT_S)
        if request.min_revision:
            await self._follower.wait_for(request.min_revision, max(timeout_s - _ANSWER_MARGIN_S, timeout_s / 2))
        view = self._projection.get(name)
        targets = requests.targets_from_wire(request, view.gallery)
        # Read before the scan: the answer may reflect more than it says, never less.
        revision = self._follower.applied_revision
        return await self._searcher.search(
            view,
            targets,
            order,
            time_left_s(context, SEARCH_TIMEOUT_S),
            lambda results: convert.search_response(results, revision),
        )

    async def AddPhotos(  # noqa: N802
        self, request_iterator: AsyncIterator[pb.AddPhotosRequest], context: Context
    ) -> AsyncIterator[pb.AddPhotosResponse]:
        """See the contract. Answers come in the order of the requests."""
        pending: asyncio.Queue[_Begun | None] = asyncio.Queue(_STREAM_WINDOW)
        reader = asyncio.create_task(self._read_photos(request_iterator, pending))
        try:
            while (begun := await pending.get()) is not None:
                answer = await _added(begun)
                await failpoints.reach_async("add.before_answer")
                yield answer
            await reader
        finally:
            reader.cancel()
            while not pending.empty():
                left = pending.get_nowait()
                if left is not None:
                    left.abandon()

    async def _read_photos(
        self, photos: AsyncIterator[pb.AddPhotosRequest], pending: "asyncio.Queue[_Begun | None]"
    ) -> None:
        try:
            async for request in photos:
                begun = _Begun(request.photo.photo_id, await self._begin_add(request))
                try:
                    await pending.put(begun)
                except asyncio.CancelledError:
                    begun.abandon()
                    raise
        finally:
            await pending.put(None)

    async def _begin_add(self, request: pb.AddPhotosRequest) -> "asyncio.Future[PhotoRecord] | Exception":
        try:
            gallery = self._projection.get(check_gallery_name(request.gallery)).gallery
            return await self._adder.submit(requests.photo_from_wire(request.photo, gallery), gallery)
        except Exception as error:
            return error

    async def DeletePhoto(self, request: pb.DeletePhotoRequest, context: Context) -> pb.DeletePhotoResponse:  # noqa: N802
        """See the contract."""
        photo_id = parse_photo_id(request.photo_id)
        deletion = await self._deleter.delete(photo_id, request.deletion_token or None)
        return pb.DeletePhotoResponse(
            source=convert.source_to_wire(deletion.source),
            face_count=deletion.face_count,
            revision=deletion.revision,
            original_removed=deletion.original_removed,
        )

    async def ListRemovals(self, request: pb.ListRemovalsRequest, context: Context) -> pb.ListRemovalsResponse:  # noqa: N802
        """See the contract."""
        size = check_page_size(request.page_size)
        place = read_page_number(request.page_token, "removals")
        # One more than asked tells whether there is a next page.
        removals = await self._deleter.list_removals(place, size + 1)
        token = make_page_token("removals", str(removals[size - 1][0])) if len(removals) > size else ""
        return pb.ListRemovalsResponse(
            removals=[convert.removal_to_wire(deletion) for _, deletion in removals[:size]], next_page_token=token
        )

    async def ConfirmRemoval(self, request: pb.ConfirmRemovalRequest, context: Context) -> pb.ConfirmRemovalResponse:  # noqa: N802
        """See the contract."""
        await self._deleter.confirm_removal(parse_photo_id(request.photo_id))
        return pb.ConfirmRemovalResponse()

    async def GetPhoto(self, request: pb.GetPhotoRequest, context: Context) -> pb.GetPhotoResponse:  # noqa: N802
        """See the contract."""
        photo = await self._galleries.get_photo(parse_photo_id(request.photo_id))
        return pb.GetPhotoResponse(photo=convert.photo_to_wire(photo))

    async def ListPhotos(self, request: pb.ListPhotosRequest, context: Context) -> pb.ListPhotosResponse:  # noqa: N802
        """See the contract."""
        size = check_page_size(request.page_size)
        name = check_gallery_name(request.gallery)
        place = read_page_number(request.page_token, f"photos:{name}")
        photos = await self._galleries.list_photos(name, place, size + 1)
        token = make_page_token(f"photos:{name}", str(photos[size - 1].revision)) if len(photos) > size else ""
        return pb.ListPhotosResponse(
            photos=[convert.photo_to_wire(photo) for photo in photos[:size]], next_page_token=token
        )

    async def CreateGallery(self, request: pb.CreateGalleryRequest, context: Context) -> pb.CreateGalleryResponse:  # noqa: N802
        """See the contract."""
        gallery = await self._galleries.create(
            check_gallery_name(request.name, "name"),
            requests.check_model_id(request.model_id),
            request.dimension,
            requests.calibration_from_wire(request),
        )
        return pb.CreateGalleryResponse(gallery=convert.gallery_to_wire(gallery))

    async def ListGalleries(self, request: pb.ListGalleriesRequest, context: Context) -> pb.ListGalleriesResponse:  # noqa: N802
        """See the contract."""
        size = check_page_size(request.page_size)
        galleries = await self._galleries.list_galleries(read_page_token(request.page_token, "galleries"), size + 1)
        token = make_page_token("galleries", galleries[size - 1].name) if len(galleries) > size else ""
        return pb.ListGalleriesResponse(
            galleries=[convert.gallery_to_wire(gallery) for gallery in galleries[:size]], next_page_token=token
        )

    async def DeleteGallery(self, request: pb.DeleteGalleryRequest, context: Context) -> pb.DeleteGalleryResponse:  # noqa: N802
        """See the contract."""
        if not request.name:
            # Elsewhere an empty name means "default"; nobody is to drop that one by leaving a field out.
            raise InvalidField("name", "names the gallery to delete")
        count = await self._galleries.delete(check_gallery_name(request.name, "name"))
        return pb.DeleteGalleryResponse(photo_count=count)

    async def GetStats(self, request: pb.GetStatsRequest, context: Context) -> pb.GetStatsResponse:  # noqa: N802
        """See the contract."""
        snapshot_time = self._snapshots.last_time
        views = self._projection.views()
        # In a thread: it waits for each gallery's lock, which a change can hold while it waits for a long search.
        all_facts = await asyncio.to_thread(lambda: [view.facts() for view in views])
        return pb.GetStatsResponse(
            indexes=[
                pb.IndexStats(
                    gallery=view.gallery.name,
                    face_count=facts.face_count,
                    kind=facts.kind,
                    memory_bytes=facts.memory_bytes,
                    tombstone_count=facts.tombstone_count,
                )
                for view, facts in zip(views, all_facts, strict=True)
            ],
            revision=self._follower.applied_revision,
            database_revision=await self._follower.read_head(),
            snapshot_time=convert.time_to_wire(snapshot_time) if snapshot_time else None,
        )

    async def CreateSnapshot(self, request: pb.CreateSnapshotRequest, context: Context) -> pb.CreateSnapshotResponse:  # noqa: N802
        """See the contract."""
        written = await self._snapshots.create()
        return pb.CreateSnapshotResponse(revision=written.revision, size_bytes=written.size_bytes)


@dataclass(frozen=True, slots=True)
class _Begun:
    photo_id: str
    outcome: "asyncio.Future[PhotoRecord] | Exception"

    def abandon(self) -> None:
        """Nobody waits for the answer any more: a photo that is still queued is not added."""
        if isinstance(self.outcome, asyncio.Future):
            self.outcome.cancel()


async def _added(begun: _Begun) -> pb.AddPhotosResponse:
    try:
        if isinstance(begun.outcome, Exception):
            raise begun.outcome
        photo = await begun.outcome
    except Exception as error:
        return pb.AddPhotosResponse(photo_id=begun.photo_id, error=status_of(error))
    return pb.AddPhotosResponse(
        photo_id=str(photo.photo_id), photo=convert.photo_to_wire(photo), revision=photo.revision
    )
