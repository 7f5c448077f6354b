"""Keeping a photo: the original into its store, then its faces into the vector store; all of it or nothing.

The order is: choose the id, reserve a key and have that recorded, store the original under it, enrol. An enrolment that
failed for sure takes the original back at once. One whose outcome is not known leaves it, since a photo may have been
stored that names it; the sweep finds out later, as it does after a crash, by what was recorded. Unless the caller can
try again, by an id of their own, such a photo is deleted: nobody could do so afterwards. An enrolment whose caller
leaves is seen through, and what nobody got a receipt for is deleted likewise.
"""

import asyncio
import contextlib
import hashlib
import secrets
import uuid
from collections.abc import Coroutine
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from twin.face.v1 import face_pb2

from gateway.deadlines import TimeLeft
from gateway.embedder_client import Embedder
from gateway.metrics import SAVES
from gateway.orders import KeepOrder
from gateway.outcome import code_of, may_have_happened
from gateway.photo_store import PhotoStore
from gateway.pixels import rebuild
from gateway.records import NewPhoto, Source, StoredPhoto
from gateway.vectorstore_client import VectorStore, is_not_found
from runtime.errors import ConsentMissing, DependencyUnavailable, DuplicatePhoto, TwinError
from runtime.images.decode import ImageLimits
from runtime.logs import get_logger
from runtime.status import error_info, to_status

_TOKEN_BYTES = 32
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class KeepLimits:
    """What keeping is bound by."""

    image: ImageLimits
    max_png_bytes: int
    store_timeout_s: float
    enroll_timeout_s: float


@dataclass(frozen=True, slots=True)
class Kept:
    """A photo that is in the gallery. deletion_token is empty when it was there before."""

    photo_id: str
    deletion_token: str
    faces: tuple[face_pb2.Face, ...]
    already_present: bool


class Keeper:
    """Keeps photos."""

    def __init__(
        self, embedder: Embedder, vectors: VectorStore, store: PhotoStore, threads: Executor, limits: KeepLimits
    ) -> None:
        """threads: where pictures are rebuilt; as many at once as it has workers, since each takes a lot of memory."""
        self._embedder = embedder
        self._vectors = vectors
        self._store = store
        self._threads = threads
        self._limits = limits
        # Bounded by the calls in progress: each can leave one behind, for as long as an enrolment may take.
        self._undoing: set[asyncio.Task[None]] = set()

    async def keep(self, order: KeepOrder, time_left: TimeLeft, *, needs_consent: bool) -> Kept:
        """Keeps a photo and returns its receipt, or what is there when the caller's photo_id was kept before.

        Raises ConsentMissing, DuplicatePhoto, StorageFull, and whatever the embedder and the vector store say.
        """
        if needs_consent and order.consent is None:
            raise ConsentMissing
        try:
            kept = await self._keep(order, time_left)
        except TwinError as error:
            info = error_info(to_status(error))
            SAVES.labels((info.reason if info is not None else code_of(error).name).lower()).inc()
            raise
        SAVES.labels("already_present" if kept.already_present else "kept").inc()
        return kept

    async def _keep(self, order: KeepOrder, time_left: TimeLeft) -> Kept:
        sha256 = await asyncio.to_thread(lambda: hashlib.sha256(order.image).digest())
        if order.photo_id is not None:
            known = await self._vectors.find_photo(order.photo_id, time_left(self._limits.store_timeout_s))
            if known is not None:
                return _already_present(known, sha256)
        photo_id = order.photo_id or str(uuid.uuid4())
        token = order.deletion_token or secrets.token_urlsafe(_TOKEN_BYTES)
        picture = await asyncio.get_running_loop().run_in_executor(
            self._threads, rebuild, order.image, self._limits.image, self._limits.max_png_bytes
        )
        source = Source(self._store.name, await self._store.reserve(photo_id, order.gallery, picture.suffix))
        photo = NewPhoto(
            gallery=order.gallery,
            photo_id=photo_id,
            source=source,
            image=order.image,
            sha256=sha256,
            faces=order.faces,
            width=picture.width,
            height=picture.height,
            collection=order.collection,
            original_filename=order.original_filename,
            person=order.person,
            persons=order.persons,
            consent=order.consent,
            deletion_token_sha256=hashlib.sha256(token.encode()).digest(),
            refuse_duplicate=not order.keep_duplicate,
        )
        # Before anything is stored: a crash from here on leaves an original that is known of.
        await self._vectors.reserve_original(photo_id, source, time_left(self._limits.store_timeout_s))
        timeout_s = time_left(self._limits.enroll_timeout_s)  # Nothing is stored for a caller whose time is up.
        # The original too is stored by the task: whenever the caller leaves, somebody sees both through.
        enrolment = asyncio.create_task(
            self._enrol(photo, picture.data, timeout_s, has_own_id=order.photo_id is not None)
        )
        try:
            stored = await asyncio.shield(enrolment)
        except asyncio.CancelledError:
            self._see_through(enrolment, undo=order.photo_id is None)
            raise
        if stored.source != source:
            return _already_present(stored, sha256)
        return Kept(stored.photo_id, token, stored.faces, already_present=False)

    async def _enrol(self, photo: NewPhoto, original: bytes, timeout_s: float, *, has_own_id: bool) -> StoredPhoto:
        """Stores the original and enrols the photo, and leaves nothing behind of one that is not enrolled."""
        await self._put(photo.source, original, timeout_s)
        try:
            stored = await self._embedder.enroll(photo, timeout_s)
        except TwinError as error:
            if not may_have_happened(error):
                await self._take_back(photo.source)
            elif not has_own_id:
                await self._undo(photo.photo_id)
            raise
        if stored.source != photo.source:
            # Another attempt with this photo_id was first; its original and its token are the ones that hold.
            await self._take_back(photo.source)
        return stored

    async def _put(self, source: Source, original: bytes, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._store.put(source.key, original)
        except (TwinError, TimeoutError) as error:
            # It may have been stored all the same. Its caller does not wait for the store to say.
            self._in_background(self._take_back(source))
            if isinstance(error, TimeoutError):
                raise DependencyUnavailable(self._store.name) from error
            raise

    def _see_through(self, enrolment: "asyncio.Task[StoredPhoto]", *, undo: bool) -> None:
        """Waits in the background for an enrolment whose caller is gone, and deletes what nobody could delete."""

        async def wait() -> None:
            with contextlib.suppress(TwinError):  # Settled by the enrolment itself.
                stored = await enrolment
                if undo:
                    await self._undo(stored.photo_id)

        self._in_background(wait())

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._undoing.add(task)
        task.add_done_callback(self._undoing.discard)

    async def _undo(self, photo_id: str) -> None:
        """Deletes what may have been enrolled: its owner has no receipt, and knows no id to try again with."""
        try:
            await self._vectors.delete_photo(photo_id, "", self._limits.store_timeout_s)
        except TwinError as error:
            if not is_not_found(error):
                _log.warning("a photo whose receipt was lost may be kept", reason=error.reason)

    async def _take_back(self, source: Source) -> None:
        try:
            await self._store.delete(source.key)
        except TwinError as error:
            _log.warning("an original is left to the sweep", reason=error.reason)


def _already_present(photo: StoredPhoto, sha256: bytes) -> Kept:
    if photo.sha256 != sha256:
        raise DuplicatePhoto(photo.photo_id, "this photo_id names another photo")
    return Kept(photo.photo_id, "", photo.faces, already_present=True)
