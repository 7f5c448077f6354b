"""What imports know: their runs, the files that were found, and what became of them."""

from dataclasses import dataclass
from typing import Final

from gateway.orders import ImportOrder

ADDED: Final = "added"
UNCHANGED: Final = "unchanged"
FAILED: Final = "failed"


@dataclass(frozen=True, slots=True)
class ImportRun:
    """One run of an import. change_token: from where it follows the store's changes; None: it looks at every file."""

    import_id: int
    run: int
    order: ImportOrder
    change_token: str | None


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A photo that was found. fingerprint: the same for the same content, known without reading it."""

    key: str
    path: str
    size_bytes: int
    fingerprint: str
    person: str = ""
    collection: str = ""


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A photo that is to be imported. photo_id: what this content became before, if that is known.

    was_enrolling: an earlier attempt of this run was about to enrol it.
    """

    listed: ListedFile
    photo_id: str | None
    was_enrolling: bool
    attempt_count: int


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a file. error: a serialised google.rpc.Status for one that failed."""

    key: str
    outcome: str
    photo_id: str | None = None
    error: bytes | None = None


@dataclass(frozen=True, slots=True)
class FailedFile:
    """A file that was not imported, and its place among the run's failures."""

    number: int
    path: str
    error: bytes


@dataclass(frozen=True, slots=True)
class RunState:
    """How far a run is. is_over: it is finished, by whichever gateway."""

    seen_count: int
    added_count: int
    unchanged_count: int
    failed_count: int
    is_walked: bool
    is_over: bool
    failures: tuple[FailedFile, ...]
