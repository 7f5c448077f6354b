"""The change log: every add and delete, in the order of commits.

A sequence number alone says nothing of commit order: a reader that asks for "more than the last I saw" loses rows whose
writers took a number early and committed late. Here a writer takes the lock first, its revisions second, and keeps the
lock to the commit, so a revision that can be seen has every smaller one before it. NOTIFY only wakes; polling decides.
"""

import enum
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from runtime import failpoints
from runtime.errors import NotReady

CHANNEL: Final = "twin_changes"
_CHANGE_LOCK: Final = 0x7477_696E_0002


class ChangeKind(enum.StrEnum):
    """What happened."""

    CREATE_GALLERY = "create_gallery"
    DROP_GALLERY = "drop_gallery"
    ADD_PHOTO = "add_photo"
    DELETE_PHOTO = "delete_photo"


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the log."""

    revision: int
    kind: ChangeKind
    gallery_id: int
    face_ids: tuple[int, ...]
    # Of the beginning of the transaction that wrote it.
    change_time: datetime


async def take_turn(connection: Any) -> None:
    """Waits until no other transaction is between its first revision and its commit."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _CHANGE_LOCK)


async def take_revisions(connection: Any, count: int, *, above: int = 0) -> list[int]:
    """Returns new revisions, ascending; the caller holds the turn.

    above: what was applied here. Raises NotReady when the database gives out numbers that were used already, as one
    does that was restored: who waits for such a revision would be told that it is applied.
    """
    # One step of any length: nobody else takes numbers meanwhile.
    last = await connection.fetchval("SELECT setval('revisions', nextval('revisions') + $1 - 1)", count)
    if last - count < above:
        raise NotReady("the database is not the one that this replica follows")
    return list(range(last - count + 1, last + 1))


async def take_face_ids(connection: Any, count: int) -> list[int]:
    """Returns new face ids, ascending, and above those of every earlier commit, since the caller holds the turn."""
    last = await connection.fetchval("SELECT setval('face_ids', nextval('face_ids') + $1 - 1)", count)
    return list(range(last - count + 1, last + 1))


async def write_change(
    connection: Any,
    kind: ChangeKind,
    gallery_id: int,
    *,
    above: int,
    photo_id: uuid.UUID | None = None,
    face_ids: Sequence[int] = (),
) -> int:
    """Logs one change in the caller's transaction, takes the turn where it is not yet taken, returns the revision.

    above: see ``take_revisions``.
    """
    await take_turn(connection)
    (revision,) = await take_revisions(connection, 1, above=above)
    await insert_change(connection, revision, kind, gallery_id, face_ids, photo_id)
    await wake_followers(connection)
    return revision


async def insert_change(
    connection: Any,
    revision: int,
    kind: ChangeKind,
    gallery_id: int,
    face_ids: Sequence[int] = (),
    photo_id: uuid.UUID | None = None,
) -> None:
    """Logs one change under a revision that the caller has taken, in the caller's turn.

    It stands for every revision between the change before it and itself.
    """
    await connection.execute(
        "INSERT INTO changes (revision, kind, gallery_id, photo_id, face_ids) VALUES ($1, $2, $3, $4, $5)",
        revision,
        kind.value,
        gallery_id,
        photo_id,
        face_ids,
    )


async def wake_followers(connection: Any) -> None:
    """Tells the replicas, once this transaction commits, that there is something new."""
    if not await failpoints.reach_async("changes.notify"):
        await connection.execute(f"NOTIFY {CHANNEL}")


async def read_head(connection: Any) -> int:
    """Returns the last committed revision, 0 for none."""
    return int(await connection.fetchval("SELECT coalesce(max(revision), 0) FROM changes"))


async def read_turn_age_s(connection: Any) -> float:
    """Returns the age in seconds of the transaction that has the turn, for which every other writer waits; 0 for none.

    A single bigint lock is shown as its upper and lower half, with objsubid 1.
    """
    age_s = await connection.fetchval(
        "SELECT extract(epoch FROM max(clock_timestamp() - xact_start))::float8 "
        "FROM pg_locks JOIN pg_stat_activity USING (pid) "
        "WHERE locktype = 'advisory' AND granted AND classid = $1 AND objid = $2 AND objsubid = 1 "
        "AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        _CHANGE_LOCK >> 32,
        _CHANGE_LOCK & 0xFFFF_FFFF,
    )
    return float(age_s or 0.0)
