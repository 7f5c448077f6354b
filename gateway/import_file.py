"""Importing one photo of a store: known already, or read and enrolled where it lies."""

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import PurePosixPath
from typing import Final

import grpc

from gateway.deadlines import TimeLeft
from gateway.import_ledger import ImportLedger
from gateway.import_line import EnrolLine, ImportStopped
from gateway.import_records import ADDED, FAILED, UNCHANGED, ImportRun, OpenFile, Settled
from gateway.orders import FaceSelection
from gateway.outcome import code_of
from gateway.photo_store import BadKey, PhotoStore
from gateway.records import NewPhoto, Source, StoredPhoto
from gateway.vectorstore_client import VectorStore
from runtime.byte_budget import ByteBudget
from runtime.errors import DuplicatePhoto, InvalidField, ModelMismatch, NotFound, PeerError, StorageFull, TwinError
from runtime.status import error_info, to_status

# Photos on their way to the embedder, whose bytes are in memory, and those bytes together.
_MAX_IN_PROGRESS: Final = 16
_MAX_BYTES_IN_PROGRESS: Final = 64 * 2**20
# What passes by itself.
_PASSING: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
    }
)
# Any fixed value would do; it must never change, or every import would start anew.
_ID_SPACE: Final = uuid.UUID("7a0f5f0e-6a0c-5d1b-9c55-2f6a4a0f3c11")


class FileImporter:
    """Imports photos of one store, any number of them asked for at once."""

    def __init__(
        self, vectors: VectorStore, store: PhotoStore, *, max_image_bytes: int, store_timeout_s: float
    ) -> None:
        self._vectors = vectors
        self._store = store
        self._max_image_bytes = max_image_bytes
        self._store_timeout_s = store_timeout_s
        self._places = asyncio.Semaphore(_MAX_IN_PROGRESS)
        self._bytes = ByteBudget(_MAX_BYTES_IN_PROGRESS)

    async def settle(
        self, file: OpenFile, run: ImportRun, ledger: ImportLedger, line: EnrolLine, time_left: TimeLeft
    ) -> Settled | TwinError:
        """Returns what became of a photo, or why it is to be tried again; raises ImportStopped."""
        async with self._room(file.listed.size_bytes):
            try:
                return await self._import(file, run, ledger, line, time_left)
            except PeerError as error:
                info = error_info(error.status)
                if info is not None and info.reason == DuplicatePhoto.reason:
                    return Settled(file.listed.key, UNCHANGED, info.metadata.get("photo_id"))
                if info is not None and info.reason == ModelMismatch.reason:
                    raise ImportStopped(error) from error
                return _outcome(file, error)
            except StorageFull as error:
                raise ImportStopped(error) from error
            except TwinError as error:
                return _outcome(file, error)

    async def _import(
        self, file: OpenFile, run: ImportRun, ledger: ImportLedger, line: EnrolLine, time_left: TimeLeft
    ) -> Settled:
        key = file.listed.key
        known_id = file.photo_id
        if known_id is None:
            known_id = await ledger.find_content(run, file.listed.fingerprint)
        if known_id is not None and not file.was_enrolling and await self._find(known_id, time_left) is not None:
            return Settled(key, UNCHANGED, known_id)
        photo = await self._read(file, run)
        stored = await self._find(photo.photo_id, time_left)
        if stored is not None:
            # Its answer was lost, or it was there before this import.
            is_ours = file.was_enrolling and stored.source == photo.source
            return Settled(key, ADDED if is_ours else UNCHANGED, photo.photo_id)
        await ledger.will_enrol(run, key, photo.photo_id)
        stored = await line.enrol(photo)
        return Settled(key, ADDED if stored.source == photo.source else UNCHANGED, photo.photo_id)

    async def _read(self, file: OpenFile, run: ImportRun) -> NewPhoto:
        order, listed = run.order, file.listed
        try:
            image = await self._store.get(listed.key, self._max_image_bytes)
        except BadKey as error:
            raise InvalidField("folder", "the file's name is none that the store takes") from error
        except NotFound as error:
            if "\ufffd" in listed.key:
                raise InvalidField("folder", "the file's name is no UTF-8 text") from error
            raise
        sha256 = await asyncio.to_thread(lambda: hashlib.sha256(image).digest())
        return NewPhoto(
            gallery=order.gallery,
            photo_id=str(uuid.uuid5(_ID_SPACE, f"{order.gallery}\n{sha256.hex()}")),
            source=Source(self._store.name, listed.key),
            image=image,
            sha256=sha256,
            faces=FaceSelection(all_faces=order.all_faces, alone=not order.all_faces),
            collection=listed.collection or order.collection,
            original_filename=PurePosixPath(listed.path).name,
            person=listed.person,
        )

    async def _find(self, photo_id: str, time_left: TimeLeft) -> StoredPhoto | None:
        try:
            return await self._vectors.find_photo(photo_id, time_left(self._store_timeout_s))
        except TwinError as error:
            raise ImportStopped(error) from error

    @asynccontextmanager
    async def _room(self, byte_count: int) -> AsyncIterator[None]:
        async with self._places:
            await self._bytes.take(byte_count)
            try:
                yield
            finally:
                self._bytes.give_back(byte_count)


def failed(key: str, error: TwinError) -> Settled:
    """Returns the outcome of a photo that cannot be imported."""
    return Settled(key, FAILED, error=to_status(error).SerializeToString())


def _outcome(file: OpenFile, error: TwinError) -> Settled | TwinError:
    return error if code_of(error) in _PASSING else failed(file.listed.key, error)
