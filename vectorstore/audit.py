"""The audit log: who did what to which photo or gallery, without anything of a face.

Entries of a change are written in the transaction of that change; those of what is done elsewhere, before it is done.
The database puts every entry under a link of one chain of hashes (migration 0007), whoever writes it; ``audit_check``
looks whether all is as it was written. Every writer holds the change log's turn, so that the chain has one order: ids
rise in the order of commits, and no entry comes between those that a link stands for.

To prune: write an entry that names the last link to go and its hash, delete the entries up to that link's last one and
all links before it. The link itself stays, for the chain to go on from, and the entry vouches for it. Nothing does so
yet.
"""

import enum
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from runtime import logs
from vectorstore import change_log
from vectorstore.database import Database


class AuditAction(enum.StrEnum):
    """What was done."""

    CREATE_GALLERY = "create_gallery"
    DELETE_GALLERY = "delete_gallery"
    ADD_PHOTO = "add_photo"
    DELETE_PHOTO = "delete_photo"
    EXPIRE_PHOTO = "expire_photo"
    CONFIRM_REMOVAL = "confirm_removal"
    EXPORT_PHOTO = "export_photo"
    CREATE_SNAPSHOT = "create_snapshot"
    RECONCILE = "reconcile"
    IMPORT_PHOTOS = "import_photos"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry. gallery and request_id are empty where there is none."""

    audit_id: int
    audit_time: datetime
    action: str
    gallery: str
    photo_id: uuid.UUID | None
    revision: int | None
    request_id: str
    # How many photos it was about, where it names none.
    photo_count: int | None


def entry_from_row(row: Mapping[str, Any]) -> AuditEntry:
    """Returns a row of audit_log."""
    return AuditEntry(**{name: row[name] for name in AuditEntry.__slots__})


async def write_entry(
    connection: Any,
    action: AuditAction,
    gallery: str = "",
    *,
    photo_id: uuid.UUID | None = None,
    revision: int | None = None,
    photo_count: int | None = None,
) -> None:
    """Records in the caller's transaction what the call does; takes the turn where it is not yet taken."""
    await change_log.take_turn(connection)
    await connection.execute(
        "INSERT INTO audit_log (action, gallery, photo_id, revision, request_id, photo_count) "
        "VALUES ($1, $2, $3, $4, $5, $6)",
        action.value,
        gallery,
        photo_id,
        revision,
        logs.request_id.get(),
        photo_count,
    )


class AuditLog:
    """The entries of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, action: AuditAction, gallery: str = "", photo_count: int | None = None) -> None:
        """Records what changes nothing in the database; raises what ``Database.writing`` raises."""
        async with self._database.writing() as connection:
            await write_entry(connection, action, gallery, photo_count=photo_count)

    async def newest(self, before_audit_id: int | None, limit: int) -> list[AuditEntry]:
        """Returns entries, the newest first; those with lower ids than before_audit_id where one is given."""
        async with self._database.reading() as connection:
            rows = await connection.fetch(
                "SELECT * FROM audit_log WHERE audit_id < $1 ORDER BY audit_id DESC LIMIT $2",
                2**63 - 1 if before_audit_id is None else before_audit_id,
                limit,
            )
        return [entry_from_row(row) for row in rows]
