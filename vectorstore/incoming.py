"""Photos off the wire: checked, and turned into plain values. What passes here can be kept and searched."""

import math
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NoReturn

from asyncpg.pgproto import pgproto
from twin.face.v1 import face_pb2
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from runtime.errors import InvalidField, ModelMismatch, TwinError
from runtime.names import MAX_TEXT_CHARACTERS, check_photo_id, check_text
from runtime.vectors import decode_vector
from vectorstore.face_table import FacesOfTable, FaceTable
from vectorstore.face_wire import MAX_ISSUES, is_kept, read_faces
from vectorstore.records import Consent, FaceRecord, GalleryRecord, PhotoRecord, Quality, Source

MAX_FACES: Final = 1000
# Photos that one message may hold.
MAX_PHOTOS: Final = 1000
SHA256_BYTES: Final = 32
_PHOTO_TEXTS: Final = ("source.store", "source.key", "collection", "original_filename", "person")
_MAX_TIME_TO_LIVE: Final = timedelta(days=36_500)
# Another machine's clock may be this much ahead of ours.
_CLOCK_SKEW: Final = timedelta(days=1)
_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
# From so many faces on they are read as a table.
_MANY_FACES: Final = 16


def check_finite(values: tuple[float, ...], field: str) -> None:
    """Raises InvalidField when one of a few float32 values is NaN or Inf."""
    # Their sum is one too, then; and a few float32 values never add up to more than a double holds.
    if not math.isfinite(sum(values)):
        raise InvalidField(field, "holds NaN or Inf")


def photos_from_wire(messages: Sequence[pb.Photo], gallery: GalleryRecord) -> list[PhotoRecord | TwinError]:
    """Returns for each message the photo to add to the gallery, or why it cannot be kept."""
    table: FaceTable | None = None
    right: list[bool] = []
    if all(len(message.faces) <= MAX_FACES for message in messages):
        many = [face for message in messages for face in message.faces]
        if len(many) >= _MANY_FACES:
            table, right = read_faces(many, gallery)
    photos: list[PhotoRecord | TwinError] = []
    start = 0
    for message in messages:
        stop = start + len(message.faces)
        faces = FacesOfTable(table, start, stop) if table is not None and all(right[start:stop]) else None
        start = stop
        try:
            photos.append(_photo_from_wire(message, faces, gallery))
        except TwinError as error:
            photos.append(error)
    return photos


def _photo_from_wire(message: pb.Photo, faces: FacesOfTable | None, gallery: GalleryRecord) -> PhotoRecord:
    """faces: the photo's, where they are read already."""
    sha256, token_sha256, source, photo_id = (
        message.sha256,
        message.deletion_token_sha256,
        message.source,
        message.photo_id,
    )
    width, height = message.width, message.height
    if len(sha256) != SHA256_BYTES:
        raise InvalidField("photo.sha256", f"expected {SHA256_BYTES} bytes, got {len(sha256)}")
    if len(token_sha256) not in (0, SHA256_BYTES):
        raise InvalidField("photo.deletion_token_sha256", f"expected {SHA256_BYTES} bytes or none")
    if width < 0 or height < 0:
        raise InvalidField("photo.width", "a photo's size is not negative")
    face_count = len(message.faces)
    if not face_count:
        raise InvalidField("photo.faces", "a photo is added with at least one face")
    if face_count > MAX_FACES:
        raise InvalidField("photo.faces", f"at most {MAX_FACES} faces are kept for one photo")
    store, key, collection, filename, person = texts = (
        source.store,
        source.key,
        message.collection,
        message.original_filename,
        message.person,
    )
    _check_texts(texts, _PHOTO_TEXTS, "photo")
    return PhotoRecord(
        # Equal to Python's own in everything, and made, written and sent in an eighth of the time.
        pgproto.UUID(check_photo_id(photo_id, "photo.photo_id")) if photo_id else uuid.uuid4(),
        Source(store, key),
        sha256,
        width,
        height,
        collection,
        filename,
        person,
        _consent_from_wire(message.consent) if message.HasField("consent") else None,
        token_sha256,
        faces or tuple([_face_from_wire(face, gallery, place) for place, face in enumerate(message.faces)]),
    )


