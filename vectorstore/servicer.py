"""twin.vectorstore.v1.VectorStoreService: reads requests, calls the parts, fills responses."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
from twin.vectorstore.v1 import vectorstore_pb2 as pb
from twin.vectorstore.v1 import vectorstore_pb2_grpc as pb_grpc

from runtime.channels import time_left_s
from runtime.errors import InvalidField
from runtime.names import check_gallery_name, parse_photo_id
from vectorstore import convert, convert_audit, requests
from vectorstore.add_stream import AddStream
from vectorstore.adding import PhotoAdder
from vectorstore.audit import AuditAction, AuditLog
from vectorstore.audit_check import check_audit
from vectorstore.database import Database
from vectorstore.deleting import PhotoDeleter
from vectorstore.duplicate_faces import DuplicateFaces
from vectorstore.exporting import PhotoExporter
from vectorstore.follower import Follower
from vectorstore.galleries import Galleries
from vectorstore.paging import check_page_size, make_page_token, read_page_number, read_page_token
from vectorstore.projection import Projection
from vectorstore.removals import Removals
from vectorstore.reservations import Reservations
from vectorstore.searching import Searcher
from vectorstore.snapshots import Snapshots

Context = grpc.aio.ServicerContext[Any, Any]

# For callers who set no deadline.
SEARCH_TIMEOUT_S: Final = 30.0
# The answer that a revision is not here yet must still arrive before the caller's own deadline.
_ANSWER_MARGIN_S: Final = 0.1


class VectorStoreServicer(pb_grpc.VectorStoreServiceServicer):
    """Translates between the wire and the parts."""

    def __init__(
        self,
        *,
        database: Database,
        projection: Projection,
        follower: Follower,
        searcher: Searcher,
        adder: PhotoAdder,
        deleter: PhotoDeleter,
        removals: Removals,
        galleries: Galleries,
        snapshots: Snapshots,
    ) -> None:
        self._database = database
        self._audit = AuditLog(database)
        self._exporter = PhotoExporter(database)
        self._reservations = Reservations(database)
        self._projection = projection
        self._follower = follower
        self._searcher = searcher
        self._duplicates = DuplicateFaces(database, searcher)
        self._adder = adder
        self._deleter = deleter
        self._removals = removals
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
        stream = AddStream(self._adder, self._projection, self._duplicates)
        async with contextlib.aclosing(stream.answers(request_iterator)) as answers:
            async for answer in answers:
                yield answer

    async def DeletePhoto(self, request: pb.DeletePhotoRequest, context: Context) -> pb.DeletePhotoResponse:  # noqa: N802
        """See the contract."""
        photo_id = parse_photo_id(request.photo_id)
        deletion = await self._deleter.delete(photo_id, request.deletion_token or None)
        return convert.deletion_to_wire(deletion)

    async def DeletePhotos(self, request: pb.DeletePhotosRequest, context: Context) -> pb.DeletePhotosResponse:  # noqa: N802
        """See the contract."""
        photo_ids = requests.photo_ids_from_wire(request)
        named = [photo_id for photo_id in photo_ids if isinstance(photo_id, uuid.UUID)]
        deleted = dict(zip(named, await self._deleter.delete_many(named), strict=True))
        outcomes = [deleted[photo_id] if isinstance(photo_id, uuid.UUID) else photo_id for photo_id in photo_ids]
        return pb.DeletePhotosResponse(results=map(convert.deleted_to_wire, request.photo_ids, outcomes))

    async def ReserveOriginal(self, request: pb.ReserveOriginalRequest, context: Context) -> pb.ReserveOriginalResponse:  # noqa: N802
        """See the contract."""
        source = requests.source_from_wire(request.source)
        await self._reservations.reserve(parse_photo_id(request.photo_id), source)
        return pb.ReserveOriginalResponse()

    async def ListReservations(  # noqa: N802
        self, request: pb.ListReservationsRequest, context: Context
    ) -> pb.ListReservationsResponse:
        """See the contract."""
        size = check_page_size(request.page_size)
        place = read_page_number(request.page_token, "reservations")
        min_age = requests.min_age_from_wire(request)
        found = await self._reservations.list_unclaimed(min_age, place, size + 1)
        token = make_page_token("reservations", str(found[size - 1].reservation_id)) if len(found) > size else ""
        return pb.ListReservationsResponse(
            reservations=[convert.reservation_to_wire(record) for record in found[:size]], next_page_token=token
        )

    async def ReleaseReservation(  # noqa: N802
        self, request: pb.ReleaseReservationRequest, context: Context
    ) -> pb.ReleaseReservationResponse:
        """See the contract."""
        await self._reservations.release(request.reservation_id)
        return pb.ReleaseReservationResponse()

    async def ListRemovals(self, request: pb.ListRemovalsRequest, context: Context) -> pb.ListRemovalsResponse:  # noqa: N802
        """See the contract."""
        size = check_page_size(request.page_size)
        place = read_page_number(request.page_token, "removals")
        # One more than asked tells whether there is a next page.
        removals = await self._removals.list_removals(place, size + 1)
        token = make_page_token("removals", str(removals[size - 1].deletion_id)) if len(removals) > size else ""
        return pb.ListRemovalsResponse(
            removals=[convert.removal_to_wire(deletion) for deletion in removals[:size]], next_page_token=token
        )

    async def ConfirmRemoval(self, request: pb.ConfirmRemovalRequest, context: Context) -> pb.ConfirmRemovalResponse:  # noqa: N802
        """See the contract."""
        if request.deletion_id < 0:
            raise InvalidField("deletion_id", "is not negative")
        await self._removals.confirm_removal(parse_photo_id(request.photo_id), request.deletion_id)
        return pb.ConfirmRemovalResponse()

    async def GetPhoto(self, request: pb.GetPhotoRequest, context: Context) -> pb.GetPhotoResponse:  # noqa: N802
        """See the contract."""
        photo = await self._galleries.get_photo(parse_photo_id(request.photo_id))
        return pb.GetPhotoResponse(photo=convert.photo_to_wire(photo))

    async def ExportPhoto(self, request: pb.ExportPhotoRequest, context: Context) -> pb.ExportPhotoResponse:  # noqa: N802
        """See the contract."""
        held = await self._exporter.export(parse_photo_id(request.photo_id), request.deletion_token or None)
        return convert.held_to_wire(held)

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
        described = await asyncio.to_thread(lambda: [(view.facts(), view.catalog_bytes()) for view in views])
        return pb.GetStatsResponse(
            indexes=[
                convert.index_stats(view.gallery.name, facts, catalog_bytes)
                for view, (facts, catalog_bytes) in zip(views, described, strict=True)
            ],
            revision=self._follower.applied_revision,
            database_revision=await self._follower.read_head(),
            snapshot_time=convert.time_to_wire(snapshot_time) if snapshot_time else None,
        )

    async def CreateSnapshot(self, request: pb.CreateSnapshotRequest, context: Context) -> pb.CreateSnapshotResponse:  # noqa: N802
        """See the contract."""
        await self._audit.record(AuditAction.CREATE_SNAPSHOT)
        written = await self._snapshots.create()
        return pb.CreateSnapshotResponse(revision=written.revision, size_bytes=written.size_bytes)

    async def ListAudit(self, request: pb.ListAuditRequest, context: Context) -> pb.ListAuditResponse:  # noqa: N802
        """See the contract."""
        size = check_page_size(request.page_size)
        place = read_page_number(request.page_token, "audit")
        entries = await self._audit.newest(place or None, size + 1)
        token = make_page_token("audit", str(entries[size - 1].audit_id)) if len(entries) > size else ""
        return pb.ListAuditResponse(
            entries=[convert_audit.entry_to_wire(entry) for entry in entries[:size]], next_page_token=token
        )

    async def VerifyAudit(  # noqa: N802
        self, request: pb.VerifyAuditRequest, context: Context
    ) -> AsyncIterator[pb.VerifyAuditResponse]:
        """See the contract."""
        known = convert_audit.known_head_from_wire(request)
        async with contextlib.aclosing(check_audit(self._database, known)) as states:
            async for state in states:
                yield convert_audit.state_to_wire(state)

    async def RecordAudit(self, request: pb.RecordAuditRequest, context: Context) -> pb.RecordAuditResponse:  # noqa: N802
        """See the contract."""
        action = convert_audit.action_from_wire(request)
        gallery = check_gallery_name(request.gallery) if request.gallery else ""
        await self._audit.record(action, gallery, request.photo_count or None)
        return pb.RecordAuditResponse()
