"""Requests off the wire: checked, and turned into plain values. What passes here can be kept and searched."""

import math
import uuid
from datetime import UTC, datetime, timedelta

from twin.vectorstore.v1 import vectorstore_pb2 as pb

from runtime.errors import InvalidField, ModelMismatch
from runtime.names import parse_photo_id
from runtime.vectors import Vector, decode_vector
from vectorstore.records import (
    CAUTIOUS_CALIBRATION,
    Calibration,
    Consent,
    FaceRecord,
    GalleryRecord,
    PhotoRecord,
    Quality,
    Source,
)
from vectorstore.search import Mode, SearchOrder

MAX_TEXT_CHARACTERS = 1024
MAX_FACES = 1000
MAX_LIMIT = 1000
DEFAULT_LIMIT = 10
MAX_QUERIES = 1000
MAX_COLLECTIONS = 1000
SHA256_BYTES = 32
_MODES = {
    pb.MATCH_MODE_UNSPECIFIED: Mode.LOOKALIKE,
    pb.MATCH_MODE_LOOKALIKE: Mode.LOOKALIKE,
    pb.MATCH_MODE_SAME_PERSON: Mode.SAME_PERSON,
    pb.MATCH_MODE_NEAREST: Mode.NEAREST,
}
_MAX_TIME_TO_LIVE = timedelta(days=36_500)
# Another machine's clock may be this much ahead of ours.
_CLOCK_SKEW = timedelta(days=1)
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


def check_text(text: str, field: str) -> str:
    """Returns the text; raises InvalidField when it is too long or holds a NUL, which PostgreSQL cannot keep."""
    if len(text) > MAX_TEXT_CHARACTERS:
        raise InvalidField(field, f"has {len(text)} characters; at most {MAX_TEXT_CHARACTERS} are kept")
    if "\x00" in text:
        raise InvalidField(field, "holds a NUL character")
    return text


def _finite(values: tuple[float, ...], field: str) -> None:
    if not all(math.isfinite(value) for value in values):
        raise InvalidField(field, "holds NaN or Inf")


def photo_from_wire(message: pb.Photo, gallery: GalleryRecord) -> PhotoRecord:
    """Returns a photo to add to the gallery; raises InvalidField or ModelMismatch for what cannot be kept."""
    if len(message.sha256) != SHA256_BYTES:
        raise InvalidField("photo.sha256", f"expected {SHA256_BYTES} bytes, got {len(message.sha256)}")
    if len(message.deletion_token_sha256) not in (0, SHA256_BYTES):
        raise InvalidField("photo.deletion_token_sha256", f"expected {SHA256_BYTES} bytes or none")
    if message.width < 0 or message.height < 0:
        raise InvalidField("photo.width", "a photo's size is not negative")
    if not message.faces:
        raise InvalidField("photo.faces", "a photo is added with at least one face")
    if len(message.faces) > MAX_FACES:
        raise InvalidField("photo.faces", f"at most {MAX_FACES} faces are kept for one photo")
    return PhotoRecord(
        photo_id=parse_photo_id(message.photo_id, "photo.photo_id") if message.photo_id else uuid.uuid4(),
        source=Source(
            check_text(message.source.store, "photo.source.store"), check_text(message.source.key, "photo.source.key")
        ),
        sha256=message.sha256,
        width=message.width,
        height=message.height,
        collection=check_text(message.collection, "photo.collection"),
        original_filename=check_text(message.original_filename, "photo.original_filename"),
        person=check_text(message.person, "photo.person"),
        consent=_consent_from_wire(message.consent) if message.HasField("consent") else None,
        deletion_token_sha256=message.deletion_token_sha256,
        faces=tuple(
            _face_from_wire(face, gallery, f"photo.faces[{position}]") for position, face in enumerate(message.faces)
        ),
    )


