"""What callers ask for, checked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Consent:
    """What the user agreed to: the text's version, and for how long (until withdrawn when None)."""

    policy_version: str
    time_to_live: timedelta | None


@dataclass(frozen=True, slots=True)
class FaceSelection:
    """Which faces of a photo are meant: one by its index, else all, else the primary one.

    alone: nobody asks about the other faces, and they need not be found.
    """

    all_faces: bool = False
    alone: bool = False
    face_index: int | None = None


@dataclass(frozen=True, slots=True)
class SearchOrder:
    """A photo and what to look for. mode is the wire's number of a MatchMode."""

    gallery: str
    image: bytes
    faces: FaceSelection
    limit: int
    mode: int
    min_similarity: float | None
    consent: Consent | None
    original_filename: str


@dataclass(frozen=True, slots=True)
class KeepOrder:
    """A photo to keep. photo_id and deletion_token are None unless the caller chose them."""

    gallery: str
    image: bytes
    faces: FaceSelection
    photo_id: str | None = None
    deletion_token: str | None = None
    consent: Consent | None = None
    original_filename: str = ""
    person: str = ""
    collection: str = ""
    persons: Mapping[int, str] = field(default_factory=dict)
    # Though all of its faces are in the gallery already.
    keep_duplicate: bool = False


@dataclass(frozen=True, slots=True)
class CompareOrder:
    """Two photos, each with the face to use."""

    first_image: bytes
    first_faces: FaceSelection
    second_image: bytes
    second_faces: FaceSelection


@dataclass(frozen=True, slots=True)
class ImportOrder:
    """A folder of the photo store, relative to its root ("" for all of it). store: its name, "" for whichever it is."""

    gallery: str
    folder: str
    collection: str
    all_faces: bool
    store: str = ""


@dataclass(frozen=True, slots=True)
class ReconcileOrder:
    """Whether to remove orphans, and how many at most."""

    apply: bool
    max_removals: int
