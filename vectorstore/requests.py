"""Requests off the wire: checked, and turned into plain values; the photos that are to be added are in ``incoming``."""

import uuid
from datetime import UTC, datetime, timedelta

from twin.vectorstore.v1 import vectorstore_pb2 as pb

from runtime.errors import InvalidField, ModelMismatch
from runtime.names import check_text, parse_photo_id
from runtime.vectors import Vector, decode_vector
from vectorstore.filters import FaceFilter
from vectorstore.incoming import check_finite
from vectorstore.orders import Mode, SearchOrder
from vectorstore.records import CAUTIOUS_CALIBRATION, Calibration, GalleryRecord, Source

MAX_LIMIT = 1000
DEFAULT_LIMIT = 10
MAX_QUERIES = 1000
MAX_NAMES = 1000
MAX_DELETIONS = 1000
_MAX_AGE = timedelta(days=36_500)
_MODES = {
    pb.MATCH_MODE_UNSPECIFIED: Mode.LOOKALIKE,
    pb.MATCH_MODE_LOOKALIKE: Mode.LOOKALIKE,
    pb.MATCH_MODE_SAME_PERSON: Mode.SAME_PERSON,
    pb.MATCH_MODE_NEAREST: Mode.NEAREST,
}
_ACCURACIES = frozenset(pb.Accuracy.values())


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
    check_finite(values, "calibration")
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


def source_from_wire(message: pb.PhotoSource) -> Source:
    """Returns where an original is to be; raises InvalidField for no key, or one that cannot be kept."""
    if not message.key:
        raise InvalidField("source.key", "names the original")
    return Source(check_text(message.store, "source.store"), check_text(message.key, "source.key"))


def min_age_from_wire(request: pb.ListReservationsRequest) -> timedelta:
    """Returns the least age asked for, nothing when unset; raises InvalidField."""
    try:
        request.min_age.ToJsonString()  # Checks seconds and nanos, which the conversion does not.
        min_age = request.min_age.ToTimedelta()
    except (ValueError, OverflowError) as error:
        raise InvalidField("min_age", "is no duration") from error
    if not timedelta(0) <= min_age <= _MAX_AGE:
        raise InvalidField("min_age", "is at most 100 years")
    return min_age


def photo_ids_from_wire(request: pb.DeletePhotosRequest) -> list[uuid.UUID | InvalidField]:
    """Returns each photo's id, or why it is none; raises InvalidField when they are too many or none."""
    if not 1 <= len(request.photo_ids) <= MAX_DELETIONS:
        raise InvalidField("photo_ids", f"1 to {MAX_DELETIONS} photos are deleted at once")
    photo_ids: list[uuid.UUID | InvalidField] = []
    for position, text in enumerate(request.photo_ids):
        try:
            photo_ids.append(parse_photo_id(text, f"photo_ids[{position}]"))
        except InvalidField as error:
            photo_ids.append(error)
    return photo_ids


def order_from_wire(request: pb.SearchRequest) -> SearchOrder:
    """Returns what is wanted of every query; raises InvalidField."""
    if not 0 <= request.limit <= MAX_LIMIT:
        raise InvalidField("limit", f"is 1 to {MAX_LIMIT}, or 0 for {DEFAULT_LIMIT}")
    if not 1 <= len(request.queries) <= MAX_QUERIES:
        raise InvalidField("queries", f"1 to {MAX_QUERIES} queries are answered at once, not {len(request.queries)}")
    if request.mode not in _MODES:
        raise InvalidField("mode", f"{request.mode} is no mode")
    if request.accuracy not in _ACCURACIES:
        raise InvalidField("accuracy", f"{request.accuracy} is no accuracy")
    if request.min_revision < 0:
        raise InvalidField("min_revision", "is not negative")
    min_similarity = None
    if request.HasField("min_similarity"):
        min_similarity = request.min_similarity
        if not -1 <= min_similarity <= 1:  # NaN too
            raise InvalidField("min_similarity", "is a cosine, -1 to 1")
    return SearchOrder(
        limit=request.limit or DEFAULT_LIMIT,
        mode=_MODES[request.mode],
        min_similarity=min_similarity,
        faces=_filter_from_wire(request),
        exact=request.accuracy == pb.ACCURACY_EXACT,
    )


def _filter_from_wire(request: pb.SearchRequest) -> FaceFilter:
    collections, persons = tuple(request.collections), tuple(request.persons)
    for field, names in (("collections", collections), ("persons", persons)):
        if len(names) > MAX_NAMES:
            raise InvalidField(field, f"at most {MAX_NAMES} are named")
    times = [_time_from_wire(request, field) for field in ("added_after", "added_before")]
    return FaceFilter(collections, persons, *times)


def _time_from_wire(request: pb.SearchRequest, field: str) -> datetime | None:
    if not request.HasField(field):  # type: ignore[arg-type]  # One of two names, which mypy does not see.
        return None
    try:
        stamp = getattr(request, field)
        stamp.ToJsonString()  # Checks seconds and nanos, which the conversion does not.
        time: datetime = stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidField(field, "is no time") from error
    return time


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
