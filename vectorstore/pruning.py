"""Getting rid of old changes, so that the log does not grow for ever.

A replica that is further behind than the log reaches, and a snapshot that is older, are built anew: see ``history``.
The last of the old ones always stays: replicas that have applied everything else stand on it while a new one arrives.
"""

import asyncio
from datetime import timedelta
from typing import Final

from runtime.logs import get_logger
from vectorstore.database import Database
from vectorstore.metrics import CHANGES_PRUNED

INTERVAL_S: Final = 600.0
# In one statement: others wait for nothing, but the server's log of changes should not swell either.
_BATCH: Final = 10_000
# Times do not rise with revisions: they are those of the transactions' beginnings. So all before the first young one.
_PRUNE_SQL: Final = """
    WITH young AS (
        SELECT coalesce(min(revision), 9223372036854775807) AS first FROM changes
        WHERE change_time > now() - $1::interval
    ),
    doomed AS (
        SELECT revision FROM changes
        WHERE revision < (SELECT max(revision) FROM changes, young WHERE revision < young.first)
        ORDER BY revision LIMIT $2
    ),
    gone AS (DELETE FROM changes USING doomed WHERE changes.revision = doomed.revision RETURNING changes.revision),
    noted AS (
        UPDATE store SET pruned_revision = greatest(pruned_revision, (SELECT max(revision) FROM gone))
        WHERE EXISTS (SELECT FROM gone)
    )
    SELECT count(*) FROM gone
"""

_log = get_logger(__name__)


class Pruner:
    """Deletes changes that are older than the log is to reach back."""

    def __init__(self, database: Database, retention: timedelta) -> None:
        self._database = database
        self._retention = retention

    async def prune(self) -> int:
        """Deletes what is old; returns how many changes that were."""
        count = 0
        while True:
            async with self._database.reading() as connection:
                pruned = int(await connection.fetchval(_PRUNE_SQL, self._retention, _BATCH))
            count += pruned
            CHANGES_PRUNED.inc(pruned)
            if pruned < _BATCH:
                return count

    async def run(self, interval_s: float = INTERVAL_S) -> None:
        """Prunes now and then, for ever; while PostgreSQL is away, tries again at the next turn."""
        while True:
            try:
                count = await self.prune()
                if count:
                    _log.info("old changes pruned", count=count)
            except Exception as error:
                # Whatever it is, a log that grows is no reason to stop answering.
                _log.warning("old changes could not be pruned; trying again", error=type(error).__name__)
            await asyncio.sleep(interval_s)
