"""Between the wire and plain values: what callers and peers send is checked here, once."""

import math
from datetime import UTC, timedelta

import numpy as np
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from twin.embedder.v1 import embedder_pb2
from twin.face.v1 import face_pb2
from twin.gateway.v1 import gateway_pb2 as pb
from twin.vectorstore.v1 import vectorstore_pb2

from gateway.checks import Limits, check_image, check_token
from gateway.orders import CompareOrder, Consent, FaceSelection, ImportOrder, KeepOrder, ReconcileOrder, SearchOrder
from gateway.records import Embedding, FacePlace, FoundFace, HeldPhoto, NewPhoto, Source, StoredPhoto
from runtime.errors import InvalidField
from runtime.names import check_gallery_name, check_photo_id, check_text
from runtime.vectors import decode_vector

DEFAULT_LIMIT = 15
MAX_LIMIT = 100
DEFAULT_REMOVALS = 20
MAX_REMOVALS = 1000
_MAX_TIME_TO_LIVE = timedelta(days=36_500)


def search_order(request: pb.SearchRequest, limits: Limits) -> SearchOrder:
    """Returns a checked search; raises InvalidField, UnreadableImage or ImageTooLarge."""
    if not 0 <= request.limit <= MAX_LIMIT:
        raise InvalidField("limit", f"is 1 to {MAX_LIMIT}, or 0 for {DEFAULT_LIMIT}")
    if request.mode not in vectorstore_pb2.MatchMode.values():
        raise InvalidField("mode", "is no mode that is known")
    min_similarity = request.min_similarity if request.HasField("min_similarity") else None
    if min_similarity is not None and not -1 <= min_similarity <= 1:  # NaN fails this too.
        raise InvalidField("min_similarity", "is a cosine, -1 to 1")
    return SearchOrder(
        gallery=check_gallery_name(request.gallery),
        image=check_image(request.image, limits),
        faces=_selection(request, "face_index", all_faces=request.all_faces),
        limit=request.limit or DEFAULT_LIMIT,
        mode=request.mode,
        min_similarity=min_similarity,
        consent=_consent(request, limits),
        original_filename=check_text(request.original_filename, "original_filename"),
    )


def keep_order(request: pb.AddPhotoRequest, limits: Limits) -> KeepOrder:
    """Returns a checked photo to keep; raises InvalidField, UnreadableImage or ImageTooLarge."""
    for index, person in request.persons.items():
        check_text(person, "persons")
        if index < 0:
            raise InvalidField("persons", "faces are counted from 0")
    return KeepOrder(
        gallery=check_gallery_name(request.gallery),
        image=check_image(request.image, limits),
        faces=_selection(request, "face_index", all_faces=request.all_faces),
        photo_id=check_photo_id(request.photo_id) if request.photo_id else None,
        deletion_token=check_token(request.deletion_token, request.photo_id),
        consent=_consent(request, limits),
        original_filename=check_text(request.original_filename, "original_filename"),
        person=check_text(request.person, "person"),
        collection=check_text(request.collection, "collection"),
        persons=dict(request.persons),
        keep_duplicate=request.keep_duplicate,
    )


def compare_order(request: pb.CompareRequest, limits: Limits) -> CompareOrder:
    """Returns a checked comparison; raises InvalidField, UnreadableImage or ImageTooLarge."""
    return CompareOrder(
        check_image(request.first_image, limits, "first_image"),
        _selection(request, "first_face_index"),
        check_image(request.second_image, limits, "second_image"),
        _selection(request, "second_face_index"),
    )


def import_order(request: pb.ImportPhotosRequest) -> ImportOrder:
    """Returns a checked import; whether the folder lies within the store is the store's to say."""
    return ImportOrder(
        check_gallery_name(request.gallery),
        check_text(request.folder, "folder"),
        check_text(request.collection, "collection"),
        request.all_faces,
        check_text(request.store, "store"),
    )


def reconcile_order(request: pb.ReconcilePhotosRequest) -> ReconcileOrder:
    """Returns a checked reconciliation; raises InvalidField."""
    if not 0 <= request.max_removals <= MAX_REMOVALS:
        raise InvalidField("max_removals", f"is 1 to {MAX_REMOVALS}, or 0 for {DEFAULT_REMOVALS}")
    return ReconcileOrder(request.apply, request.max_removals or DEFAULT_REMOVALS)


def _selection(request: Message, field: str, *, all_faces: bool = False) -> FaceSelection:
    if not request.HasField(field):
        return FaceSelection(all_faces=all_faces)
    index: int = getattr(request, field)
    if index < 0:
        raise InvalidField(field, "faces are counted from 0")
    return FaceSelection(face_index=index)


