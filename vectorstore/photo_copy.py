"""Photos in the binary form of COPY, made before they have revisions and a time: these are filled in last.

What has one size for all photos comes first, as one structured array; texts and what few photos have come behind it.
"""

import struct
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from runtime.names import MAX_TEXT_CHARACTERS
from vectorstore.copy_binary import HEADER, TRAILER, to_postgres_us
from vectorstore.records import Consent, PhotoRecord

_FIXED: Final = (
    ("photo_id", (np.uint8, (16,))),
    ("gallery_id", ">i8"),
    ("revision", ">i8"),
    ("width", ">i4"),
    ("height", ">i4"),
    ("has_consent", np.bool_),
    ("create_time", ">i8"),
)
PHOTO_COLUMNS: Final = (
    *(name for name, _ in _FIXED),
    "source_store",
    "source_key",
    "sha256",
    "collection",
    "original_filename",
    "person",
    "deletion_token_sha256",
    "policy_version",
    "consent_grant_time",
    "consent_time_to_live",
    "expire_time",
)
_ROW: Final = np.dtype(
    [("column_count", ">i2")] + [field for name, kind in _FIXED for field in ((f"{name}_size", ">i4"), (name, kind))]
)
_NULL: Final = struct.pack(">i", -1)
_NO_CONSENT: Final = 4 * _NULL
_MICROSECOND: Final = timedelta(microseconds=1)
_TIME: Final = struct.Struct(">iq")
# Its size; microseconds, days and months.
_INTERVAL: Final = struct.Struct(">iqii")
# The sizes of texts, in UTF-8.
_SIZES: Final = [struct.pack(">i", size) for size in range(4 * MAX_TEXT_CHARACTERS + 1)]


class PhotoCopy:
    """Photos (n,) of one or more galleries that are to be written."""

    def __init__(self, photos: Sequence[PhotoRecord], gallery_ids: Sequence[int]) -> None:
        rows: npt.NDArray[Any] = np.zeros(len(photos), _ROW)
        rows["column_count"] = len(PHOTO_COLUMNS)
        for name, _ in _FIXED:
            rows[f"{name}_size"] = _ROW[name].itemsize
        ids = b"".join([photo.photo_id.bytes for photo in photos])
        rows["photo_id"] = np.frombuffer(ids, dtype=np.uint8).reshape(-1, 16)
        rows["gallery_id"] = gallery_ids
        rows["width"] = [photo.width for photo in photos]
        rows["height"] = [photo.height for photo in photos]
        rows["has_consent"] = [photo.consent is not None for photo in photos]
        self._rows = rows
        self._ends = [
            _end_of_row(photo, None if photo.consent is None else photo.consent.grant_time) for photo in photos
        ]
        # Whose consent counts from when they are added.
        self._undated = {
            place: photo
            for place, photo in enumerate(photos)
            if photo.consent is not None and photo.consent.grant_time is None
        }

    def content(self, revisions: npt.NDArray[np.int64], create_time: datetime) -> bytes:
        """Returns what COPY photos (PHOTO_COLUMNS) FROM STDIN (FORMAT binary) reads."""
        self._rows["revision"] = revisions
        self._rows["create_time"] = to_postgres_us(create_time)
        for place, photo in self._undated.items():
            self._ends[place] = _end_of_row(photo, create_time)
        beginnings, size = memoryview(self._rows.tobytes()), _ROW.itemsize
        parts: list[bytes | memoryview] = [HEADER]
        for place, end in enumerate(self._ends):
            parts += (beginnings[place * size : (place + 1) * size], end)
        parts.append(TRAILER)
        return b"".join(parts)


def _end_of_row(photo: PhotoRecord, consent_begins: datetime | None) -> bytes:
    values = (
        photo.source.store.encode(),
        photo.source.key.encode(),
        photo.sha256,
        photo.collection.encode(),
        photo.original_filename.encode(),
        photo.person.encode(),
        photo.deletion_token_sha256,
    )
    parts = [part for value in values for part in (_SIZES[len(value)], value)]
    parts.append(_NO_CONSENT if photo.consent is None else _end_with_consent(photo.consent, consent_begins))
    return b"".join(parts)


def _end_with_consent(consent: Consent, begins: datetime | None) -> bytes:
    version = consent.policy_version.encode()
    grant_time, time_to_live = consent.grant_time, consent.time_to_live
    # When the consent runs out.
    expire_time = None if time_to_live is None or begins is None else begins + time_to_live
    return b"".join(
        (
            _SIZES[len(version)],
            version,
            _time(grant_time),
            _NULL if time_to_live is None else _interval(time_to_live),
            _time(expire_time),
        )
    )


def _time(time: datetime | None) -> bytes:
    return _NULL if time is None else _TIME.pack(8, to_postgres_us(time))


def _interval(duration: timedelta) -> bytes:
    rest = timedelta(seconds=duration.seconds, microseconds=duration.microseconds)
    return _INTERVAL.pack(16, rest // _MICROSECOND, duration.days, 0)
