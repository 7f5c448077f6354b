"""What the vector store keeps, as plain values; protobuf messages are turned into these at the boundary.

What is made for each photo and face that is added is a named tuple: a frozen dataclass takes two to four times as long.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from runtime.vectors import Vector


class Source(NamedTuple):
    """Where a photo's original is kept: a store's name and that store's own key."""

    store: str
    key: str


@dataclass(frozen=True, slots=True)
class Consent:
    """What the person in the photo agreed to; kept until withdrawn when ``time_to_live`` is None."""

    policy_version: str
    grant_time: datetime | None
    time_to_live: timedelta | None


class Quality(NamedTuple):
    """How usable a face is: (score, sharpness, brightness, yaw and roll in degrees, size in pixels), failed checks."""

    measures: tuple[float, float, float, float, float, float]
    issues: tuple[int, ...]


class FaceRecord(NamedTuple):
    """One face of a photo.

    box: (left, top, width, height) in pixels of the upright image. landmarks: five points as x, y pairs in the order
    of twin.face.v1.Landmarks. embedding: (dimension,) float32 of unit length; None in answers. face_id: 0 until stored.
    """

    face_id: int
    face_index: int
    box: tuple[float, float, float, float] | None
    landmarks: tuple[float, ...] | None
    detection_score: float
    quality: Quality | None
    primary: bool
    person: str
    embedding: Vector | None = None


class PhotoRecord(NamedTuple):
    """One original with its faces. create_time is None and revision 0 until stored."""

    photo_id: uuid.UUID
    source: Source
    sha256: bytes
    width: int
    height: int
    collection: str
    original_filename: str
    person: str
    consent: Consent | None
    deletion_token_sha256: bytes
    faces: Sequence[FaceRecord]
    create_time: datetime | None = None
    revision: int = 0

    def stored(self, as_stored: "StoredPhoto") -> "PhotoRecord":
        """Returns this photo as it was stored: with what the store gave it, and without embeddings."""
        faces = tuple(
            face._replace(face_id=face_id, embedding=None)
            for face, face_id in zip(self.faces, as_stored.face_ids, strict=True)
        )
        return self._replace(faces=faces, create_time=as_stored.create_time, revision=as_stored.revision)


class StoredPhoto(NamedTuple):
    """What the store gave a photo that it keeps: face_ids in the order of the photo's faces.

    photo: the photo as stored, without embeddings; None where nobody asked for it.
    """

    photo_id: uuid.UUID
    revision: int
    create_time: datetime | None
    face_ids: Sequence[int]
    photo: PhotoRecord | None = None


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a model's cosines mean; see twin.face.v1.Calibration."""

    same_person_similarity: float
    duplicate_similarity: float
    percent_slope: float
    percent_midpoint: float


# For a gallery whose maker gave none: faces of two different people reach a cosine of 0.55 with small networks, so only
# more than that is taken to be one person.
CAUTIOUS_CALIBRATION = Calibration(
    same_person_similarity=0.6, duplicate_similarity=0.95, percent_slope=12.0, percent_midpoint=0.4
)


@dataclass(frozen=True, slots=True)
class GalleryRecord:
    """A set of photos searched together, all of one model."""

    gallery_id: int
    name: str
    model_id: str
    dimension: int
    calibration: Calibration
    create_time: datetime
    photo_count: int = 0
    face_count: int = 0


@dataclass(frozen=True, slots=True)
class DeletionRecord:
    """A photo that was deleted, and whether its original is gone from its store too."""

    photo_id: uuid.UUID
    source: Source
    face_count: int
    revision: int
    original_removed: bool
    delete_time: datetime
    # Names the deletion: an id that was deleted may be added anew and deleted again.
    deletion_id: int