def _face_from_wire(message: pb.StoredFace, gallery: GalleryRecord, field: str) -> FaceRecord:
    face = message.face
    if not face.HasField("embedding"):
        raise InvalidField(f"{field}.face.embedding", "a face is kept with its embedding")
    if face.embedding.model_id != gallery.model_id:
        raise ModelMismatch(expected=gallery.model_id, actual=face.embedding.model_id)
    box = landmarks = quality = None
    if face.HasField("box"):
        box = (face.box.left, face.box.top, face.box.width, face.box.height)
        _finite(box, f"{field}.face.box")
    if face.HasField("landmarks"):
        marks = face.landmarks
        points = (marks.left_eye, marks.right_eye, marks.nose, marks.left_mouth, marks.right_mouth)
        landmarks = tuple(value for point in points for value in (point.x, point.y))
        _finite(landmarks, f"{field}.face.landmarks")
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
        _finite(measures, f"{field}.face.quality")
        # Numbers that this build does not know are dropped: they would not fit the column's type.
        issues = tuple(issue for issue in given.issues[:32] if 0 < issue < 1000)
        quality = Quality(measures, issues)
    _finite((face.detection_score,), f"{field}.face.detection_score")
    return FaceRecord(
        face_id=0,
        index=face.index,
        box=box,
        landmarks=landmarks,
        detection_score=face.detection_score,
        quality=quality,
        primary=face.primary,
        person=check_text(message.person, f"{field}.person"),
        embedding=decode_vector(face.embedding.float32_le, gallery.dimension, f"{field}.face.embedding.float32_le"),
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


def calibration_from_wire(message: pb.CreateGalleryRequest) -> Calibration:
    """Returns the calibration asked for, or a cautious general one; raises InvalidField."""
    if not message.HasField("calibration"):
        return CAUTIOUS_CALIBRATION
    given = message.calibration
    values = (
        given.same_person_similarity,
        given.duplicate_similarity,
        given.percent_slope,
        given.percent_midpoint,
    )
    _finite(values, "calibration")
    if not (-1 <= values[0] <= 1 and -1 <= values[1] <= 1):
        raise InvalidField("calibration", "similarities lie between -1 and 1")
    if values[2] <= 0:
        raise InvalidField("calibration.percent_slope", "is more than 0, so that percent rises with the cosine")
    return Calibration(*values)


def check_model_id(model_id: str) -> str:
    """Returns the model's id; raises InvalidField for none or one that cannot be kept."""
    if not model_id:
        raise InvalidField("model_id", "a gallery is bound to a model")
    return check_text(model_id, "model_id")


def order_from_wire(request: pb.SearchRequest) -> SearchOrder:
    """Returns what is wanted of every query; raises InvalidField."""
    if not 0 <= request.limit <= MAX_LIMIT:
        raise InvalidField("limit", f"is 1 to {MAX_LIMIT}, or 0 for {DEFAULT_LIMIT}")
    if not 1 <= len(request.queries) <= MAX_QUERIES:
        raise InvalidField("queries", f"1 to {MAX_QUERIES} queries are answered at once, not {len(request.queries)}")
    if request.mode not in _MODES:
        raise InvalidField("mode", f"{request.mode} is no mode")
    if request.accuracy not in pb.Accuracy.values():
        raise InvalidField("accuracy", f"{request.accuracy} is no accuracy")
    if request.min_revision < 0:
        raise InvalidField("min_revision", "is not negative")
    min_similarity = None
    if request.HasField("min_similarity"):
        min_similarity = request.min_similarity
        if not -1 <= min_similarity <= 1:  # NaN too
            raise InvalidField("min_similarity", "is a cosine, -1 to 1")
    if len(request.collections) > MAX_COLLECTIONS:
        raise InvalidField("collections", f"at most {MAX_COLLECTIONS} are named")
    return SearchOrder(
        limit=request.limit or DEFAULT_LIMIT,
        mode=_MODES[request.mode],
        min_similarity=min_similarity,
        collections=tuple(request.collections),
    )


def targets_from_wire(request: pb.SearchRequest, gallery: GalleryRecord) -> list[Vector | int]:
    """Returns each query's vector or face id; raises InvalidField or ModelMismatch."""
    targets: list[Vector | int] = []
    for position, query in enumerate(request.queries):
        if query.HasField("embedding"):
            if query.embedding.model_id != gallery.model_id:
                raise ModelMismatch(expected=gallery.model_id, actual=query.embedding.model_id)
            field = f"queries[{position}].embedding.float32_le"
            targets.append(decode_vector(query.embedding.float32_le, gallery.dimension, field))
        elif query.HasField("face_id"):
            targets.append(query.face_id)
        else:
            raise InvalidField(f"queries[{position}]", "a query is an embedding or a face_id")
    return targets
