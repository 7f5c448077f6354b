"""Originals in a folder of this machine."""

import asyncio
import contextlib
import errno
import os
import secrets
import stat
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, NoReturn

from gateway.photo_store import KEPT_PREFIX, BadKey, StoredObject, new_key
from runtime.errors import DependencyUnavailable, ImageTooLarge, NotFound, StorageFull

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DRAFT_PREFIX: Final = ".draft-"
_DRAFT_MAX_AGE_S: Final = 3600.0
_LIST_CHUNK: Final = 256
_PIECE_BYTES: Final = 2**20
_OPEN_TRIES: Final = 5


class LocalStore:
    """A PhotoStore under one root folder. Names that begin with a dot are not seen."""

    name = "local"

    def __init__(self, root: Path) -> None:
        (root / KEPT_PREFIX).mkdir(parents=True, exist_ok=True, mode=0o700)
        self._root = root.resolve()
        self._remove_old_drafts()

    async def reserve(self, photo_id: str, gallery: str, suffix: str) -> str:
        """Returns a key that was never returned before."""
        return new_key(photo_id, suffix)

    async def put(self, key: str, data: bytes) -> None:
        """Stores the bytes, durable and whole or not at all; raises StorageFull or DependencyUnavailable."""
        await asyncio.to_thread(self._put, key, data)

    async def get(self, key: str, max_bytes: int) -> bytes:
        """Returns the bytes; raises NotFound, ImageTooLarge or DependencyUnavailable."""
        return await asyncio.to_thread(self._get, key, max_bytes)

    async def stat(self, key: str) -> StoredObject:
        """Returns what is known of an original without its bytes; raises NotFound or DependencyUnavailable."""
        return await asyncio.to_thread(self._stat, key)

    async def read(self, key: str, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Yields the bytes from start to before stop; raises NotFound or DependencyUnavailable."""
        while start < stop:
            piece = await asyncio.to_thread(self._read, key, start, min(start + _PIECE_BYTES, stop))
            if not piece:
                raise DependencyUnavailable(self.name)
            yield piece
            start += len(piece)

    async def delete(self, key: str) -> None:
        """Removes an original of ours; one that is not there is no error. Raises DependencyUnavailable.

        Raises BadKey for the owner's files, also where a link among ours leads to one.
        """
        await asyncio.to_thread(self._delete, key)

    async def list(self, prefix: str) -> AsyncIterator[StoredObject]:
        """Yields what lies in a folder and below it, by name; raises NotFound when there is no such folder."""
        folder = await asyncio.to_thread(self._path, prefix) if prefix else self._root
        if not await asyncio.to_thread(folder.is_dir):
            raise NotFound("folder")
        walk = self._walk(folder)
        while chunk := await asyncio.to_thread(lambda: list(islice(walk, _LIST_CHUNK))):
            for found in chunk:
                yield found

    async def check(self) -> None:
        """Returns when the folder can be written; raises DependencyUnavailable."""
        if not await asyncio.to_thread(os.access, self._root / KEPT_PREFIX, os.W_OK | os.X_OK):
            raise DependencyUnavailable(self.name)

    async def close(self) -> None:
        """Nothing is in progress that would not end by itself."""

    def _path(self, key: str) -> Path:
        """Returns where a key lies; raises BadKey unless that is within the root, symbolic links followed."""
        parts = PurePosixPath(key).parts
        if not parts or "\x00" in key or "\\" in key or key.startswith("/"):
            raise BadKey("the key is no path in the store")
        if any(part == ".." or part.startswith(".") for part in parts):
            raise BadKey("the key leads out of the store")
        try:
            path = self._root.joinpath(*parts).resolve()
        except (OSError, RuntimeError, ValueError) as error:
            raise BadKey("the key is no path in the store") from error
        if not path.is_relative_to(self._root) or path == self._root:
            raise BadKey("the key leads out of the store")
        return path

    def _put(self, key: str, data: bytes) -> None:
        path = self._path(key)
        is_placed = False
        draft = path.with_name(f"{_DRAFT_PREFIX}{secrets.token_hex(8)}")
        try:
            descriptor = _open_draft(draft)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                draft.replace(path)
                is_placed = True
            finally:
                draft.unlink(missing_ok=True)
            _sync_folder(path.parent)
            _sync_folder(path.parent.parent)
        except OSError as error:
            if is_placed:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
            if error.errno in _FULL:
                raise StorageFull("the photo store is full") from error
            raise DependencyUnavailable(self.name) from error

    def _get(self, key: str, max_bytes: int) -> bytes:
        with self._opened(key) as file:
            size = os.fstat(file.fileno()).st_size
            if size > max_bytes:
                raise ImageTooLarge(limit=max_bytes, actual=size, unit="bytes")
            # One byte more tells a file that has grown meanwhile: half a photo is not handed out as a whole one.
            data = file.read(max_bytes + 1)
        if len(data) > max_bytes:
            raise ImageTooLarge(limit=max_bytes, actual=len(data), unit="bytes")
        return data

    def _stat(self, key: str) -> StoredObject:
        with self._opened(key) as file:
            status = os.fstat(file.fileno())
        return StoredObject(key, status.st_size, status.st_mtime)

    def _read(self, key: str, start: int, stop: int) -> bytes:
        with self._opened(key) as file:
            file.seek(start)
            return file.read(stop - start)

    @contextlib.contextmanager
    def _opened(self, key: str) -> Iterator[BinaryIO]:
        """Opens a regular file; what goes wrong with it comes out as NotFound or DependencyUnavailable."""
        path = self._path(key)
        try:
            with open(path, "rb", opener=_open_at_once) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise NotFound("photo")
                yield file
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise NotFound("photo") from error
        except OSError as error:
            raise DependencyUnavailable(self.name) from error

    def _delete(self, key: str) -> None:
        path = self._path(key)
        if not path.is_relative_to(self._root / KEPT_PREFIX):
            raise BadKey("the file is its owner's")
        try:
            path.unlink(missing_ok=True)
            if path.parent.parent == self._root / KEPT_PREFIX:
                with contextlib.suppress(OSError):  # Not empty, or gone already.
                    path.parent.rmdir()
            # A folder that is gone as well is durably gone once the one above it is.
            _sync_folder(next(folder for folder in path.parents if folder.exists()))
        except OSError as error:
            raise DependencyUnavailable(self.name) from error

    def _walk(self, folder: Path) -> Iterator[StoredObject]:
        for parent, folders, names in os.walk(folder, onerror=_fail):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                path = Path(parent, name)
                try:
                    if name.startswith(".") or not path.resolve(strict=True).is_relative_to(self._root):
                        continue
                    status = path.stat()
                except (FileNotFoundError, RuntimeError):
                    continue  # Removed meanwhile, or a link that leads to nothing or in a circle.
                except OSError as error:
                    if error.errno == errno.ELOOP:
                        continue
                    _fail(error)
                if stat.S_ISREG(status.st_mode):
                    yield StoredObject(path.relative_to(self._root).as_posix(), status.st_size, status.st_mtime)

    def _remove_old_drafts(self) -> None:
        """Removes what a process left behind that died while it wrote."""
        for draft in (self._root / KEPT_PREFIX).rglob(f"{_DRAFT_PREFIX}*"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - draft.stat().st_mtime > _DRAFT_MAX_AGE_S:
                    draft.unlink()


def _open_draft(draft: Path) -> int:
    """Opens a new file; the folder may be removed as empty, by a deletion, between its making and its use."""
    for _ in range(_OPEN_TRIES):
        draft.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileNotFoundError):
            return os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    raise FileNotFoundError(errno.ENOENT, "the folder keeps vanishing")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open_at_once(path: str, flags: int) -> int:
    """A pipe that nobody writes to is opened without waiting, and known for what it is before it is read."""
    return os.open(path, flags | os.O_NONBLOCK)


def _fail(error: OSError) -> NoReturn:
    """A folder that cannot be read makes a listing partial, and a partial listing must not pass for a whole one."""
    raise DependencyUnavailable(LocalStore.name) from error
