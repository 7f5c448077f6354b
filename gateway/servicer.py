"""TwinService: lets callers in, and translates between the wire and the journeys."""

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc.aio
from twin.gateway.v1 import gateway_pb2 as pb
from twin.gateway.v1 import gateway_pb2_grpc

from gateway import answers, convert
from gateway.admission import Admission
from gateway.auth import Authorizer, Role
from gateway.checks import Limits, check_image
from gateway.compare import Comparer
from gateway.embedder_client import Embedder
from gateway.export import Exporter
from gateway.galleries import GalleryList
from gateway.importer import Importer
from gateway.keep import Keeper
from gateway.photo_urls import PhotoUrls
from gateway.pieces import in_pieces
from gateway.reconcile import Reconciler
from gateway.remove import Remover
from gateway.renditions import Renditions
from gateway.search import Searcher
from gateway.slow_readers import StreamReaders
from gateway.vectorstore_client import VectorStore
from runtime.channels import time_left_s
from runtime.errors import NotFound
from runtime.interceptor import status_of
from runtime.names import check_gallery_name, check_photo_id

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class Journeys:
    """What the servicer hands calls to."""

    embedder: Embedder
    vectors: VectorStore
    galleries: GalleryList
    searcher: Searcher
    comparer: Comparer
    keeper: Keeper
    remover: Remover
    exporter: Exporter
    renditions: Renditions
    importer: Importer
    reconciler: Reconciler


