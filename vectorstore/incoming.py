"""Photos off the wire: checked, and turned into plain values. What passes here can be kept and searched.

Many photos at once share one matrix for their vectors: decoding and checking them one by one costs more than the rest.
"""

import itertools
import math
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from runtime.errors import InvalidField, ModelMismatch, TwinError
from runtime.names import parse_photo_id
from runtime.vectors import NORM_TOLERANCE, Vector, decode_vector
from vectorstore.records import Consent, FaceRecord, GalleryRecord, PhotoRecord, Quality, Source

MAX_TEXT_CHARACTERS: Final = 1024
MAX_FACES: Final = 1000
# Photos that one message may hold.
MAX_PHOTOS: Final = 1000
SHA256_BYTES: Final = 32
_MAX_TIME_TO_LIVE: Final = timedelta(days=36_500)
# Another machine's clock may be this much ahead of ours.
_CLOCK_SKEW: Final = timedelta(days=1)
_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Sums of squares that are this close to 1 belong to vectors whose length is right beyond doubt.
_SURELY_UNIT: Final = NORM_TOLERANCE


def check_text(text: str, field: str) -> str:
    """Returns the text; raises InvalidField when it is too long or holds a NUL, which PostgreSQL cannot keep."""
    if len(text) > MAX_TEXT_CHARACTERS:
        raise InvalidField(field, f"has {len(text)} characters; at most {MAX_TEXT_CHARACTERS} are kept")
    if "\x00" in text:
        raise InvalidField(field, "holds a NUL character")
    return text


def check_finite(values: tuple[float, ...], field: str) -> None:
    """Raises InvalidField when one of a few float32 values is NaN or Inf."""
    # Their sum is one too, then; and a few float32 values never add up to more than a double holds.
    if not math.isfinite(sum(values)):
        raise InvalidField(field, "holds NaN or Inf")


def photo_from_wire(message: pb.Photo, gallery: GalleryRecord) -> PhotoRecord:
    """Returns a photo to add to the gallery; raises InvalidField or ModelMismatch for what cannot be kept."""
    (photo,) = photos_from_wire([message], gallery)
    if isinstance(photo, TwinError):
        raise photo
    return photo


def photos_from_wire(messages: Sequence[pb.Photo], gallery: GalleryRecord) -> list[PhotoRecord | TwinError]:
    """Returns for each message the photo to add to the gallery, or why it cannot be kept."""
    vectors = iter(_surely_right_vectors(messages, gallery.dimension))
    photos: list[PhotoRecord | TwinError] = []
    for message in messages:
        own = list(itertools.islice(vectors, len(message.faces)))
        try:
            photos.append(_photo_from_wire(message, own, gallery))
        except TwinError as error:
            photos.append(error)
    return photos


def _surely_right_vectors(messages: Sequence[pb.Photo], dimension: int) -> list[Vector | None]:
    """Returns for each face of the messages its (dimension,) vector, None for one that takes a closer look."""
    contents = [face.face.embedding.float32_le for message in messages for face in message.faces]
    size = dimension * 4
    fitting = [content for content in contents if len(content) == size]
    matrix = np.frombuffer(b"".join(fitting), dtype="<f4").reshape(-1, dimension).astype(np.float32, copy=False)
    # NaN and Inf stay what they are in the sum, and fail the comparison.
    with np.errstate(over="ignore", invalid="ignore"):
        right = np.abs(np.einsum("ij,ij->i", matrix, matrix) - 1) <= _SURELY_UNIT
    rows = zip(matrix, right.tolist(), strict=True)
    vectors: list[Vector | None] = []
    for content in contents:
        vector, is_right = next(rows) if len(content) == size else (None, False)
        vectors.append(vector if is_right else None)
    return vectors


def _photo_from_wire(message: pb.Photo, vectors: Sequence[Vector | None], gallery: GalleryRecord) -> PhotoRecord:
    sha256, token_sha256, source = message.sha256, message.deletion_token_sha256, message.source
    if len(sha256) != SHA256_BYTES:
        raise InvalidField("photo.sha256", f"expected {SHA256_BYTES} bytes, got {len(sha256)}")
    if len(token_sha256) not in (0, SHA256_BYTES):
        raise InvalidField("photo.deletion_token_sha256", f"expected {SHA256_BYTES} bytes or none")
    if message.width < 0 or message.height < 0:
        raise InvalidField("photo.width", "a photo's size is not negative")
    if not vectors:
        raise InvalidField("photo.faces", "a photo is added with at least one face")
    if len(vectors) > MAX_FACES:
        raise InvalidField("photo.faces", f"at most {MAX_FACES} faces are kept for one photo")
    return PhotoRecord(
        photo_id=parse_photo_id(message.photo_id, "photo.photo_id") if message.photo_id else uuid.uuid4(),
        source=Source(check_text(source.store, "photo.source.store"), check_text(source.key, "photo.source.key")),
        sha256=sha256,
        width=message.width,
        height=message.height,
        collection=check_text(message.collection, "photo.collection"),
        original_filename=check_text(message.original_filename, "photo.original_filename"),
        person=check_text(message.person, "photo.person"),
        consent=_consent_from_wire(message.consent) if message.HasField("consent") else None,
        deletion_token_sha256=token_sha256,
        faces=tuple(
            _face_from_wire(face, vector, gallery, position)
            for position, (face, vector) in enumerate(zip(message.faces, vectors, strict=True))
        ),
    )


def _face_from_wire(message: pb.StoredFace, vector: Vector | None, gallery: GalleryRecord, position: int) -> FaceRecord:
    field = f"photo.faces[{position}]"
    face = message.face
    if not face.HasField("embedding"):
        raise InvalidField(f"{field}.face.embedding", "a face is kept with its embedding")
    if face.embedding.model_id != gallery.model_id:
        raise ModelMismatch(expected=gallery.model_id, actual=face.embedding.model_id)
    box = landmarks = quality = None
    if face.HasField("box"):
        given_box = face.box
        box = (given_box.left, given_box.top, given_box.width, given_box.height)
        check_finite(box, f"{field}.face.box")
    if face.HasField("landmarks"):
        marks = face.landmarks
        a, b, c, d, e = marks.left_eye, marks.right_eye, marks.nose, marks.left_mouth, marks.right_mouth
        landmarks = (a.x, a.y, b.x, b.y, c.x, c.y, d.x, d.y, e.x, e.y)
        check_finite(landmarks, f"{field}.face.landmarks")
    if face.HasField("quality"):
        given = face.quality
        measures = (
            given.score,
            given.sharpness,
            given.brightness,
            given.yaw_degrees,
            given.roll_degrees,
            given.size_pixels,
        )
        check_finite(measures, f"{field}.face.quality")
        # Numbers that this build does not know are dropped: they would not fit the column's type.
        issues = tuple(issue for issue in given.issues[:32] if 0 < issue < 1000)
        quality = Quality(measures, issues)
    score = face.detection_score
    check_finite((score,), f"{field}.face.detection_score")
    if vector is None:
        vector = decode_vector(face.embedding.float32_le, gallery.dimension, f"{field}.face.embedding.float32_le")
    return FaceRecord(
        face_id=0,
        index=face.index,
        box=box,
        landmarks=landmarks,
        detection_score=score,
        quality=quality,
        primary=face.primary,
        person=check_text(message.person, f"{field}.person"),
        embedding=vector,
    )


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