def _face_from_wire(message: pb.StoredFace, gallery: GalleryRecord, position: int) -> FaceRecord:
    face = message.face
    embedding = face.embedding
    if not face.HasField("embedding"):
        raise InvalidField(f"photo.faces[{position}].face.embedding", "a face is kept with its embedding")
    if embedding.model_id != gallery.model_id:
        raise ModelMismatch(expected=gallery.model_id, actual=embedding.model_id)
    box: tuple[float, float, float, float] | None = None
    landmarks: tuple[float, ...] | None = None
    quality: Quality | None = None
    if face.HasField("box"):
        given_box = face.box
        box = (given_box.left, given_box.top, given_box.width, given_box.height)
    if face.HasField("landmarks"):
        marks = face.landmarks
        a, b, c, d, e = marks.left_eye, marks.right_eye, marks.nose, marks.left_mouth, marks.right_mouth
        landmarks = (a.x, a.y, b.x, b.y, c.x, c.y, d.x, d.y, e.x, e.y)
    if face.HasField("quality"):
        quality = _quality_from_wire(face.quality)
    score, person = face.detection_score, message.person
    # The common case by one look; only when it fails is it worth asking which value is at fault.
    values = (box or ()) + (landmarks or ()) + (quality.measures if quality else ())
    if not math.isfinite(sum(values) + score):
        _name_infinite(position, box, landmarks, quality)
    if person:
        check_text(person, f"photo.faces[{position}].person")
    vector = decode_vector(
        embedding.float32_le, gallery.dimension, f"photo.faces[{position}].face.embedding.float32_le"
    )
    return FaceRecord(0, face.index, box, landmarks, score, quality, face.primary, person, vector)


def _quality_from_wire(given: face_pb2.Quality) -> Quality:
    measures = (
        given.score,
        given.sharpness,
        given.brightness,
        given.yaw_degrees,
        given.roll_degrees,
        given.size_pixels,
    )
    return Quality(measures, tuple(filter(is_kept, given.issues[:MAX_ISSUES])))


def _name_infinite(
    position: int, box: tuple[float, ...] | None, landmarks: tuple[float, ...] | None, quality: Quality | None
) -> NoReturn:
    field = f"photo.faces[{position}].face"
    check_finite(box or (), f"{field}.box")
    check_finite(landmarks or (), f"{field}.landmarks")
    check_finite(quality.measures if quality else (), f"{field}.quality")
    raise InvalidField(f"{field}.detection_score", "holds NaN or Inf")


def _check_texts(texts: Sequence[str], names: Sequence[str], parent: str) -> None:
    if max(map(len, texts)) > MAX_TEXT_CHARACTERS or "\x00" in "".join(texts):
        for text, name in zip(texts, names, strict=True):
            check_text(text, f"{parent}.{name}")


def _consent_from_wire(message: pb.Consent) -> Consent:
    grant_time = time_to_live = None
    if message.HasField("grant_time"):
        try:
            message.grant_time.ToJsonString()  # Checks seconds and nanos, which the conversion does not.
            grant_time = message.grant_time.ToDatetime(tzinfo=UTC)
        except (ValueError, OverflowError) as error:
            raise InvalidField("photo.consent.grant_time", "is no time") from error
        if not _EARLIEST <= grant_time <= datetime.now(UTC) + _CLOCK_SKEW:
            raise InvalidField("photo.consent.grant_time", "lies between 1970 and now")
    if message.HasField("time_to_live"):
        try:
            message.time_to_live.ToJsonString()
            time_to_live = message.time_to_live.ToTimedelta()
        except (ValueError, OverflowError) as error:
            raise InvalidField("photo.consent.time_to_live", "is no duration") from error
        if not timedelta(0) < time_to_live <= _MAX_TIME_TO_LIVE:
            raise InvalidField("photo.consent.time_to_live", "is more than nothing and at most 100 years")
    return Consent(check_text(message.policy_version, "photo.consent.policy_version"), grant_time, time_to_live)