def _consent(request: pb.SearchRequest | pb.AddPhotoRequest, limits: Limits) -> Consent | None:
    if not request.HasField("consent"):
        return None
    grant = request.consent
    if grant.policy_version not in limits.policy_versions:
        raise InvalidField("consent.policy_version", "is no version of the consent text that is known")
    time_to_live = None
    if grant.HasField("time_to_live"):
        try:
            time_to_live = grant.time_to_live.ToTimedelta()
        except (ValueError, OverflowError) as error:
            raise InvalidField("consent.time_to_live", "is no duration") from error
        if not timedelta(0) < time_to_live <= _MAX_TIME_TO_LIVE:
            raise InvalidField("consent.time_to_live", "is more than nothing and at most 100 years")
    return Consent(grant.policy_version, time_to_live)


def face_choice(selection: FaceSelection) -> embedder_pb2.FaceChoice.ValueType:
    """Returns the selection as the embedder names it; a face index goes with it in a field of its own."""
    if selection.all_faces:
        return embedder_pb2.FACE_CHOICE_ALL
    return embedder_pb2.FACE_CHOICE_PRIMARY_ONLY if selection.alone else embedder_pb2.FACE_CHOICE_PRIMARY


def enroll_request(photo: NewPhoto) -> embedder_pb2.EnrollRequest:
    """Returns a photo to enrol as the embedder takes it."""
    message = vectorstore_pb2.Photo(
        photo_id=photo.photo_id,
        source=source_to_wire(photo.source),
        sha256=photo.sha256,
        width=photo.width,
        height=photo.height,
        collection=photo.collection,
        original_filename=photo.original_filename,
        person=photo.person,
        deletion_token_sha256=photo.deletion_token_sha256,
    )
    if photo.consent is not None:
        message.consent.policy_version = photo.consent.policy_version
        message.consent.grant_time.GetCurrentTime()
        if photo.consent.time_to_live is not None:
            duration = Duration()
            duration.FromTimedelta(photo.consent.time_to_live)
            message.consent.time_to_live.CopyFrom(duration)
    return embedder_pb2.EnrollRequest(
        gallery=photo.gallery,
        photo=message,
        image=photo.image,
        faces=face_choice(photo.faces),
        face_index=photo.faces.face_index,
        persons=photo.persons,
        refuse_duplicate_faces=photo.refuse_duplicate,
    )


def source_of(message: vectorstore_pb2.PhotoSource) -> Source:
    """Returns where an original is kept, as a peer says it."""
    return Source(message.store, message.key)


def source_to_wire(source: Source) -> vectorstore_pb2.PhotoSource:
    """Returns where an original is kept, as peers and callers are told."""
    return vectorstore_pb2.PhotoSource(store=source.store, key=source.key)


def stored_photo(message: vectorstore_pb2.Photo) -> StoredPhoto:
    """Returns a photo of the vector store."""
    places = tuple(_place(stored.face_id, stored.face) for stored in message.faces)
    faces = tuple(bare_face(stored.face) for stored in message.faces)
    return StoredPhoto(message.photo_id, source_of(message.source), message.sha256, places, faces)


def held_photo(message: vectorstore_pb2.ExportPhotoResponse) -> HeldPhoto:
    """Returns all that is held about a photo: every field of the message, and so whatever is added to it later."""
    photo = message.photo
    record = MessageToDict(message, preserving_proto_field_name=True)
    # What JSON would have as base64 in a form that people can read.
    record["photo"]["sha256"] = photo.sha256.hex()
    for stored, shown in zip(photo.faces, record["photo"].get("faces", ()), strict=True):
        embedding = stored.face.embedding
        if embedding.float32_le:
            values = np.frombuffer(embedding.float32_le, "<f4").tolist()
            shown["face"]["embedding"] = {"model_id": embedding.model_id, "values": values}
    return HeldPhoto(
        source=source_of(photo.source),
        create_time=photo.create_time.ToDatetime(UTC),
        policy_version=photo.consent.policy_version,
        record=record,
    )


def _place(face_id: int, face: face_pb2.Face) -> FacePlace:
    box = (face.box.left, face.box.top, face.box.width, face.box.height)
    eyes = None
    if face.HasField("landmarks"):
        left, right = face.landmarks.left_eye, face.landmarks.right_eye
        if all(math.isfinite(value) for value in (left.x, left.y, right.x, right.y)):
            eyes = ((left.x, left.y), (right.x, right.y))
    return FacePlace(face_id, box, eyes)


def found_face(face: face_pb2.Face) -> FoundFace:
    """Returns one face of the embedder's answer."""
    embedding = None
    if face.embedding.float32_le:
        dimension = len(face.embedding.float32_le) // 4
        embedding = Embedding(decode_vector(face.embedding.float32_le, dimension), face.embedding)
    return FoundFace(face.index, bare_face(face), embedding)


def bare_face(face: face_pb2.Face) -> face_pb2.Face:
    """Returns a copy without the embedding, which browsers have no use for."""
    bare = face_pb2.Face()
    bare.CopyFrom(face)
    bare.ClearField("embedding")
    return bare
