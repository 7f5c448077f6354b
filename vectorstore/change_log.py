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
from typing import Any, Final, NamedTuple

from runtime import failpoints
from runtime.errors import NotReady

CHANNEL: Final = "twin_changes"
_CHANGE_LOCK: Final = 0x7477_696E_0002
_INSERT_SQL: Final = "INSERT INTO changes (revision, kind, gallery_id, photo_id, face_ids) VALUES ($1, $2, $3, $4, $5)"
# In one exchange: within the turn each one counts. However often a transaction does so, it notifies once.
_INSERT_AND_WAKE_SQL: Final = f"WITH change AS ({_INSERT_SQL}) SELECT pg_notify('{CHANNEL}', '')"
# One step of any length: nobody else takes numbers meanwhile.
_TAKE_REVISIONS_SQL: Final = "setval('revisions', nextval('revisions') + $1 - 1)"


class ChangeKind(enum.StrEnum):
    """What happened."""

    CREATE_GALLERY = "create_gallery"
    DROP_GALLERY = "drop_gallery"
    ADD_PHOTO = "add_photo"
    DELETE_PHOTO = "delete_photo"


# Returns the last revision and face id that were given out before, and wakes; all in one exchange, as above. Numbers
# that were used already, which the caller refuses, are not written.
_LOG_ADDED_SQL: Final = f"""
    WITH numbers AS (
        SELECT {_TAKE_REVISIONS_SQL} - $1 AS revision, setval('face_ids', nextval('face_ids') + $2 - 1) - $2 AS face_id
    ), change AS (
        INSERT INTO changes (revision, kind, gallery_id, face_ids)
        SELECT revision + photo_stop, '{ChangeKind.ADD_PHOTO}', gallery_id,
               ARRAY(SELECT generate_series(face_id + face_start + 1, face_id + face_stop))
        FROM numbers, unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
            AS run (gallery_id, photo_stop, face_start, face_stop)
        WHERE revision >= $7
    )
    SELECT revision, face_id, CASE WHEN $8 THEN pg_notify('{CHANNEL}', '') END FROM numbers
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the log."""

    revision: int
    kind: ChangeKind
    gallery_id: int
    face_ids: tuple[int, ...]
    # Of the beginning of the transaction that wrote it.
    change_time: datetime


class AddedRun(NamedTuple):
    """Photos of one gallery among all that a transaction adds: where they end, and where their faces are."""

    gallery_id: int
    photo_stop: int
    face_start: int
    face_stop: int


async def take_turn(connection: Any) -> None:
    """Waits until no other transaction is between its first revision and its commit."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _CHANGE_LOCK)


async def take_revisions(connection: Any, count: int, *, above: int = 0) -> list[int]:
    """Returns new revisions, ascending; the caller holds the turn.

    above: what was applied here. Raises NotReady when the database gives out numbers that were used already, as one
    does that was restored: who waits for such a revision would be told that it is applied.
    """
    last = await connection.fetchval(f"SELECT {_TAKE_REVISIONS_SQL}", count)
    _check_follows(last - count, above)
    return list(range(last - count + 1, last + 1))


async def log_added(
    connection: Any, runs: Sequence[AddedRun], photo_count: int, face_count: int, *, above: int
) -> tuple[range, range]:
    """Logs a change for each run, in the caller's turn; returns a revision for each photo, and an id for each face.

    These are above those of every earlier commit. A change stands for all photos of its run, and has the last one's
    revision. face_count: at least one. above: see ``take_revisions``.
    """
    wakes = not await failpoints.reach_async("changes.notify")
    revision, face_id, _ = await connection.fetchrow(
        _LOG_ADDED_SQL, photo_count, face_count, *zip(*runs, strict=True), above, wakes
    )
    _check_follows(revision, above)
    return range(revision + 1, revision + photo_count + 1), range(face_id + 1, face_id + face_count + 1)


def _check_follows(last_before: int, above: int) -> None:
    if last_before < above:
        raise NotReady("the database is not the one that this replica follows")


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
