"""The files of the emulated Drive, and what happened to them."""

import hashlib
import itertools
import secrets
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol

FOLDER_TYPE: Final = "application/vnd.google-apps.folder"
# The account's own drive; Drive shows its id instead, and takes this name for it.
ROOT: Final = "root"
_BLOCK_BYTES: Final = 2**20


class Content(Protocol):
    """A file's bytes."""

    size: int
    md5: str

    def read(self, start: int, stop: int) -> bytes: ...


class Held:
    """Bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)
        self.md5 = hashlib.md5(data).hexdigest()

    def read(self, start: int, stop: int) -> bytes:
        return self._data[start:stop]


class Repeated:
    """A large file that takes no room: one block of noise over and over."""

    def __init__(self, size: int, seed: bytes = b"noise") -> None:
        self.size = size
        self._block = hashlib.shake_128(seed).digest(_BLOCK_BYTES)
        digest = hashlib.md5()
        for start in range(0, size, _BLOCK_BYTES):
            digest.update(self._block[: min(_BLOCK_BYTES, size - start)])
        self.md5 = digest.hexdigest()

    def read(self, start: int, stop: int) -> bytes:
        stop = min(stop, self.size)
        first = start // _BLOCK_BYTES
        blocks = self._block * (-(-stop // _BLOCK_BYTES) - first)
        return blocks[start - first * _BLOCK_BYTES : stop - first * _BLOCK_BYTES]


@dataclass(slots=True)
class DriveFile:
    """One file or folder."""

    id: str
    name: str
    mime_type: str
    parents: list[str]
    by_application: bool
    drive_id: str | None = None
    app_properties: dict[str, str] = field(default_factory=dict)
    trashed: bool = False
    content: Content | None = None
    created: str = field(default_factory=lambda: now())
    modified: str = field(default_factory=lambda: now())

    def metadata(self) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "kind": "drive#file",
            "id": self.id,
            "name": self.name,
            "mimeType": self.mime_type,
            "parents": self.parents,
            "appProperties": self.app_properties,
            "trashed": self.trashed,
            "createdTime": self.created,
            "modifiedTime": self.modified,
        }
        if self.drive_id is not None:
            shown["driveId"] = self.drive_id
        if self.content is not None:
            shown |= {"size": str(self.content.size), "md5Checksum": self.content.md5}
        return shown


class Drive:
    """Everything that one account sees; threads may share it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.files: dict[str, DriveFile] = {}
        self.reserved: set[str] = set()
        self.shared_drives: set[str] = set()
        self.changes: list[dict[str, Any]] = []
        self.email = "owner@example.com"
        self.quota_bytes = 15 * 2**30
        # What a listing leaves out for reasons of its own, saying so.
        self.incomplete = False
        self._numbers = itertools.count()

    def new_id(self) -> str:
        with self.lock:
            made = f"1{next(self._numbers):06d}{secrets.token_urlsafe(18)}"
            self.reserved.add(made)
            return made

    def add(self, file: DriveFile) -> DriveFile:
        with self.lock:
            self.files[file.id] = file
            self.note(file.id)
            return file

    def note(self, file_id: str) -> None:
        file = self.files.get(file_id)
        change: dict[str, Any] = {
            "kind": "drive#change",
            "changeType": "file",
            "fileId": file_id,
            "time": now(),
            "removed": file is None,
        }
        if file is not None:
            change["file"] = file.metadata()
        self.changes.append(change)

    def owner_folder(self, name: str, parent: str = ROOT, *, drive_id: str | None = None) -> str:
        """Makes a folder as the owner does; returns its id."""
        return self.add(DriveFile(self.new_id(), name, FOLDER_TYPE, [parent], False, drive_id)).id

    def owner_file(self, name: str, data: bytes | Content, parent: str = ROOT) -> str:
        """Puts a file there as the owner does; returns its id."""
        content = Held(data) if isinstance(data, bytes) else data
        return self.add(DriveFile(self.new_id(), name, "image/jpeg", [parent], False, content=content)).id

    def photos(self) -> list[DriveFile]:
        """What the application uploaded, folders left out."""
        with self.lock:
            return [file for file in self.files.values() if file.by_application and file.content is not None]

    def folders(self) -> list[DriveFile]:
        """The application's own folders."""
        with self.lock:
            return [file for file in self.files.values() if file.by_application and file.content is None]

    def used_bytes(self) -> int:
        return sum(file.content.size for file in self.files.values() if file.content is not None)


def now() -> str:
    """Returns the time as Drive writes it."""
    return datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
