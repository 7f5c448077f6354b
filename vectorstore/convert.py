"""Answers onto the wire: plain values turned into protobuf messages."""

from collections.abc import Sequence
from datetime import datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from twin.face.v1 import face_pb2
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from runtime.interceptor import status_of
from runtime.vectors import encode_vector
from vectorstore.exporting import HeldPhoto
from vectorstore.index.base import IndexFacts
from vectorstore.orders import FoundMatch, FoundResult
from vectorstore.records import (
    DeletionRecord,
    FaceRecord,
    GalleryRecord,
    PhotoRecord,
    Source,
    StoredPhoto,
)
from vectorstore.reservations import ReservationRecord


def time_to_wire(time: datetime) -> Timestamp:
    """Returns an aware datetime as a Timestamp."""
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp


def source_to_wire(source: Source) -> pb.PhotoSource:
    """Returns where an original is kept."""
    return pb.PhotoSource(store=source.store, key=source.key)


def photo_to_wire(photo: PhotoRecord) -> pb.Photo:
    """Returns a photo with its faces, without embeddings and without its deletion token's hash."""
    message = pb.Photo(
        photo_id=str(photo.photo_id),
        source=source_to_wire(photo.source),
        sha256=photo.sha256,
        width=photo.width,
        height=photo.height,
        collection=photo.collection,
        original_filename=photo.original_filename,
        person=photo.person,
        faces=[_face_to_wire(face) for face in photo.faces],
    )
    if photo.create_time is not None:
        message.create_time.CopyFrom(time_to_wire(photo.create_time))
    if photo.consent is not None:
        message.consent.policy_version = photo.consent.policy_version
        if photo.consent.grant_time is not None:
            message.consent.grant_time.CopyFrom(time_to_wire(photo.consent.grant_time))
        if photo.consent.time_to_live is not None:
            duration = Duration()
            duration.FromTimedelta(photo.consent.time_to_live)
            message.consent.time_to_live.CopyFrom(duration)
    return message


def held_to_wire(held: HeldPhoto) -> pb.ExportPhotoResponse:
    """Returns all that is held about a photo, embeddings included; but not its deletion token's hash."""
    message = pb.ExportPhotoResponse(photo=photo_to_wire(held.photo), gallery=held.gallery)
    if held.expire_time is not None:
        message.expire_time.CopyFrom(time_to_wire(held.expire_time))
    for stored, face in zip(message.photo.faces, held.photo.faces, strict=True):
        if face.embedding is not None:
            stored.face.embedding.float32_le = encode_vector(face.embedding)
            stored.face.embedding.model_id = held.model_id
    return message


def write_stored(message: pb.StoredPhoto, stored: StoredPhoto, create_time: Timestamp | None) -> None:
    """Fills in what the store gave a photo; create_time is the photo's, made once for all that share it.

    Where it is to be: a message made apart and copied takes twice as long.
    """
    message.revision = stored.revision
    message.face_ids.extend(stored.face_ids)
    if create_time is not None:
        message.create_time.CopyFrom(create_time)


def _face_to_wire(face: FaceRecord) -> pb.StoredFace:
    message = pb.StoredFace(face_id=face.face_id, person=face.person)
    message.face.index = face.face_index
    message.face.detection_score = face.detection_score
    message.face.primary = face.primary
    if face.box is not None:
        message.face.box.CopyFrom(box_to_wire(face.box))
    if face.landmarks is not None:
        names = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
        for position, name in enumerate(names):
            x, y = face.landmarks[2 * position : 2 * position + 2]
            getattr(message.face.landmarks, name).CopyFrom(face_pb2.Point(x=x, y=y))
    if face.quality is not None:
        score, sharpness, brightness, yaw, roll, size = face.quality.measures
        message.face.quality.CopyFrom(
            face_pb2.Quality(
                score=score,
                sharpness=sharpness,
                brightness=brightness,
                yaw_degrees=yaw,
                roll_degrees=roll,
                size_pixels=size,
                issues=[face_pb2.QualityIssue.ValueType(issue) for issue in face.quality.issues],
            )
        )
    return message


