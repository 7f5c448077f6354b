"""Importing a folder of the photo store: its photos are enrolled where they lie, and stay their owner's.

A photo's id follows from the gallery and its content, so that an import that is called again finds what it did before.
"""

import asyncio
import hashlib
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Container
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from gateway.admission import Admission
from gateway.deadlines import TimeLeft
from gateway.embedder_client import DEPENDENCY, Embedder
from gateway.orders import FaceSelection, ImportOrder
from gateway.photo_store import KEPT_PREFIX, BadKey, PhotoStore, StoredObject
from gateway.records import NewPhoto, Source, StoredPhoto
from gateway.vectorstore_client import VectorStore
from runtime.errors import DependencyUnavailable, DuplicatePhoto, InvalidField, PeerError, TwinError
from runtime.status import error_info

SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp"})
PROGRESS_INTERVAL_S: Final = 0.5
MAX_IMPORTS: Final = 2
# Photos on their way to the embedder: their bytes are in memory.
_MAX_IN_PROGRESS: Final = 8
# However long a caller did not listen, one message has to stay within what gRPC carries.
_MAX_FAILURES_EACH: Final = 1000
# Any fixed value would do; it must never change, or every import would start anew.
_ID_SPACE: Final = uuid.UUID("7a0f5f0e-6a0c-5d1b-9c55-2f6a4a0f3c11")


