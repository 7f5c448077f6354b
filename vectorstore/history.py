"""Is this still the history that was applied here? Asked whenever the change log is read, in the same statement.

A database can be replaced beneath a running replica: restored from an older backup, or failed over to a standby that
lacked the last transactions. Its revisions are then given out again, to other photos; and a replica that went on from
its own last revision would serve a mixture of both. The last change that was applied stands for everything before it:
where the log no longer has it, with the very time that it had, nothing can be applied on top.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from runtime.errors import StartupError
from vectorstore.change_log import Change, ChangeKind

# One statement, so that all of it is of one moment; a row even where there is nothing new.
_READ_SQL: Final = """
    SELECT store_id, pruned_revision, (SELECT change_time FROM changes WHERE revision = $1) AS applied_time, next.*
    FROM store LEFT JOIN LATERAL (
        SELECT revision, kind, gallery_id, face_ids, change_time FROM changes WHERE revision > $1
        ORDER BY revision LIMIT $2
    ) AS next ON true ORDER BY next.revision
"""


class HistoryChanged(StartupError):
    """The log does not hold what was applied here; whoever follows it must begin anew."""

    def __init__(self, applied_revision: int) -> None:
        super().__init__(
            f"the database no longer has the change that was applied here last, revision {applied_revision}: it was "
            "restored, replaced or pruned meanwhile; start again to build the index from what it holds now"
        )


@dataclass(frozen=True, slots=True)
class Anchor:
    """The last change that was applied; change_time is None while there is none."""

    store_id: uuid.UUID
    revision: int
    change_time: datetime | None


async def read_log(
    connection: Any, applied: Anchor | None, applied_revision: int, limit: int
) -> tuple[list[Change], Anchor]:
    """Returns the next changes, in order, and the anchor that they follow.

    applied: as returned before, or by ``after``; None takes the database's word for what applied_revision is. Raises
    HistoryChanged when the log has not, or no longer, the change that was applied.
    """
    rows = await connection.fetch(_READ_SQL, applied_revision, limit)
    if not rows:
        raise HistoryChanged(applied_revision)
    anchor = Anchor(rows[0]["store_id"], applied_revision, rows[0]["applied_time"])
    is_there = anchor.change_time is not None if applied_revision else rows[0]["pruned_revision"] == 0
    if not is_there or (applied is not None and applied != anchor):
        raise HistoryChanged(applied_revision)
    changes = [
        Change(row["revision"], ChangeKind(row["kind"]), row["gallery_id"], tuple(row["face_ids"]), row["change_time"])
        for row in rows
        if row["revision"] is not None
    ]
    return changes, anchor


def after(anchor: Anchor, change: Change) -> Anchor:
    """Returns the anchor once a change that followed it is applied."""
    return Anchor(anchor.store_id, change.revision, change.change_time)
