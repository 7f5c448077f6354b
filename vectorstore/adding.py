"""Adding photos: whatever waits is committed together, in one transaction with COPY, then applied, then answered.

Three tasks share the work, so that while one batch is applied to the index the next is being committed, and the one
behind it made ready, if it is a full one. What waits, is committed or is applied is bounded together, by its bytes and
by the number of photos.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from runtime import failpoints, logs
from runtime.byte_budget import ByteBudget
from runtime.errors import NotReady, TwinError
from vectorstore.database import Database
from vectorstore.follower import Follower
from vectorstore.known_photos import NewPhoto
from vectorstore.prepared_photos import PreparedPhotos, by_gallery, prepare
from vectorstore.records import GalleryRecord, PhotoRecord, StoredPhoto
from vectorstore.store_photos import store_photos

MAX_BATCH_PHOTOS: Final = 1024
# With so many a batch is full: the next message is likely to hold more than would fit beside them.
_FULL_PHOTOS: Final = 768
# As photos come; made ready they take three times as much.
MAX_BATCH_BYTES: Final = 8 * 2**20
MAX_WAITING_PHOTOS: Final = 4096
MAX_WAITING_BYTES: Final = 64 * 2**20
# How long a committed photo may take to become searchable here before its caller is told to ask again.
APPLY_TIMEOUT_S: Final = 10.0
# Batches that are committed and wait for the index; with more, the next commit waits.
_MAX_UNAPPLIED_BATCHES: Final = 2

_log = logs.get_logger(__name__)
Outcome = StoredPhoto | Exception


@dataclass(slots=True)
class _Waiting:
    """Photos that were submitted together and are answered together."""

    photos: Sequence[NewPhoto]
    answer: "asyncio.Future[list[Outcome]]"
    byte_count: int
    outcomes: list[Outcome] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Batch:
    """What is committed together: those who wait, their photos, and these made ready."""

    waiting: Sequence[_Waiting]
    photos: Sequence[NewPhoto]
    # None: they could not be made ready together; those that can are found out by themselves.
    prepared: PreparedPhotos | None


def _byte_count(photos: Sequence[PhotoRecord], gallery: GalleryRecord) -> int:
    return sum([len(photo.faces) for photo in photos]) * (gallery.dimension * 4 + 200) + 500 * len(photos)


class PhotoAdder:
    """One queue for all streams, so that a busy moment makes large batches by itself."""

    def __init__(self, database: Database, follower: Follower) -> None:
        self._database = database
        self._follower = follower
        self._queue: deque[_Waiting] = deque()
        self._queued_photos = self._queued_bytes = 0
        # Set by whatever may make it time for the next batch.
        self._stirred = asyncio.Event()
        # Batches that were taken off the queue and are not committed.
        self._uncommitted = 0
        self._ready: asyncio.Queue[_Batch] = asyncio.Queue(1)
        self._committed: asyncio.Queue[Sequence[_Waiting]] = asyncio.Queue(_MAX_UNAPPLIED_BATCHES)
        self._bytes = ByteBudget(MAX_WAITING_BYTES)
        self._photos = ByteBudget(MAX_WAITING_PHOTOS)
        self._has_ended = False

    async def submit(
        self, photos: Sequence[PhotoRecord], gallery: GalleryRecord, *, wants_photos: bool
    ) -> "asyncio.Future[list[Outcome]]":
        """Queues photos, waiting while too much waits already; the future holds each one's outcome, in their order.

        wants_photos: the outcomes hold the photos as stored.
        """
        request_id = logs.request_id.get()
        answer: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        byte_count = _byte_count(photos, gallery)
        await self._photos.take(len(photos))
        try:
            await self._bytes.take(byte_count)
        except asyncio.CancelledError:
            self._photos.give_back(len(photos))
            raise
        new = [NewPhoto(photo, gallery, request_id, wants_photos) for photo in photos]
        waiting = _Waiting(new, answer, byte_count)
        if self._has_ended:
            self._answer(waiting, NotReady("the service is shutting down"))
            return answer
        self._queue.append(waiting)
        self._queued_photos += len(new)
        self._queued_bytes += byte_count
        self._stirred.set()
        return answer

    async def run(self) -> None:
        """Commits what is queued, for ever; when it ends, those who still wait are told."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._prepare_batches())
                group.create_task(self._commit_batches())
                group.create_task(self._answer_batches())
        finally:
            self._has_ended = True
            left = [self._ready.get_nowait().waiting for _ in range(self._ready.qsize())]
            left += [self._committed.get_nowait() for _ in range(self._committed.qsize())]
            for waiting in left:
                self._answer_all(waiting, NotReady("the service is shutting down"))
            while self._queue:
                self._answer(self._queue.popleft(), NotReady("the service is shutting down"))

    async def _prepare_batches(self) -> None:
        while True:
            while not self._is_time():
                self._stirred.clear()
                await self._stirred.wait()
            waiting = self._next_batch()
            if not waiting:
                continue
            self._uncommitted += 1
            try:
                await self._ready.put(await _prepared(waiting))
            except BaseException:
                self._answer_all(waiting, NotReady("the service is shutting down"))
                raise

    def _is_time(self) -> bool:
        """Tells whether to take the next batch off the queue: at once, or, while one is being committed, a full one.

        A small one would leave out those who come until that commit ends.
        """
        if not self._queue or self._uncommitted > 1:
            return False
        is_full = self._queued_photos >= _FULL_PHOTOS or self._queued_bytes >= MAX_BATCH_BYTES
        return is_full or not self._uncommitted

    def _next_batch(self) -> list[_Waiting]:
        """Takes what is there, within bounds, and waits for nothing more."""
        batch: list[_Waiting] = []
        photo_count = byte_count = 0
        while self._queue:
            waiting = self._queue[0]
            photo_count += len(waiting.photos)
            byte_count += waiting.byte_count
            if batch and (photo_count > MAX_BATCH_PHOTOS or byte_count > MAX_BATCH_BYTES):
                return batch
            self._queue.popleft()
            self._queued_photos -= len(waiting.photos)
            self._queued_bytes -= waiting.byte_count
            if waiting.answer.done():
                # Nobody waits for it any more.
                self._answer(waiting, NotReady("abandoned"))
            else:
                batch.append(waiting)
        return batch

    async def _commit_batches(self) -> None:
        while True:
            batch = await self._ready.get()
            try:
                if all(waiting.answer.done() for waiting in batch.waiting):
                    self._answer_all(batch.waiting, NotReady("abandoned"))
                else:
                    outcomes = iter(await self._store(batch.photos, batch.prepared))
                    for waiting in batch.waiting:
                        waiting.outcomes = [next(outcomes) for _ in waiting.photos]
                    await self._committed.put(batch.waiting)
            except BaseException:
                self._answer_all(batch.waiting, NotReady("the service is shutting down"))
                raise
            # Not before: while the index is behind, nothing can be committed, and those who come are to be together.
            self._uncommitted -= 1
            self._stirred.set()
            # What it holds is large, and the next one may be long in coming.
            del batch

    async def _store(self, photos: Sequence[NewPhoto], prepared: PreparedPhotos | None = None) -> list[Outcome]:
        try:
            follower = self._follower
            return list(
                await store_photos(self._database, follower.own_rows, photos, follower.applied_revision, prepared)
            )
        except TwinError as error:
            return [error] * len(photos)
        except Exception as error:
            if len(photos) == 1:
                return [error]
            # One of them is at fault; the others are not to suffer for it.
            half = len(photos) // 2
            return [*await self._store(photos[:half]), *await self._store(photos[half:])]

    async def _answer_batches(self) -> None:
        batch: Sequence[_Waiting] = []
        try:
            while True:
                batch = await self._committed.get()
                error = await self._until_searchable(batch)
                for waiting in batch:
                    self._answer(waiting, error)
        finally:
            left = [batch]
            while not self._committed.empty():
                left.append(self._committed.get_nowait())
            for unanswered in left:
                self._answer_all(unanswered, NotReady("the service is shutting down"))

    async def _until_searchable(self, batch: Sequence[_Waiting]) -> NotReady | None:
        """Returns once what is stored can be found here, or why it cannot yet."""
        revisions = [
            outcome.revision for waiting in batch for outcome in waiting.outcomes if isinstance(outcome, StoredPhoto)
        ]
        if revisions:
            try:
                await self._follower.wait_for(max(revisions), APPLY_TIMEOUT_S)
            except NotReady as error:
                return error
            await failpoints.reach_async("add.applied")
        return None

    def _answer_all(self, batch: Sequence[_Waiting], error: NotReady) -> None:
        for waiting in batch:
            self._answer(waiting, error)

    def _answer(self, waiting: _Waiting, error: NotReady | None) -> None:
        """Answers once: with the outcomes, in which an error stands for what is stored and cannot be found yet."""
        if not waiting.byte_count:
            return
        self._photos.give_back(len(waiting.photos))
        self._bytes.give_back(waiting.byte_count)
        waiting.byte_count = 0
        if waiting.answer.done():
            return
        outcomes = waiting.outcomes
        if error is not None:
            outcomes = [error if isinstance(outcome, StoredPhoto) else outcome for outcome in outcomes]
            outcomes = outcomes or [error] * len(waiting.photos)
        waiting.answer.set_result(outcomes)


async def _prepared(waiting: Sequence[_Waiting]) -> _Batch:
    photos = [photo for one in waiting for photo in one.photos]
    try:
        prepared = await prepare([photos[place] for place in by_gallery(photos, range(len(photos)))])
    except Exception as error:
        # Whichever is at fault is found when they are stored.
        _log.warning("photos cannot be made ready together", error=type(error).__name__)
        prepared = None
    return _Batch(waiting, photos, prepared)