@dataclass(frozen=True, slots=True)
class Failure:
    """A photo that was not added. name is its path in the store."""

    name: str
    error: TwinError


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import is; failures are those since the last time."""

    seen_count: int
    added_count: int
    unchanged_count: int
    failed_count: int
    failures: tuple[Failure, ...]


@dataclass(slots=True)
class _Tally:
    seen: int = 0
    added: int = 0
    unchanged: int = 0
    failed: int = 0
    failures: list[Failure] = field(default_factory=list)

    def fail(self, name: str, error: TwinError) -> None:
        self.failed += 1
        self.failures.append(Failure(name, error))

    def count(self, name: str, outcome: StoredPhoto | PeerError) -> None:
        if not isinstance(outcome, PeerError):
            self.added += 1
        elif _is_duplicate(outcome):
            self.unchanged += 1
        else:
            self.fail(name, outcome)

    def take(self) -> Progress:
        failures, self.failures = tuple(self.failures[:_MAX_FAILURES_EACH]), self.failures[_MAX_FAILURES_EACH:]
        return Progress(self.seen, self.added, self.unchanged, self.failed, failures)


class Importer:
    """Imports folders, few at a time."""

    def __init__(
        self,
        embedder: Embedder,
        vectors: VectorStore,
        store: PhotoStore,
        *,
        max_image_bytes: int,
        store_timeout_s: float,
        import_timeout_s: float,
    ) -> None:
        self._embedder = embedder
        self._vectors = vectors
        self._store = store
        self._max_image_bytes = max_image_bytes
        self._store_timeout_s = store_timeout_s
        self._import_timeout_s = import_timeout_s
        self._admission = Admission(MAX_IMPORTS)

    async def import_folder(self, order: ImportOrder, time_left: TimeLeft) -> AsyncGenerator[Progress, None]:
        """Imports a folder and yields its progress at least once a second, the last time when it is done.

        Raises InvalidField for a folder that leads out of the store, NotFound, Overloaded, and a peer's failure that
        concerns more than one photo.
        """
        if f"{order.folder.strip('/')}/".startswith(KEPT_PREFIX):
            raise InvalidField("folder", "holds the originals that were uploaded; they are in their galleries already")
        with self._admission.enter():
            tally = _Tally()
            work = asyncio.create_task(self._run(order, time_left, tally), name="import")
            try:
                while not work.done():
                    await asyncio.wait({work}, timeout=PROGRESS_INTERVAL_S)
                    if not work.done():
                        yield tally.take()
                try:
                    await work
                except BadKey as error:
                    raise InvalidField("folder", "leads out of the photo store") from error
                yield tally.take()
                while tally.failures:
                    yield tally.take()
            finally:
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)

    async def _run(self, order: ImportOrder, time_left: TimeLeft, tally: _Tally) -> None:
        # What is in the queue or with the embedder is in in_progress too, and counted by free.
        queue: asyncio.Queue[NewPhoto | None] = asyncio.Queue()
        in_progress: dict[str, str] = {}
        free = asyncio.Semaphore(_MAX_IN_PROGRESS)

        async def produce() -> None:
            try:
                async for photo in self._unknown_photos(order, time_left, tally, in_progress):
                    await free.acquire()
                    in_progress[photo.photo_id] = photo.source.key
                    queue.put_nowait(photo)
            finally:
                # The end of the requests, however it comes: a call that has failed still waits for it.
                queue.put_nowait(None)

        async def requests() -> AsyncIterator[NewPhoto]:
            while (photo := await queue.get()) is not None:
                yield photo

        producer = asyncio.create_task(produce(), name="import-reader")
        try:
            answers = self._embedder.enroll_many(requests(), time_left(self._import_timeout_s))
            async with aclosing(answers):
                async for photo_id, outcome in answers:
                    name = in_progress.pop(photo_id, None)
                    if name is None:
                        continue  # Answered twice, or never asked for.
                    free.release()
                    tally.count(name, outcome)
            if producer.done():
                await producer
            if in_progress or not producer.done():
                raise DependencyUnavailable(DEPENDENCY)  # The stream ended without the answers that it owes.
        finally:
            producer.cancel()
            await asyncio.gather(producer, return_exceptions=True)

    async def _unknown_photos(
        self, order: ImportOrder, time_left: TimeLeft, tally: _Tally, in_progress: Container[str]
    ) -> AsyncIterator[NewPhoto]:
        """Yields what the gallery does not have yet."""
        async for found in self._photos_in(order.folder):
            tally.seen += 1
            try:
                photo = await self._read(found, order)
            except TwinError as error:
                # A file that is too large, cannot be read or has vanished meanwhile stops none of the others.
                tally.fail(_printable(found.key), error)
                continue
            if photo.photo_id in in_progress or await self._is_known(photo, time_left):
                tally.unchanged += 1
            else:
                yield photo

    async def _photos_in(self, folder: str) -> AsyncIterator[StoredObject]:
        async for found in self._store.list(folder):
            is_photo = PurePosixPath(found.key).suffix.lower() in SUFFIXES
            if is_photo and not found.key.startswith(KEPT_PREFIX):
                yield found

    async def _read(self, found: StoredObject, order: ImportOrder) -> NewPhoto:
        if _printable(found.key) != found.key:
            raise InvalidField("folder", "the file's name is no UTF-8 text")
        try:
            image = await self._store.get(found.key, self._max_image_bytes)
        except BadKey as error:
            raise InvalidField("folder", "the file's name is none that the store takes") from error
        sha256 = await asyncio.to_thread(lambda: hashlib.sha256(image).digest())
        return NewPhoto(
            gallery=order.gallery,
            photo_id=str(uuid.uuid5(_ID_SPACE, f"{order.gallery}\n{sha256.hex()}")),
            source=Source(self._store.name, found.key),
            image=image,
            sha256=sha256,
            faces=FaceSelection(all_faces=order.all_faces, alone=not order.all_faces),
            collection=order.collection,
            original_filename=PurePosixPath(found.key).name,
        )

    async def _is_known(self, photo: NewPhoto, time_left: TimeLeft) -> bool:
        return await self._vectors.find_photo(photo.photo_id, time_left(self._store_timeout_s)) is not None


def _is_duplicate(error: PeerError) -> bool:
    info = error_info(error.status)
    return info is not None and info.reason == DuplicatePhoto.reason


def _printable(key: str) -> str:
    return key.encode("utf-8", "replace").decode()
