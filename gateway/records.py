"""What the peers tell the gateway. Faces and matches are carried as they came, for the caller."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from twin.face.v1 import face_pb2
from twin.vectorstore.v1 import vectorstore_pb2

from gateway.orders import Consent, FaceSelection


@dataclass(frozen=True, slots=True)
class Source:
    """Where an original is kept: the store's name and its own key."""

    store: str
    key: str


class ExternalAction(enum.IntEnum):
    """What the audit log is told of, since it is done outside the vector store; the wire's numbers."""

    RECONCILE = vectorstore_pb2.EXTERNAL_ACTION_RECONCILE
    IMPORT_PHOTOS = vectorstore_pb2.EXTERNAL_ACTION_IMPORT_PHOTOS


@dataclass(frozen=True, slots=True)
class FacePlace:
    """Where a face sits in the upright photo, pixels: box (left, top, width, height), eyes ((x, y), (x, y))."""

    face_id: int
    box: tuple[float, float, float, float]
    eyes: tuple[tuple[float, float], tuple[float, float]] | None


@dataclass(frozen=True, slots=True)
class StoredPhoto:
    """One photo of the vector store."""

    photo_id: str
    source: Source
    sha256: bytes
    places: tuple[FacePlace, ...]
    faces: tuple[face_pb2.Face, ...]


@dataclass(frozen=True, slots=True)
class ListedPhoto:
    """One photo of a list of many. create_time_s is seconds since 1970."""

    photo_id: str
    source: Source
    create_time_s: float


@dataclass(frozen=True, slots=True)
class NewPhoto:
    """A photo to enrol: its bytes as they were given, and what is to be known of it."""

    gallery: str
    photo_id: str
    source: Source
    image: bytes
    sha256: bytes
    faces: FaceSelection
    # Upright, pixels; 0 when not known.
    width: int = 0
    height: int = 0
    collection: str = ""
    original_filename: str = ""
    person: str = ""
    persons: Mapping[int, str] = field(default_factory=dict)
    consent: Consent | None = None
    deletion_token_sha256: bytes = b""
    # Refuses it when all of its faces are in the gallery already.
    refuse_duplicate: bool = False


@dataclass(frozen=True, slots=True)
class HeldPhoto:
    """All that is held about a photo but its original. record: as JSON takes it; policy_version: "" without consent."""

    source: Source
    create_time: datetime
    policy_version: str
    record: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Removal:
    """A deleted photo whose original still has to go. deletion_id: which deletion, where there was more than one."""

    photo_id: str
    source: Source
    deletion_id: int


@dataclass(frozen=True, slots=True)
class Reservation:
    """An original that was about to be stored, and that no photo names."""

    reservation_id: int
    photo_id: str
    source: Source


@dataclass(frozen=True, slots=True)
class Deletion:
    """What a deletion did."""

    source: Source
    face_count: int
    original_removed: bool
    deletion_id: int


@dataclass(frozen=True, slots=True)
class Gallery:
    """A gallery and its size. create_time_s is seconds since 1970."""

    name: str
    model_id: str
    photo_count: int
    face_count: int
    create_time_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a model's cosines mean; see twin.face.v1.Calibration."""

    same_person_similarity: float
    duplicate_similarity: float
    percent_slope: float
    percent_midpoint: float


@dataclass(frozen=True, slots=True)
class Model:
    """The embedder's model."""

    pack: str
    model_id: str
    dimension: int
    calibration: Calibration


@dataclass(frozen=True, slots=True)
class Embedding:
    """One face as a vector: (dimension,) float32 of unit length, with its wire form."""

    vector: npt.NDArray[np.float32]
    wire: face_pb2.Embedding


@dataclass(frozen=True, slots=True)
class FoundFace:
    """One face of a photo. wire has no embedding; embedding is None for a face that was not chosen."""

    index: int
    wire: face_pb2.Face
    embedding: Embedding | None


@dataclass(frozen=True, slots=True)
class Analysis:
    """The faces of a photo, and its upright size in pixels."""

    faces: tuple[FoundFace, ...]
    width: int
    height: int

    @property
    def embedded(self) -> tuple[FoundFace, ...]:
        """The chosen faces."""
        return tuple(face for face in self.faces if face.embedding is not None)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What was found for one face: matches best first, and photos taken to be of the same person."""

    matches: tuple[vectorstore_pb2.Match, ...]
    yourself: tuple[vectorstore_pb2.Match, ...]
