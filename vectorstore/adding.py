"""Adding photos: whatever waits is committed together, in one transaction with COPY, then applied, then answered."""

import asyncio
import dataclasses
import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from runtime import failpoints, logs
from runtime.byte_budget import ByteBudget
from runtime.errors import DuplicatePhoto, NotFound, NotReady, TwinError
from vectorstore import change_log
from vectorstore.change_log import ChangeKind
from vectorstore.database import Database
from vectorstore.follower import Follower
from vectorstore.metrics import ADD_BATCH_PHOTOS, PHOTOS_ADDED
from vectorstore.records import GalleryRecord, PhotoRecord
from vectorstore.rows_sql import FACE_COLUMNS, PHOTO_COLUMNS, SHOWN_FACES_SQL, face_row, photo_from_row, photo_row

MAX_BATCH_PHOTOS: Final = 256
MAX_BATCH_BYTES: Final = 8 * 2**20
MAX_WAITING_PHOTOS: Final = 1024
MAX_WAITING_BYTES: Final = 64 * 2**20
# How long a committed photo may take to become searchable here before its caller is told to ask again.
APPLY_TIMEOUT_S: Final = 10.0


@dataclass(slots=True)
class _Waiting:
    photo: PhotoRecord
    gallery: GalleryRecord
    request_id: str
    answer: "asyncio.Future[PhotoRecord]"

    @property
    def byte_count(self) -> int:
        return sum(self.gallery.dimension * 4 + 200 for _ in self.photo.faces) + 500


class PhotoAdder:
    """One queue for all streams and one task that empties it, so that a busy moment makes large batches by itself."""

    def __init__(self, database: Database, follower: Follower) -> None:
        self._database = database
        self._follower = follower
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(MAX_WAITING_PHOTOS)
        self._waiting_bytes = ByteBudget(MAX_WAITING_BYTES)

    async def submit(self, photo: PhotoRecord, gallery: GalleryRecord) -> "asyncio.Future[PhotoRecord]":
        """Queues a photo, waiting while the queue is full; the future holds the photo as stored, or why it is not."""
        answer: asyncio.Future[PhotoRecord] = asyncio.get_running_loop().create_future()
        waiting = _Waiting(photo, gallery, logs.request_id.get(), answer)
        await self._waiting_bytes.take(waiting.byte_count)
        try:
            await self._queue.put(waiting)
        except asyncio.CancelledError:
            self._waiting_bytes.give_back(waiting.byte_count)
            raise
        return answer

    async def run(self) -> None:
        """Commits what is queued, for ever; when it ends, those who still wait are told."""
        batch: list[_Waiting] = []
        try:
            while True:
                batch = [await self._queue.get()]
                byte_count = batch[0].byte_count
                # Takes what is there and waits for nothing more.
                while len(batch) < MAX_BATCH_PHOTOS and byte_count < MAX_BATCH_BYTES and not self._queue.empty():
                    batch.append(self._queue.get_nowait())
                    byte_count += batch[-1].byte_count
                await self._commit(batch)
                self._waiting_bytes.give_back(byte_count)
        finally:
            while not self._queue.empty():
                batch.append(self._queue.get_nowait())
            for waiting in batch:
                if not waiting.answer.done():
                    waiting.answer.set_exception(NotReady("the service is shutting down"))

    async def _commit(self, batch: list[_Waiting]) -> None:
        batch = [waiting for waiting in batch if not waiting.answer.done()]
        if not batch:
            return
        try:
            outcomes = await self._store(batch)
            outcomes = await self._once_searchable(outcomes)
        except TwinError as error:
            outcomes = [error] * len(batch)
        except Exception as error:
            if len(batch) > 1:
                # One of them is at fault; the others are not to suffer for it.
                for waiting in batch:
                    await self._commit([waiting])
                return
            outcomes = [error]
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if waiting.answer.done():
                continue
            if isinstance(outcome, PhotoRecord):
                waiting.answer.set_result(outcome)
            else:
                waiting.answer.set_exception(outcome)

    async def _once_searchable(self, outcomes: Sequence[PhotoRecord | Exception]) -> list[PhotoRecord | Exception]:
        """Returns the outcomes once what is stored can be found here; those that cannot yet are told so."""
        revisions = [outcome.revision for outcome in outcomes if isinstance(outcome, PhotoRecord)]
        try:
            if revisions:
                await self._follower.wait_for(max(revisions), APPLY_TIMEOUT_S)
                await failpoints.reach_async("add.applied")
        except NotReady as error:
            return [error if isinstance(outcome, PhotoRecord) else outcome for outcome in outcomes]
        return list(outcomes)

    async def _store(self, batch: Sequence[_Waiting]) -> list[PhotoRecord | Exception]:
        async with self._database.writing() as connection:
            await change_log.take_turn(connection)
            existing = await _Existing.read(connection, batch)
            outcomes: list[PhotoRecord | Exception] = []
            new: list[tuple[_Waiting, int]] = []
            for position, waiting in enumerate(batch):
                outcome = existing.answer_to(waiting)
                if outcome is None:
                    existing.note(waiting, position)
                    new.append((waiting, position))
                    outcomes.append(waiting.photo)
                else:
                    outcomes.append(outcome if not isinstance(outcome, int) else LookupError(outcome))
            if new:
                for (_, position), photo in zip(new, await _insert(connection, [item for item, _ in new]), strict=True):
                    outcomes[position] = photo
        await failpoints.reach_async("add.committed")
        # The same photo twice in one batch: the second is answered what the first was.
        outcomes = [outcomes[outcome.args[0]] if isinstance(outcome, LookupError) else outcome for outcome in outcomes]
        if new:
            ADD_BATCH_PHOTOS.observe(len(new))
            PHOTOS_ADDED.inc(len(new))
        return outcomes


class _Existing:
    """What the database and the batch so far hold of the photos that are to be added."""

    def __init__(self, galleries: set[int], photos: Sequence[tuple[int, PhotoRecord]]) -> None:
        self._galleries = galleries
        self._by_id: dict[uuid.UUID, tuple[int, PhotoRecord | int, bytes]] = {
            photo.photo_id: (gallery_id, photo, photo.sha256) for gallery_id, photo in photos
        }
        self._id_by_content = {(gallery_id, photo.sha256): photo.photo_id for gallery_id, photo in photos}

    @classmethod
    async def read(cls, connection: Any, batch: Sequence[_Waiting]) -> "_Existing":
        gallery_ids = [waiting.gallery.gallery_id for waiting in batch]
        galleries = await connection.fetch(
            "SELECT gallery_id FROM galleries WHERE gallery_id = ANY($1::bigint[])", sorted(set(gallery_ids))
        )
        rows = await connection.fetch(
            # Two looks, each by its index; an OR of both would read the whole table.
            """
            SELECT * FROM photos WHERE photo_id = ANY($1::uuid[])
            UNION
            SELECT p.* FROM unnest($2::bigint[], $3::bytea[]) AS wanted (gallery_id, sha256)
            JOIN photos p ON p.gallery_id = wanted.gallery_id AND p.sha256 = wanted.sha256
            """,
            [waiting.photo.photo_id for waiting in batch],
            gallery_ids,
            [waiting.photo.sha256 for waiting in batch],
        )
        photos = []
        if rows:
            face_rows = await connection.fetch(
                SHOWN_FACES_SQL,
                [row["photo_id"] for row in rows],
            )
            faces_by_photo = defaultdict(list)
            for face in face_rows:
                faces_by_photo[face["photo_id"]].append(face)
            photos = [(row["gallery_id"], photo_from_row(row, faces_by_photo[row["photo_id"]])) for row in rows]
        return cls({row["gallery_id"] for row in galleries}, photos)

    def answer_to(self, waiting: _Waiting) -> PhotoRecord | Exception | int | None:
        """Returns the answer that is known already: the photo, an error, a place in the batch; None when it is new."""
        photo, gallery_id = waiting.photo, waiting.gallery.gallery_id
        if gallery_id not in self._galleries:
            return NotFound("gallery")
        known = self._by_id.get(photo.photo_id)
        if known is not None:
            known_gallery_id, stored, sha256 = known
            if (known_gallery_id, sha256) == (gallery_id, photo.sha256):
                return stored
            return DuplicatePhoto(str(photo.photo_id), "this photo_id names another photo")
        known_id = self._id_by_content.get((gallery_id, photo.sha256))
        return None if known_id is None else DuplicatePhoto(str(known_id))

    def note(self, waiting: _Waiting, position: int) -> None:
        """Takes note of a photo that this batch adds."""
        photo, gallery_id = waiting.photo, waiting.gallery.gallery_id
        self._by_id[photo.photo_id] = (gallery_id, position, photo.sha256)
        self._id_by_content[gallery_id, photo.sha256] = photo.photo_id


async def _insert(connection: Any, new: Sequence[_Waiting]) -> list[PhotoRecord]:
    """Writes photos, faces, changes and audit; returns the photos as stored, without embeddings."""
    revisions = await change_log.take_revisions(connection, len(new))
    face_ids = iter(await change_log.take_face_ids(connection, sum(len(waiting.photo.faces) for waiting in new)))
    now = datetime.now(UTC)
    stored = []
    for waiting, revision in zip(new, revisions, strict=True):
        faces = tuple(dataclasses.replace(face, face_id=next(face_ids)) for face in waiting.photo.faces)
        stored.append(dataclasses.replace(waiting.photo, faces=faces, revision=revision, create_time=now))
    galleries = [waiting.gallery for waiting in new]
    await failpoints.reach_async("add.before_copy")
    await connection.copy_records_to_table(
        "photos",
        columns=PHOTO_COLUMNS,
        records=[photo_row(photo, gallery.gallery_id) for photo, gallery in zip(stored, galleries, strict=True)],
    )
    await failpoints.reach_async("add.between_copies")
    await connection.copy_records_to_table(
        "faces",
        columns=FACE_COLUMNS,
        records=[
            face_row(face, photo.photo_id, gallery.gallery_id)
            for photo, gallery in zip(stored, galleries, strict=True)
            for face in photo.faces
        ],
    )
    await connection.copy_records_to_table(
        "changes",
        columns=("revision", "kind", "gallery_id", "photo_id", "face_ids"),
        records=[
            (
                photo.revision,
                ChangeKind.ADD_PHOTO.value,
                gallery.gallery_id,
                photo.photo_id,
                [face.face_id for face in photo.faces],
            )
            for photo, gallery in zip(stored, galleries, strict=True)
        ],
    )
    await connection.copy_records_to_table(
        "audit_log",
        columns=("action", "gallery", "photo_id", "revision", "request_id"),
        records=[
            ("add_photo", waiting.gallery.name, photo.photo_id, photo.revision, waiting.request_id)
            for waiting, photo in zip(new, stored, strict=True)
        ],
    )
    await change_log.wake_followers(connection)
    await failpoints.reach_async("add.before_commit")
    return [
        dataclasses.replace(photo, faces=tuple(dataclasses.replace(face, embedding=None) for face in photo.faces))
        for photo in stored
    ]
