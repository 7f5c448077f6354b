"""Where originals are kept: what every store can do, and how keys tell ours from the owner's."""

import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from gateway.records import Source

# Originals that the gateway put there, and removes. Everything else in a store is its owner's: served, never removed.
KEPT_PREFIX: Final = "kept/"
_ID_CHARACTERS: Final = 36
_CONTENT_TYPES: Final = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}


class BadKey(ValueError):
    """The key names nothing that can be in the store."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One original in a store. modify_time_s is seconds since 1970.

    path: its place in the folder that was listed, names divided by "/", where the key is not that itself; md5: of its
    bytes, in hexadecimal, where the store knows it without reading them.
    """

    key: str
    size_bytes: int
    modify_time_s: float
    path: str = ""
    md5: str = ""


class PhotoStore(Protocol):
    """Keeps originals under keys: "/"-divided paths. Methods raise BadKey for a key that leads out of the store.

    A call that is cancelled ends soon, and may have done its work.
    """

    # What PhotoSource.store says.
    name: str

    async def reserve(self, photo_id: str, gallery: str, suffix: str) -> str:
        """Returns the key that an original of ours is to be put under: new each time; raises DependencyUnavailable.

        A put that is repeated with it makes no second original.
        """

    async def put(self, key: str, data: bytes) -> None:
        """Stores the bytes under a reserved key, durable; raises StorageFull or DependencyUnavailable.

        After DependencyUnavailable, or a cancellation, they may be stored all the same.
        """

    async def get(self, key: str, max_bytes: int) -> bytes:
        """Returns the bytes; raises NotFound, ImageTooLarge or DependencyUnavailable."""

    async def stat(self, key: str) -> StoredObject:
        """Returns what is known of an original without its bytes; raises NotFound or DependencyUnavailable."""

    def read(self, key: str, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Yields the bytes from start to before stop, in pieces that are small whatever the original's size.

        Raises NotFound or DependencyUnavailable, also where fewer bytes are there.
        """

    async def delete(self, key: str) -> None:
        """Removes an original of ours; one that is not there is no error.

        Raises BadKey for the owner's files, and DependencyUnavailable.
        """

    def list(self, prefix: str) -> AsyncIterator[StoredObject]:
        """Yields what lies in a folder and below it ("" for everything); raises NotFound for no such folder.

        A listing that may lack something fails with DependencyUnavailable instead.
        """

    async def check(self) -> None:
        """Returns when the store can be used; raises StorageFull or DependencyUnavailable, which say what is wrong."""

    async def close(self) -> None:
        """Ends what is in progress."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A piece of what changed. next_token: where to go on the next time, once this is dealt with.

    found: files that are new or other than they were; gone: keys of files that are there no more; has_moved: folders
    changed too, and what is in them is to be looked through.
    """

    found: tuple[StoredObject, ...]
    gone: tuple[str, ...]
    has_moved: bool
    next_token: str


@runtime_checkable
class TellsChanges(Protocol):
    """A store that tells what has changed since a token was given."""

    async def start_token(self, folder: str) -> str:
        """Returns where a folder's changes from now on begin; raises BadKey, NotFound or DependencyUnavailable."""

    def changed(self, folder: str, token: str) -> AsyncGenerator[Changed, None]:
        """Yields what changed in a folder, to the end; raises BadKey, NotFound or DependencyUnavailable."""


def new_key(photo_id: str, suffix: str) -> str:
    """Returns a key for an original of ours: never the same twice, so that no attempt touches another's bytes."""
    return f"{KEPT_PREFIX}{photo_id[:2]}/{photo_id}-{uuid.uuid4().hex[:12]}.{suffix}"


def photo_id_of(key: str) -> str | None:
    """Returns the photo that a key of ours was made for, in whichever store, or None for a key that names no photo."""
    text = key.rpartition("/")[2][:_ID_CHARACTERS]
    try:
        return text if key.startswith(KEPT_PREFIX) and str(uuid.UUID(text)) == text else None
    except ValueError:
        return None


def content_type_for(suffix: str) -> str:
    """Returns what an original of ours is, by its key's suffix, which says what was made."""
    return _CONTENT_TYPES.get(suffix, "application/octet-stream")


def is_kept(source: Source) -> bool:
    """True for an original that the gateway put there; False for the owner's own files."""
    return source.key.startswith(KEPT_PREFIX)