class TwinServicer(gateway_pb2_grpc.TwinServiceServicer):
    """The public API; one implementation behind gRPC and grpc-web."""

    def __init__(
        self,
        journeys: Journeys,
        *,
        authorizer: Authorizer,
        admission: Admission,
        limits: Limits,
        urls: PhotoUrls,
        policy_version: str,
        embed_timeout_s: float,
        store_timeout_s: float,
    ) -> None:
        self._journeys = journeys
        self._authorizer = authorizer
        self._admission = admission
        self._limits = limits
        self._urls = urls
        self._policy_version = policy_version
        self._embed_timeout_s = embed_timeout_s
        self._store_timeout_s = store_timeout_s
        self._readers = StreamReaders()

    async def Search(self, request: pb.SearchRequest, context: Context) -> pb.SearchResponse:  # noqa: N802
        """Finds twins; keeps the photo with consent."""
        with self._enter("Search", context):
            order = convert.search_order(request, self._limits)
            outcome = await self._journeys.searcher.search(order, partial(time_left_s, context))
            keep_error = None if outcome.keep_error is None else status_of(outcome.keep_error)
            return answers.search_response(outcome, self._urls, keep_error)

    async def DetectFaces(  # noqa: N802
        self, request: pb.DetectFacesRequest, context: Context
    ) -> pb.DetectFacesResponse:
        """Finds the faces of a photo."""
        with self._enter("DetectFaces", context):
            image = check_image(request.image, self._limits)
            timeout_s = time_left_s(context, self._embed_timeout_s)
            return answers.detect_response(await self._journeys.embedder.detect(image, timeout_s))

    async def Compare(self, request: pb.CompareRequest, context: Context) -> pb.CompareResponse:  # noqa: N802
        """Compares two photos."""
        with self._enter("Compare", context):
            order = convert.compare_order(request, self._limits)
            comparison = await self._journeys.comparer.compare(order, partial(time_left_s, context))
            return answers.compare_response(comparison)

    async def AddPhoto(self, request: pb.AddPhotoRequest, context: Context) -> pb.AddPhotoResponse:  # noqa: N802
        """Keeps a photo."""
        with self._enter("AddPhoto", context) as role:
            order = convert.keep_order(request, self._limits)
            kept = await self._journeys.keeper.keep(
                order, partial(time_left_s, context), needs_consent=role is not Role.ADMIN
            )
            return answers.add_response(kept)

    async def DeletePhoto(  # noqa: N802
        self, request: pb.DeletePhotoRequest, context: Context
    ) -> pb.DeletePhotoResponse:
        """Deletes a photo."""
        with self._enter("DeletePhoto", context) as role:
            removed = await self._journeys.remover.delete(
                check_photo_id(request.photo_id),
                request.deletion_token,
                partial(time_left_s, context),
                needs_token=role is not Role.ADMIN,
            )
            return pb.DeletePhotoResponse(face_count=removed.face_count, original_removed=removed.original_removed)

    async def GetPhoto(  # noqa: N802
        self, request: pb.GetPhotoRequest, context: Context
    ) -> AsyncIterator[pb.GetPhotoResponse]:
        """Streams an original. Open to visitors: whoever can search a gallery is shown its photos anyway."""
        with self._enter("GetPhoto", context):
            photo_id = check_photo_id(request.photo_id)
            photo = await self._journeys.vectors.find_photo(photo_id, time_left_s(context, self._store_timeout_s))
            if photo is None:
                raise NotFound("photo")
            original = await self._journeys.renditions.get(photo, "original")
            content_type = original.content_type
            async with aclosing(original.read(0, original.size_bytes)) as pieces:
                async for read in pieces:
                    for piece in in_pieces(read):
                        with self._readers.taken_in_time(context):
                            yield pb.GetPhotoResponse(data=piece, content_type=content_type)
                        content_type = ""

    async def ExportPhoto(  # noqa: N802
        self, request: pb.ExportPhotoRequest, context: Context
    ) -> AsyncIterator[pb.ExportPhotoResponse]:
        """Streams all that is held about a photo."""
        with self._enter("ExportPhoto", context) as role:
            pieces = self._journeys.exporter.export(
                check_photo_id(request.photo_id),
                request.deletion_token,
                partial(time_left_s, context),
                needs_token=role is not Role.ADMIN,
            )
            async with aclosing(pieces):
                async for piece in pieces:
                    with self._readers.taken_in_time(context):
                        yield answers.export_response(piece)

    async def GetStats(self, request: pb.GetStatsRequest, context: Context) -> pb.GetStatsResponse:  # noqa: N802
        """Describes a gallery."""
        with self._enter("GetStats", context):
            name = check_gallery_name(request.gallery)
            timeout_s = time_left_s(context, self._store_timeout_s)
            gallery = await self._journeys.vectors.get_gallery(name, timeout_s)
            model = await self._journeys.embedder.get_model(time_left_s(context, self._store_timeout_s))
            return answers.stats_response(gallery, model, self._policy_version)

    async def ListGalleries(  # noqa: N802
        self, request: pb.ListGalleriesRequest, context: Context
    ) -> pb.ListGalleriesResponse:
        """Names the galleries to choose from."""
        with self._enter("ListGalleries", context) as role:
            timeout_s = time_left_s(context, self._store_timeout_s)
            found = await self._journeys.galleries.list_galleries(timeout_s, is_admin=role is Role.ADMIN)
            return answers.galleries_response(found)

    async def ImportPhotos(  # noqa: N802
        self, request: pb.ImportPhotosRequest, context: Context
    ) -> AsyncIterator[pb.ImportPhotosResponse]:
        """Imports a folder of the photo store."""
        with self._enter("ImportPhotos", context):
            order = convert.import_order(request)
            work = self._journeys.importer.import_folder(order, partial(time_left_s, context))
            async with aclosing(work) as states:
                async for progress in states:
                    yield answers.import_response(progress)

    async def ReconcilePhotos(  # noqa: N802
        self, request: pb.ReconcilePhotosRequest, context: Context
    ) -> AsyncIterator[pb.ReconcilePhotosResponse]:
        """Looks for one side without the other."""
        with self._enter("ReconcilePhotos", context):
            order = convert.reconcile_order(request)
            work = self._journeys.reconciler.reconcile(order, partial(time_left_s, context))
            async with aclosing(work) as states:
                async for state in states:
                    yield answers.reconcile_response(state)

    @contextmanager
    def _enter(self, method: str, context: Context) -> Iterator[Role]:
        """Lets a call in; raises UnknownKey, RoleMissing or Overloaded."""
        role = self._authorizer.authorize(method, tuple(context.invocation_metadata() or ()))
        with self._admission.enter():
            yield role
