"""How far this replica is behind the database: over some seconds, it sends its callers to another one."""

import asyncio
import time
from collections import deque
from typing import Any, Final

from runtime.errors import TwinError
from runtime.logs import get_logger
from runtime.readiness import Readiness
from vectorstore import change_log
from vectorstore.database import Database
from vectorstore.follower import Follower
from vectorstore.metrics import OLDEST_TRANSACTION_SECONDS

MAX_BEHIND_S: Final = 5.0
_LOOK_INTERVAL_S: Final = 0.5
# Looks that are remembered; a replica that is behind by more of them is far behind anyway.
_MAX_LOOKS: Final = 64

_log = get_logger(__name__)


class LagWatch:
    """Looks at the change log's head from time to time, and turns readiness while this replica is too far behind it.

    While PostgreSQL does not answer, nothing is known of the head, and readiness stays as it is: searching goes on.
    """

    def __init__(
        self, database: Database, follower: Follower, readiness: Readiness, max_behind_s: float = MAX_BEHIND_S
    ) -> None:
        self._database = database
        self._follower = follower
        self._readiness = readiness
        self._max_behind_s = max_behind_s
        # (revision, when it was first seen to be the head), for revisions that are not applied here yet.
        self._ahead: deque[tuple[int, float]] = deque()
        self._is_behind = False

    async def watch(self, interval_s: float = _LOOK_INTERVAL_S) -> None:
        """Looks for ever."""
        while True:
            try:
                async with self._database.reading() as connection:
                    await self._look(connection)
            except TwinError:
                # How long the head has been where it is cannot be told from before the gap.
                self._ahead.clear()
            await asyncio.sleep(interval_s)

    async def _look(self, connection: Any) -> None:
        OLDEST_TRANSACTION_SECONDS.set(await change_log.read_turn_age_s(connection))
        head = await change_log.read_head(connection)
        now_s = time.monotonic()
        applied = self._follower.applied_revision
        while self._ahead and self._ahead[0][0] <= applied:
            self._ahead.popleft()
        last_seen = self._ahead[-1][0] if self._ahead else applied
        if head > last_seen and len(self._ahead) < _MAX_LOOKS:
            self._ahead.append((head, now_s))
        self._turn(is_behind=bool(self._ahead) and now_s - self._ahead[0][1] > self._max_behind_s)

    def _turn(self, *, is_behind: bool) -> None:
        if is_behind:
            # Each time: whoever starts the service may have marked it ready meanwhile.
            self._readiness.mark_not_ready("this replica is behind the database")
        elif self._is_behind:
            self._readiness.mark_ready()
        if is_behind != self._is_behind:
            _log.warning(
                "far behind the database" if is_behind else "caught up with the database",
                revision=self._follower.applied_revision,
            )
        self._is_behind = is_behind
