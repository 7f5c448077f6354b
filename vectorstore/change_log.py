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
_INSERT_SQL: Final = "INSERT INTO changes (revision, kind, gallery_id, photo_id, face_ids) VALUES ($1, $2, $3, $4, $5)"
# In one exchange: within the turn each one counts. However often a transaction does so, it notifies once.
_INSERT_AND_WAKE_SQL: Final = f"WITH change AS ({_INSERT_SQL}) SELECT pg_notify('{CHANNEL}', '')"


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
    revisions, _ = await take_numbers(connection, count, 0, above=above)
    return revisions


async def take_numbers(
    connection: Any, revision_count: int, face_count: int, *, above: int
) -> tuple[list[int], list[int]]:
    """Returns new revisions, as ``take_revisions`` does, and new face ids, ascending.

    These are above those of every earlier commit, since the caller holds the turn.
    """
    # One step of any length: nobody else takes numbers meanwhile.
    revision, face_id = await connection.fetchrow(
        "SELECT setval('revisions', nextval('revisions') + $1 - 1), "
        "CASE WHEN $2 > 0 THEN setval('face_ids', nextval('face_ids') + $2 - 1) ELSE 0 END",
        revision_count,
        face_count,
    )
    if revision - revision_count < above:
        raise NotReady("the database is not the one that this replica follows")
    return _up_to(revision, revision_count), _up_to(face_id, face_count)


def _up_to(last: int, count: int) -> list[int]:
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

    It stands for every revision between the change before it and itself. Once the transaction commits, the replicas
    are told that there is something new.
    """
    wakes = not await failpoints.reach_async("changes.notify")
    await connection.execute(
        _INSERT_AND_WAKE_SQL if wakes else _INSERT_SQL, revision, kind.value, gallery_id, photo_id, face_ids
    )


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
