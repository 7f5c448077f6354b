"""One face as it goes into a gallery's catalog, and as it comes out."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from vectorstore.records import Source

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def to_microseconds(time: datetime) -> int:
    """Returns a time, which has a zone, in microseconds since 1970."""
    return (time - _EPOCH) // _MICROSECOND


class CatalogFace(NamedTuple):
    """A face to be added; ``person`` is the face's own or else its photo's.

    create_time_us: when its photo was added, in microseconds since 1970.
    """

    face_id: int
    photo_id: uuid.UUID
    box: tuple[float, float, float, float] | None
    person: str
    collection: str
    source: Source
    create_time_us: int = 0


class ShownFace(NamedTuple):
    """A face as it is shown: a tuple, since every search makes dozens, and no dataclass is made as fast."""

    face_id: int
    photo_id: str
    box: tuple[float, float, float, float] | None
    person: str
    collection: str
    store: str
    key: str
