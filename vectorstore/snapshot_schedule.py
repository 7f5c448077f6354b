"""When a snapshot is written unasked: when so much has changed that a start would take long, or when it must forget."""

import asyncio
from typing import Any, Final

from runtime.errors import TwinError
from runtime.logs import get_logger
from vectorstore.change_log import ChangeKind
from vectorstore.database import Database
from vectorstore.follower import Follower
from vectorstore.projection import Projection
from vectorstore.snapshots import Snapshots

# After a start, so that a gallery which was read out of PostgreSQL is soon saved.
_FIRST_LOOK_S: Final = 60.0
# Where none are written unasked, those that hold deleted photos still go.
_REMOVAL_INTERVAL_S: Final = 900.0
# Changes that are worth a snapshot of a large gallery: this share of its faces.
_WORTHY_SHARE: Final = 0.01

_log = get_logger(__name__)


class SnapshotSchedule:
    """Looks now and then whether a snapshot is due. A failure is told and harms nothing else."""

    def __init__(
        self,
        snapshots: Snapshots,
        database: Database,
        follower: Follower,
        projection: Projection,
        *,
        interval_s: float,
        least_changes: int,
    ) -> None:
        """interval_s: between two looks; 0: snapshots are written when asked for alone."""
        self._snapshots = snapshots
        self._database = database
        self._follower = follower
        self._projection = projection
        self._interval_s = interval_s
        self._least_changes = least_changes

    async def run(self) -> None:
        """Looks for ever."""
        interval_s = self._interval_s or _REMOVAL_INTERVAL_S
        await asyncio.sleep(min(interval_s, _FIRST_LOOK_S))
        while True:
            await self.look()
            await asyncio.sleep(interval_s)

    async def finish(self, patience_s: float) -> None:
        """Looks once more, at an orderly stop, and lets no snapshot take longer than that; 0: none is written."""
        try:
            if patience_s > 0:
                async with asyncio.timeout(patience_s):
                    await self.look()
        except TimeoutError:
            _log.warning("no time is left for a snapshot; the next start replays more changes")
        await self._snapshots.close(0)

    async def look(self) -> None:
        """Writes a snapshot when one is due, or removes one that must not stay and cannot be replaced."""
        try:
            must_go = await self._must_go()
            # In a thread: it waits for each gallery's lock.
            is_due = self._interval_s > 0 and (must_go or await asyncio.to_thread(self._is_worth_it))
        except TwinError:
            # PostgreSQL is away or a gallery has to be built anew, and a snapshot could not be written either.
            return
        if is_due:
            try:
                await self._snapshots.create()
            except Exception as error:
                # Whatever it is, a start that takes longer is no reason to stop answering.
                _log.warning("no snapshot could be written; trying again later", error=type(error).__name__)
            else:
                return
        if must_go:
            await self._snapshots.remove()
            _log.info("the snapshot held photos that were deleted since, or was of no use, and is removed")

    async def _must_go(self) -> bool:
        """Tells whether the snapshot holds what was deleted since, or whether no start could use it."""
        last = self._snapshots.last
        if last is None:
            return self._snapshots.has_files()
        async with self._database.reading() as connection:
            must_go: Any = await connection.fetchval(
                "SELECT NOT EXISTS (SELECT FROM changes WHERE revision = $1) "
                "OR EXISTS (SELECT FROM changes WHERE revision > $1 AND kind = ANY($2::text[]))",
                last.revision,
                [ChangeKind.DELETE_PHOTO.value, ChangeKind.DROP_GALLERY.value],
            )
        return bool(must_go)

    def _is_worth_it(self) -> bool:
        last = self._snapshots.last
        views = {view.gallery.gallery_id: view for view in self._projection.views()}
        facts = {gallery_id: view.facts() for gallery_id, view in views.items()}
        face_count = sum(fact.face_count for fact in facts.values())
        worthy = max(self._least_changes, int(_WORTHY_SHARE * face_count))
        if last is None:
            return face_count >= worthy
        if self._follower.applied_revision - last.revision >= worthy:
            return True
        # An index of another kind than the one that was saved would have to be made again at each start.
        return face_count >= worthy and any(
            last.kinds.get(gallery_id, fact.kind) != fact.kind for gallery_id, fact in facts.items()
        )
