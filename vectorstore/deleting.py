"""Deleting photos: by whoever holds the token, by an admin, or because the consent ran out; and the originals' outbox.

A photo's row, its faces and the change are written in one transaction with a row of ``deletions``. That row answers
the same deletion asked for again, and stays in the outbox until whoever keeps the originals confirms that this one is
gone. An id that was deleted may be added anew; deletions are therefore counted by deletion and not by photo.
"""

import asyncio
import hashlib
import hmac
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from runtime import failpoints
from runtime.errors import NotFound, TwinError
from runtime.logs import get_logger
from vectorstore import change_log
from vectorstore.change_log import ChangeKind
from vectorstore.database import Database
from vectorstore.follower import Follower
from vectorstore.metrics import PHOTOS_DELETED
from vectorstore.records import DeletionRecord
from vectorstore.rows_sql import deletion_from_row

APPLY_TIMEOUT_S: Final = 10.0
_EXPIRY_BATCH: Final = 200
# Compared with when there is nothing to compare with, so that an unknown photo takes as long as a wrong token.
_NO_HASH: Final = bytes(32)

_log = get_logger(__name__)


class PhotoDeleter:
    """Deletes photos and keeps the outbox of their originals."""

    def __init__(self, database: Database, follower: Follower) -> None:
        self._database = database
        self._follower = follower

    async def delete(self, photo_id: uuid.UUID, token: str | None) -> DeletionRecord:
        """Deletes a photo, durably and from this replica's searches; answers the same when it was deleted before.

        token: checked unless None. Raises NotFound for an unknown photo and for a wrong token, in the same words.
        """
        async with self._database.writing() as connection:
            await change_log.take_turn(connection)
            photo = await connection.fetchrow(
                "SELECT photo_id, deletion_token_sha256 FROM photos WHERE photo_id = $1", photo_id
            )
            earlier = await connection.fetch(
                "SELECT * FROM deletions WHERE photo_id = $1 ORDER BY deletion_id DESC LIMIT 16",
                photo_id,
            )
            may_delete = _opens(token, photo)
            answered_before = [row for row in earlier if _opens(token, row)]
            await failpoints.reach_async("delete.before_rows")
            if photo is not None and may_delete:
                (deletion,) = await _delete_rows(connection, [photo_id], "delete_photo")
                PHOTOS_DELETED.labels("asked").inc()
            elif answered_before:
                # Deleted before; a photo that is there was added anew since, under another token.
                deletion = deletion_from_row(answered_before[0])
            else:
                raise NotFound("photo")
            await failpoints.reach_async("delete.before_commit")
        await failpoints.reach_async("delete.committed")
        self._follower.wake()
        await self._follower.wait_for(deletion.revision, APPLY_TIMEOUT_S)
        await failpoints.reach_async("delete.applied")
        return deletion

    async def delete_expired(self) -> int:
        """Deletes photos whose consent ran out; returns how many."""
        async with self._database.writing() as connection:
            await change_log.take_turn(connection)
            rows = await connection.fetch(
                "SELECT photo_id FROM photos WHERE expire_time <= now() ORDER BY expire_time LIMIT $1", _EXPIRY_BATCH
            )
            deletions = await _delete_rows(connection, [row["photo_id"] for row in rows], "expire_photo")
            await failpoints.reach_async("expiry.before_commit")
        await failpoints.reach_async("expiry.committed")
        self._follower.wake()
        PHOTOS_DELETED.labels("expired").inc(len(deletions))
        return len(deletions)

    async def expire(self, interval_s: float) -> None:
        """Deletes expired photos for ever; while PostgreSQL is away, tries again at the next turn."""
        while True:
            try:
                while await self.delete_expired() == _EXPIRY_BATCH:
                    pass
            except TwinError as error:
                _log.warning("expired photos could not be deleted; trying again", reason=error.reason)
            await asyncio.sleep(interval_s)

    async def list_removals(self, after_deletion_id: int, limit: int) -> list[tuple[int, DeletionRecord]]:
        """Returns the next originals to remove, oldest first, each with its place in the outbox.

        An original that a photo still uses, because it was added again or is in another gallery, is not to be removed.
        """
        async with self._database.reading() as connection:
            rows = await connection.fetch(
                "SELECT * FROM deletions d WHERE NOT original_removed "
                "AND deletion_id > $1 AND NOT EXISTS (SELECT 1 FROM photos p WHERE p.source_store = d.source_store "
                "AND p.source_key = d.source_key) ORDER BY deletion_id LIMIT $2",
                after_deletion_id,
                limit,
            )
        return [(row["deletion_id"], deletion_from_row(row)) for row in rows]

    async def confirm_removal(self, photo_id: uuid.UUID) -> None:
        """Records that a deleted photo's original is gone; raises NotFound for one that was never deleted."""
        async with self._database.writing() as connection:
            count = await connection.fetchval("SELECT count(*) FROM deletions WHERE photo_id = $1", photo_id)
            if not count:
                raise NotFound("deleted photo")
            changed = await connection.fetch(
                "UPDATE deletions SET original_removed = true WHERE photo_id = $1 AND NOT original_removed RETURNING 1",
                photo_id,
            )
            if changed:
                await change_log.write_audit(connection, "confirm_removal", "", photo_id=photo_id)


def _opens(token: str | None, row: Mapping[str, Any] | None) -> bool:
    """Tells whether the token is the row's, in the same time whatever the row."""
    if token is None:
        return True
    stored = row["deletion_token_sha256"] if row is not None else b""
    given = hashlib.sha256(token.encode()).digest()
    return hmac.compare_digest(given, stored or _NO_HASH) and bool(stored)


async def _delete_rows(connection: Any, photo_ids: Sequence[uuid.UUID], action: str) -> list[DeletionRecord]:
    """Deletes photos that exist, in the caller's turn; returns their deletions in order."""
    deletions = []
    for photo_id in photo_ids:
        faces = await connection.fetch("SELECT face_id FROM faces WHERE photo_id = $1 ORDER BY face_id", photo_id)
        photo = await connection.fetchrow(
            "DELETE FROM photos WHERE photo_id = $1 RETURNING gallery_id, source_store, source_key, "
            "deletion_token_sha256, (SELECT name FROM galleries g WHERE g.gallery_id = photos.gallery_id) AS gallery",
            photo_id,
        )
        face_ids = [face["face_id"] for face in faces]
        revision = await change_log.write_change(
            connection, ChangeKind.DELETE_PHOTO, photo["gallery_id"], photo_id=photo_id, face_ids=face_ids
        )
        row = await connection.fetchrow(
            "INSERT INTO deletions (photo_id, deletion_token_sha256, source_store, source_key, face_count, revision) "
            "VALUES ($1, $2, $3, $4, $5, $6) RETURNING *",
            photo_id,
            photo["deletion_token_sha256"],
            photo["source_store"],
            photo["source_key"],
            len(face_ids),
            revision,
        )
        await change_log.write_audit(connection, action, photo["gallery"], photo_id=photo_id, revision=revision)
        deletions.append(deletion_from_row(row))
    return deletions
