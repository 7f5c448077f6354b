"""One transaction that adds many photos: rows by COPY, one change for each gallery, and the audit.

A change names every face that the transaction adds to its gallery, under the last of their photos' revisions. So the
log grows with transactions and not with photos, and whoever has applied a change has applied all revisions below it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from runtime import failpoints
from runtime.errors import TwinError
from vectorstore import audit, change_log, face_copy
from vectorstore.audit import AuditAction
from vectorstore.catalog_face import CatalogFace, to_microseconds
from vectorstore.change_log import ChangeKind
from vectorstore.database import Database
from vectorstore.face_copy import FaceRows
from vectorstore.known_photos import KnownPhotos, NewPhoto, SameAs
from vectorstore.metrics import ADD_BATCH_PHOTOS, PHOTOS_ADDED
from vectorstore.own_rows import IndexedFaces, OwnRows
from vectorstore.records import StoredPhoto
from vectorstore.rows_sql import FACE_COLUMNS, PHOTO_COLUMNS, photo_row

Outcome = StoredPhoto | TwinError

# One at a time, as batches have their turns. Its own: asyncio's threads may all be waiting for galleries' locks.
_PREPARING: Final = ThreadPoolExecutor(1, "prepare-faces")
# Fewer are prepared sooner than a thread begins.
_MANY_FACES: Final = 64


async def store_photos(
    database: Database, own_rows: OwnRows, batch: Sequence[NewPhoto], applied_revision: int
) -> list[Outcome]:
    """Adds what is new of the batch, and returns every photo's outcome once all is committed.

    applied_revision: what this replica had applied before.
    Raises what ``Database.writing`` raises; then none of the batch is added, or, when the connection broke in the
    middle of the commit, nobody knows: the same photos added again tell.
    """
    async with contextlib.AsyncExitStack() as after_commit, database.writing() as connection:
        await change_log.take_turn(connection)
        known = await KnownPhotos.read(connection, batch)
        answers = [known.answer_to(new, position) for position, new in enumerate(batch)]
        places = [position for position, answer in enumerate(answers) if answer is None]
        # By gallery: a change stands for an unbroken run of revisions.
        places.sort(key=lambda position: batch[position].gallery.gallery_id)
        added: dict[int, StoredPhoto] = {}
        if places:
            insertion = await _Insertion.begin(connection, [batch[position] for position in places], applied_revision)
            added = dict(zip(places, insertion.stored, strict=True))
            indexed_faces = await insertion.write(connection)
            await after_commit.enter_async_context(own_rows.offered(indexed_faces))
            await failpoints.reach_async("add.before_commit")
    await failpoints.reach_async("add.committed")
    if added:
        ADD_BATCH_PHOTOS.observe(len(added))
        PHOTOS_ADDED.inc(len(added))
    return [_outcome(position, batch, answers, added) for position in range(len(batch))]


def _outcome(
    position: int,
    batch: Sequence[NewPhoto],
    answers: Sequence[StoredPhoto | SameAs | TwinError | None],
    added: dict[int, StoredPhoto],
) -> Outcome:
    answer, source = answers[position], position
    if isinstance(answer, SameAs):
        # The same photo twice in one batch: the second is answered what the first is.
        source = answer.position
        answer = answers[source]
    if answer is None:
        answer = added[source]
    assert not isinstance(answer, SameAs)
    if isinstance(answer, StoredPhoto) and batch[position].wants_photo and answer.photo is None:
        return answer._replace(photo=batch[source].photo.stored(answer))
    return answer


class _Insertion:
    """New photos in the order of their galleries, with the numbers that they were given."""

    def __init__(self, new: Sequence[NewPhoto], stored: Sequence[StoredPhoto], create_time: datetime) -> None:
        self._new = new
        self._create_time = create_time
        self.stored = stored
        self._galleries: dict[int, list[int]] = {}
        for position, one in enumerate(new):
            self._galleries.setdefault(one.gallery.gallery_id, []).append(position)

    @classmethod
    async def begin(cls, connection: Any, new: Sequence[NewPhoto], applied_revision: int) -> "_Insertion":
        """Takes revisions and face ids; the caller holds the turn."""
        revisions = await change_log.take_revisions(connection, len(new), above=applied_revision)
        face_ids = await change_log.take_face_ids(connection, sum(len(one.photo.faces) for one in new))
        now = datetime.now(UTC)
        stored, start = [], 0
        for one, revision in zip(new, revisions, strict=True):
            end = start + len(one.photo.faces)
            stored.append(StoredPhoto(one.photo.photo_id, revision, now, face_ids[start:end]))
            start = end
        return cls(new, stored, now)

    def _face_rows(self, gallery_id: int, positions: Sequence[int]) -> FaceRows:
        photos = [self._new[position].photo for position in positions]
        return FaceRows(
            gallery_id=gallery_id,
            ids=np.array([face_id for position in positions for face_id in self.stored[position].face_ids], np.int64),
            photo_ids=[photo.photo_id.bytes for photo in photos for _ in photo.faces],
            faces=[face for photo in photos for face in photo.faces],
            vectors=np.array([face.embedding for photo in photos for face in photo.faces], dtype=np.float32),
        )

    async def write(self, connection: Any) -> dict[int, IndexedFaces]:
        """Writes everything in the caller's transaction.

        Returns by the revision of its change what the follower needs of each gallery's new faces.
        """
        await failpoints.reach_async("add.before_copy")
        preparing = self._begin_preparing()
        pairs = list(zip(self._new, self.stored, strict=True))
        await connection.copy_records_to_table(
            "photos",
            columns=PHOTO_COLUMNS,
            records=[
                photo_row(new.photo, new.gallery.gallery_id, stored.revision, self._create_time)
                for new, stored in pairs
            ],
        )
        await failpoints.reach_async("add.between_copies")
        prepared = await preparing
        await connection.copy_to_table("faces", columns=FACE_COLUMNS, source=prepared.copied(), format="binary")
        for revision, faces in prepared.indexed_faces.items():
            await change_log.insert_change(
                connection, revision, ChangeKind.ADD_PHOTO, faces.gallery_id, faces.ids.tolist()
            )
        await audit.copy_entries(
            connection,
            AuditAction.ADD_PHOTO,
            [(new.gallery.name, stored.photo_id, stored.revision, new.request_id) for new, stored in pairs],
        )
        await change_log.wake_followers(connection)
        return prepared.indexed_faces

    def _begin_preparing(self) -> "asyncio.Future[_Prepared]":
        """Makes faces into rows; of many in a thread, while PostgreSQL takes the photos' own."""
        loop = asyncio.get_running_loop()
        if sum(len(one.photo.faces) for one in self._new) >= _MANY_FACES:
            return loop.run_in_executor(_PREPARING, self._prepare)
        done = loop.create_future()
        done.set_result(self._prepare())
        return done

    def _prepare(self) -> "_Prepared":
        rows = [self._face_rows(gallery_id, positions) for gallery_id, positions in self._galleries.items()]
        return _Prepared(list(face_copy.copy_content(rows)), self._indexed_faces(rows))

    def _indexed_faces(self, all_rows: Sequence[FaceRows]) -> dict[int, IndexedFaces]:
        found = {}
        create_time_us = to_microseconds(self._create_time)
        for rows, positions in zip(all_rows, self._galleries.values(), strict=True):
            catalog_faces = [
                CatalogFace(
                    face_id=face_id,
                    photo_id=photo.photo_id,
                    box=face.box,
                    person=face.person or photo.person,
                    collection=photo.collection,
                    source=photo.source,
                    create_time_us=create_time_us,
                )
                for position in positions
                for photo, ids in ((self._new[position].photo, self.stored[position].face_ids),)
                for face, face_id in zip(photo.faces, ids, strict=True)
            ]
            found[self.stored[positions[-1]].revision] = IndexedFaces(
                rows.gallery_id, rows.ids, catalog_faces, rows.vectors
            )
        return found


@dataclass(frozen=True, slots=True)
class _Prepared:
    """Faces as COPY reads them, piece by piece, and as the follower needs them."""

    pieces: list[bytes]
    indexed_faces: dict[int, IndexedFaces]

    async def copied(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece
