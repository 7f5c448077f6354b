"""Pictures made on demand, kept on disk up to a size; the least lately used goes first."""

import contextlib
import os
import secrets
import shutil
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Final

from gateway.metrics import CACHE_BYTES

_PURGED_MEMORY: Final = 100_000


class PhotoCache:
    """A folder of pictures, one folder a photo, used by one process; its methods block, from whatever thread."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        # By "<photo_id>/<name>", the least lately used first.
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._total_bytes = 0
        self._lock = threading.RLock()
        # Photos whose pictures may still be in the making when they are deleted; these must not come back.
        self._purged: OrderedDict[str, None] = OrderedDict()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._find()

    @property
    def total_bytes(self) -> int:
        """What the pictures take, in bytes."""
        return self._total_bytes

    def get(self, photo_id: str, name: str) -> bytes | None:
        """Returns a picture, or None when it is not there."""
        key = f"{photo_id}/{name}"
        with self._lock:
            if key not in self._sizes:
                return None
            try:
                data = (self._folder / key).read_bytes()
            except OSError:
                self._forget(key)
                return None
            self._sizes.move_to_end(key)
            return data

    def put(self, photo_id: str, name: str, data: bytes) -> None:
        """Keeps a picture, unless its photo was deleted or it would fill the cache alone."""
        with self._lock:
            if photo_id in self._purged or len(data) > self._max_bytes // 4:
                return
            key = f"{photo_id}/{name}"
            path = self._folder / key
            draft = path.with_name(f".{secrets.token_hex(8)}")
            try:
                path.parent.mkdir(exist_ok=True, mode=0o700)
                draft.write_bytes(data)
                draft.replace(path)
            except OSError:
                # A cache that cannot be written, on a full disk say, only costs time.
                draft.unlink(missing_ok=True)
                return
            self._forget(key)
            self._sizes[key] = len(data)
            self._total_bytes += len(data)
            while self._total_bytes > self._max_bytes:
                self._remove(next(iter(self._sizes)))
            CACHE_BYTES.set(self._total_bytes)

    def purge(self, photo_id: str) -> None:
        """Removes every picture of a photo, and lets none come back."""
        with self._lock:
            self._purged[photo_id] = None
            while len(self._purged) > _PURGED_MEMORY:
                self._purged.popitem(last=False)
            folder = self._folder / photo_id
            if not folder.is_dir():
                return
            for path in list(folder.iterdir()):
                self._forget(f"{photo_id}/{path.name}")
            shutil.rmtree(folder, ignore_errors=True)
            CACHE_BYTES.set(self._total_bytes)

    def _find(self) -> None:
        """Takes over what an earlier process left, the oldest first, and removes what it had not finished."""
        found: list[tuple[float, str, int]] = []
        for parent, _, names in os.walk(self._folder):
            for name in names:
                path = Path(parent, name)
                if name.startswith("."):
                    path.unlink(missing_ok=True)
                    continue
                status = path.stat()
                found.append((status.st_mtime, path.relative_to(self._folder).as_posix(), status.st_size))
        for _, key, size in sorted(found):
            self._sizes[key] = size
            self._total_bytes += size
        while self._total_bytes > self._max_bytes:
            self._remove(next(iter(self._sizes)))
        CACHE_BYTES.set(self._total_bytes)

    def _forget(self, key: str) -> None:
        self._total_bytes -= self._sizes.pop(key, 0)

    def _remove(self, key: str) -> None:
        self._forget(key)
        path = self._folder / key
        # What somebody else has cleaned away, or holds fast, is no reason not to show a picture.
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
            path.parent.rmdir()
