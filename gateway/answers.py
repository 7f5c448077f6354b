"""Answers to callers, from what the journeys found."""

from collections.abc import Sequence

from google.rpc import status_pb2
from twin.gateway.v1 import gateway_pb2 as pb
from twin.vectorstore.v1 import vectorstore_pb2

from gateway.compare import Comparison
from gateway.convert import source_to_wire
from gateway.export import ArchivePiece, ExportedOriginal
from gateway.importer import Progress
from gateway.keep import Kept
from gateway.photo_urls import PhotoUrls
from gateway.reconcile import Reconciliation
from gateway.records import Analysis, Gallery, Model
from gateway.search import SearchOutcome

_EXPORTED_ORIGINALS = {
    ExportedOriginal.INCLUDED: pb.EXPORTED_ORIGINAL_INCLUDED,
    ExportedOriginal.OUT_OF_REACH: pb.EXPORTED_ORIGINAL_OUT_OF_REACH,
    ExportedOriginal.NOT_KEPT: pb.EXPORTED_ORIGINAL_NOT_KEPT,
    ExportedOriginal.GONE: pb.EXPORTED_ORIGINAL_GONE,
}


def search_response(outcome: SearchOutcome, urls: PhotoUrls, keep_error: status_pb2.Status | None) -> pb.SearchResponse:
    """Returns what a search found, its pictures' addresses included."""
    response = pb.SearchResponse(
        faces=[face.wire for face in outcome.analysis.faces],
        image_width=outcome.analysis.width,
        image_height=outcome.analysis.height,
        save_error=keep_error,
    )
    for face, neighbours in outcome.results:
        response.results.append(
            pb.FaceResult(
                face_index=face.index,
                twins=[_twin(match, urls) for match in neighbours.matches],
                yourself=[_twin(match, urls) for match in neighbours.yourself],
            )
        )
    if outcome.kept is not None:
        response.saved_photo.CopyFrom(_receipt(outcome.kept))
    return response


def _twin(match: vectorstore_pb2.Match, urls: PhotoUrls) -> pb.Twin:
    return pb.Twin(
        match=match,
        image_url=urls.make(match.photo_id, "large"),
        thumbnail_url=urls.make(match.photo_id, "thumb"),
        face_url=urls.make(match.photo_id, "thumb", match.face_id),
        same_person=[_twin(other, urls) for other in match.same_person],
    )


def _receipt(kept: Kept) -> pb.SavedPhoto:
    return pb.SavedPhoto(photo_id=kept.photo_id, deletion_token=kept.deletion_token)


def add_response(kept: Kept) -> pb.AddPhotoResponse:
    """Returns the receipt of a kept photo."""
    return pb.AddPhotoResponse(saved_photo=_receipt(kept), faces=kept.faces, already_present=kept.already_present)


def detect_response(analysis: Analysis) -> pb.DetectFacesResponse:
    """Returns the faces of a photo."""
    return pb.DetectFacesResponse(
        faces=[face.wire for face in analysis.faces], image_width=analysis.width, image_height=analysis.height
    )


def compare_response(comparison: Comparison) -> pb.CompareResponse:
    """Returns how alike two faces are."""
    return pb.CompareResponse(
        similarity=vectorstore_pb2.Similarity(cosine=comparison.cosine, percent=comparison.percent),
        same_person=comparison.same_person,
        first_face=comparison.first_face,
        second_face=comparison.second_face,
    )


def export_response(piece: ArchivePiece) -> pb.ExportPhotoResponse:
    """Returns a piece of an archive, with what becomes of the original."""
    return pb.ExportPhotoResponse(data=piece.data, original=_EXPORTED_ORIGINALS[piece.original])


def stats_response(gallery: Gallery, model: Model, policy_version: str) -> pb.GetStatsResponse:
    """Returns a gallery's size."""
    return pb.GetStatsResponse(
        photo_count=gallery.photo_count,
        face_count=gallery.face_count,
        model_pack=model.pack,
        policy_version=policy_version,
    )


def galleries_response(galleries: Sequence[Gallery]) -> pb.ListGalleriesResponse:
    """Returns galleries with their sizes."""
    return pb.ListGalleriesResponse(
        galleries=[
            pb.GallerySummary(name=gallery.name, photo_count=gallery.photo_count, face_count=gallery.face_count)
            for gallery in galleries
        ]
    )


def import_response(progress: Progress) -> pb.ImportPhotosResponse:
    """Returns how far an import is."""
    return pb.ImportPhotosResponse(
        seen_count=progress.seen_count,
        added_count=progress.added_count,
        unchanged_count=progress.unchanged_count,
        failed_count=progress.failed_count,
        failures=[pb.ImportFailure(name=failure.name, error=failure.status) for failure in progress.failures],
        listed=progress.is_listed,
    )


def reconcile_response(state: Reconciliation) -> pb.ReconcilePhotosResponse:
    """Returns how far a reconciliation is."""
    orphans = [
        pb.Orphan(
            kind=pb.ORPHAN_KIND_ORIGINAL if orphan.is_original else pb.ORPHAN_KIND_PHOTO,
            photo_id=orphan.photo_id,
            source=source_to_wire(orphan.source),
            removed=orphan.is_removed,
        )
        for orphan in state.orphans
    ]
    return pb.ReconcilePhotosResponse(
        original_count=state.original_count,
        photo_count=state.photo_count,
        orphaned_original_count=state.orphaned_original_count,
        orphaned_photo_count=state.orphaned_photo_count,
        removed_count=state.removed_count,
        orphans=orphans,
    )