def box_to_wire(box: tuple[float, float, float, float]) -> face_pb2.Box:
    """Returns (left, top, width, height) as a Box."""
    left, top, width, height = box
    return face_pb2.Box(left=left, top=top, width=width, height=height)


def gallery_to_wire(gallery: GalleryRecord) -> pb.Gallery:
    """Returns a gallery with its sizes."""
    calibration = gallery.calibration
    return pb.Gallery(
        name=gallery.name,
        model_id=gallery.model_id,
        photo_count=gallery.photo_count,
        face_count=gallery.face_count,
        create_time=time_to_wire(gallery.create_time),
        calibration=face_pb2.Calibration(
            same_person_similarity=calibration.same_person_similarity,
            duplicate_similarity=calibration.duplicate_similarity,
            percent_slope=calibration.percent_slope,
            percent_midpoint=calibration.percent_midpoint,
        ),
    )


def removal_to_wire(deletion: DeletionRecord) -> pb.Removal:
    """Returns a deleted photo whose original still has to go."""
    return pb.Removal(
        photo_id=str(deletion.photo_id),
        source=source_to_wire(deletion.source),
        delete_time=time_to_wire(deletion.delete_time),
        deletion_id=deletion.deletion_id,
    )


def reservation_to_wire(record: ReservationRecord) -> pb.Reservation:
    """Returns an original that no photo names."""
    return pb.Reservation(
        reservation_id=record.reservation_id,
        photo_id=str(record.photo_id),
        source=source_to_wire(record.source),
        reserve_time=time_to_wire(record.reserve_time),
    )


def deletion_to_wire(deletion: DeletionRecord) -> pb.DeletePhotoResponse:
    """Returns what a deletion did."""
    return pb.DeletePhotoResponse(
        source=source_to_wire(deletion.source),
        face_count=deletion.face_count,
        revision=deletion.revision,
        original_removed=deletion.original_removed,
        deletion_id=deletion.deletion_id,
    )


def deleted_to_wire(photo_id: str, outcome: DeletionRecord | Exception) -> pb.DeletedPhoto:
    """Returns what became of one of many photos."""
    if isinstance(outcome, Exception):
        return pb.DeletedPhoto(photo_id=photo_id, error=status_of(outcome))
    return pb.DeletedPhoto(photo_id=photo_id, deleted=deletion_to_wire(outcome))


def search_response(results: Sequence[FoundResult], revision: int) -> pb.SearchResponse:
    """Returns the answers to all queries, and the revision that they reflect at least."""
    message = pb.SearchResponse(revision=revision)
    for result in results:
        found = message.results.add()
        for match in result.matches:
            _write_match(found.matches.add(), match)
        for match in result.yourself:
            _write_match(found.yourself.add(), match)
    return message


def _write_match(message: pb.Match, match: FoundMatch) -> None:
    """Fills in one neighbour, further photos of the same person included.

    Field by field where it is to be: a message made apart, with messages made for its parts, takes three times as long.
    """
    face, cosine, percent, percentile, same_person = match
    message.photo_id = face.photo_id
    message.face_id = face.face_id
    message.person = face.person
    message.collection = face.collection
    if face.box is not None:
        box = message.box
        box.left, box.top, box.width, box.height = face.box
    similarity = message.similarity
    similarity.cosine, similarity.percent, similarity.percentile = cosine, percent, percentile
    source = message.source
    source.store, source.key = face.store, face.key
    for other in same_person:
        _write_match(message.same_person.add(), other)


def index_stats(gallery: str, facts: IndexFacts, catalog_bytes: int) -> pb.IndexStats:
    """Returns what is told of one gallery's index."""
    return pb.IndexStats(
        gallery=gallery,
        face_count=facts.face_count,
        kind=facts.kind,
        memory_bytes=facts.memory_bytes,
        tombstone_count=facts.tombstone_count,
        mapped_bytes=facts.mapped_bytes,
        catalog_bytes=catalog_bytes,
        rerank_count=facts.rerank_count,
        recall_seen=facts.recall_seen,
        recall_unseen=facts.recall_unseen,
    )
