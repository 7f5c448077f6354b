"""The outbox of originals: deletions whose original still has to go from its store."""

import uuid

from runtime.errors import NotFound
from vectorstore import audit, change_log
from vectorstore.audit import AuditAction
from vectorstore.database import Database
from vectorstore.records import DeletionRecord
from vectorstore.rows_sql import deletion_from_row


class Removals:
    """Lists what is left to remove, and takes note of what is gone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_removals(self, after_deletion_id: int, limit: int) -> list[DeletionRecord]:
        """Returns the next originals to remove, oldest first.

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
        return [deletion_from_row(row) for row in rows]

    async def confirm_removal(self, photo_id: uuid.UUID, deletion_id: int) -> None:
        """Records that a deleted photo's original is gone; raises NotFound for one that was never deleted.

        deletion_id: which of the photo's deletions; every one so far when 0.
        """
        async with self._database.writing() as connection:
            # For the audit's entry, and before any row is locked.
            await change_log.take_turn(connection)
            chosen = "photo_id = $1 AND ($2 = 0 OR deletion_id = $2)"
            if not await connection.fetchval(
                f"SELECT count(*) FROM deletions WHERE {chosen}",  # noqa: S608
                photo_id,
                deletion_id,
            ):
                raise NotFound("deleted photo")
            changed = await connection.fetch(
                f"UPDATE deletions SET original_removed = true WHERE {chosen} AND NOT original_removed RETURNING 1",  # noqa: S608
                photo_id,
                deletion_id,
            )
            if changed:
                await audit.write_entry(connection, AuditAction.CONFIRM_REMOVAL, photo_id=photo_id)
