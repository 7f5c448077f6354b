"""Pictures of stored photos, as they are shown: made on demand, remembered on disk."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final

from gateway.metrics import RENDITIONS
from gateway.photo_cache import PhotoCache
from gateway.photo_store import BadKey, PhotoStore, content_type_for, is_kept
from gateway.pixels import content_type_of, crop_face, rebuild, shrink
from gateway.records import FacePlace, StoredPhoto
from runtime.errors import NotFound, Overloaded
from runtime.images.decode import ImageLimits, decode

THUMB_PX: Final = 320
LARGE_PX: Final = 1600
_FACE_PX: Final = {"thumb": 256, "large": 640, "original": 1024}
_MAX_IN_PROGRESS: Final = 64
# Originals of ours may be larger than the upload was; the owner's files are taken as they are.
_MAX_ORIGINAL_BYTES: Final = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Rendition:
    """A picture, ready to send; tag changes when its bytes do."""

    data: bytes
    content_type: str
    tag: str

    @property
    def size_bytes(self) -> int:
        """How long it is."""
        return len(self.data)

    async def read(self, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Yields the bytes from start to before stop."""
        yield self.data[start:stop]


@dataclass(frozen=True, slots=True)
class StoredOriginal:
    """An original of ours, which is sent as it lies in its store: a piece at a time, however large it is."""

    store: PhotoStore
    key: str
    size_bytes: int
    content_type: str
    tag: str

    def read(self, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Yields the bytes from start to before stop; raises NotFound or DependencyUnavailable."""
        return self.store.read(self.key, start, stop)


class Renditions:
    """Makes pictures in threads, each once however many ask for it."""

    def __init__(
        self, store: PhotoStore, cache: PhotoCache, threads: Executor, *, max_pixels: int, max_png_bytes: int
    ) -> None:
        self._store = store
        self._cache = cache
        self._limits = ImageLimits(_MAX_ORIGINAL_BYTES, max_pixels)
        self._max_png_bytes = max_png_bytes
        self._threads = threads
        self._in_progress: dict[str, asyncio.Task[bytes]] = {}

    async def get(self, photo: StoredPhoto, size: str, face: FacePlace | None = None) -> Rendition | StoredOriginal:
        """Returns a photo, or one face of it, in a size of photo_urls.SIZES.

        Raises NotFound when the original is gone, is in another store, or was changed by its owner;
        UnreadableImage, Overloaded, DependencyUnavailable.
        """
        if photo.source.store != self._store.name:
            raise NotFound("photo")
        # The key is in the name: a photo that was deleted and added anew is another picture.
        what = f"{photo.source.key}\n{size}\n{face}"
        name = hashlib.sha256(what.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        if face is None and size == "original" and is_kept(photo.source):
            return await self._as_stored(photo.source.key, name)
        data = await self._cached(photo, size, face, name)
        return Rendition(data, content_type_of(data), name)

    async def purge(self, photo_id: str) -> None:
        """Forgets every picture of a deleted photo."""
        await asyncio.to_thread(self._cache.purge, photo_id)

    async def close(self) -> None:
        """Ends what is in progress."""
        for task in self._in_progress.values():
            task.cancel()
        await asyncio.gather(*self._in_progress.values(), return_exceptions=True)

    async def _cached(self, photo: StoredPhoto, size: str, face: FacePlace | None, name: str) -> bytes:
        data = await asyncio.get_running_loop().run_in_executor(None, self._cache.get, photo.photo_id, name)
        RENDITIONS.labels("no" if data is None else "yes").inc()
        if data is not None:
            return data
        key = f"{photo.photo_id}/{name}"
        task = self._in_progress.get(key)
        if task is None:
            if len(self._in_progress) >= _MAX_IN_PROGRESS:
                raise Overloaded
            task = asyncio.create_task(self._make(photo, size, face, name), name="picture")
            self._in_progress[key] = task
            task.add_done_callback(lambda done: self._finish(key, done))
        # One caller's leaving is no reason for the others to wait in vain.
        return await asyncio.shield(task)

    def _finish(self, key: str, task: asyncio.Task[bytes]) -> None:
        self._in_progress.pop(key, None)
        if not task.cancelled():
            task.exception()  # Every caller may have left before the failure that they would have heard of.

    async def _make(self, photo: StoredPhoto, size: str, face: FacePlace | None, name: str) -> bytes:
        original = await self._original(photo)
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, self._make_and_remember, original, photo.photo_id, size, face, name
        )

    def _make_and_remember(self, original: bytes, photo_id: str, size: str, face: FacePlace | None, name: str) -> bytes:
        data = self._render(original, size, face)
        self._cache.put(photo_id, name, data)
        return data

    def _render(self, original: bytes, size: str, face: FacePlace | None) -> bytes:
        if face is None and size == "original":
            return rebuild(original, self._limits, self._max_png_bytes).data
        image = decode(original, self._limits)
        if face is not None:
            return crop_face(image, face.box, face.eyes, _FACE_PX[size])
        return shrink(image, THUMB_PX if size == "thumb" else LARGE_PX)

    async def _as_stored(self, key: str, tag: str) -> StoredOriginal:
        try:
            size_bytes = (await self._store.stat(key)).size_bytes
        except BadKey as error:
            raise NotFound("photo") from error
        return StoredOriginal(self._store, key, size_bytes, content_type_for(key.rpartition(".")[2]), tag)

    async def _original(self, photo: StoredPhoto) -> bytes:
        try:
            data = await self._store.get(photo.source.key, _MAX_ORIGINAL_BYTES)
        except BadKey as error:
            raise NotFound("photo") from error
        if not is_kept(photo.source) and photo.sha256 != await asyncio.to_thread(_sha256, data):
            # The owner has put another picture there since, of somebody else perhaps: not the one that was found.
            raise NotFound("photo")
        return data


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
