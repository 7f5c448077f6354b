"""The one path by which changes reach the index: follow PostgreSQL's change log, in order, and apply.

A writer of this process goes the same way: it commits, wakes the follower, and waits until its revision is applied. So
an index is what its change log says, whoever wrote it.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any, Final

import numpy as np

from runtime import failpoints
from runtime.errors import DependencyUnavailable, NotReady, TwinError
from runtime.logs import get_logger
from vectorstore.change_log import CHANNEL, Change, ChangeKind, read_head
from vectorstore.database import Database
from vectorstore.gallery_view import GalleryView
from vectorstore.history import Anchor, HistoryChanged, after, read_log
from vectorstore.index.choose import IndexMaker
from vectorstore.loading import load_projection
from vectorstore.metrics import APPLIED_REVISION, DATABASE_REVISION, FACES, TOMBSTONES
from vectorstore.own_rows import IndexedFaces, OwnFaces, OwnRows, merged
from vectorstore.postgres_errors import is_unavailable
from vectorstore.projection import Projection
from vectorstore.rows_sql import INDEXED_FACE_SQL, Row, gallery_from_row

POLL_INTERVAL_S: Final = 0.2
BATCH_CHANGES: Final = 256
# Rows, embeddings included, that are in memory at once while they are applied.
BATCH_FACES: Final = 8192
_FIRST_RETRY_S: Final = 0.05
_LAST_RETRY_S: Final = 1.0

_log = get_logger(__name__)


class Follower:
    """Reads the change log and is the only one that changes the projection."""

    def __init__(self, database: Database, projection: Projection, make_index: IndexMaker) -> None:
        self._database = database
        self._projection = projection
        self._make_index = make_index
        self._wake = asyncio.Event()
        self._progress = asyncio.Condition()
        self._applied_revision = 0
        self._head_revision = 0
        # The change of that revision; None before the log was read for the first time.
        self._anchor: Anchor | None = None
        # What this process has committed and not yet applied.
        self.own_rows = OwnRows()
        # Held while a batch is applied, and by who needs the projection to stand still at one revision.
        self.standing_still = asyncio.Lock()

    @property
    def applied_revision(self) -> int:
        """The last change that searches here reflect."""
        return self._applied_revision

    @property
    def head_revision(self) -> int:
        """The last change in the database, as last seen."""
        return max(self._head_revision, self._applied_revision)

    async def read_head(self) -> int:
        """Returns the last change in the database: asked now, or as last seen while PostgreSQL does not answer."""
        try:
            async with self._database.reading() as connection:
                self._head_revision = await read_head(connection)
        except TwinError:
            pass
        return self.head_revision

    def wake(self) -> None:
        """Looks for changes now instead of at the next poll."""
        self._wake.set()

    async def wait_for(self, revision: int, timeout_s: float) -> None:
        """Returns once the revision is applied; raises NotReady after ``timeout_s``, or when PostgreSQL is away."""
        if self._applied_revision >= revision:
            return
        self.wake()
        try:
            async with asyncio.timeout(timeout_s), self._progress:
                await self._progress.wait_for(lambda: self._applied_revision >= revision or not self._database.is_up)
        except TimeoutError:
            pass
        if self._applied_revision < revision:
            raise NotReady(
                f"this replica has applied revision {self._applied_revision}, not yet {revision}", retry_delay_s=0.5
            )

    async def load(self) -> None:
        """Builds the projection from PostgreSQL, as of one moment, and applies what came since; errors unmapped."""
        loaded = await load_projection(self._database, self._make_index)
        await self.begin_at(loaded.revision, loaded.views)

    async def begin_at(self, revision: int, views: Sequence[GalleryView]) -> None:
        """Begins with galleries as of a revision, and applies what came since; errors come out unmapped."""
        for view in views:
            self._projection.put(view)
        await self._advance(revision)
        connection = await self._database.connect()
        try:
            while await self._look(connection):
                pass
        finally:
            connection.terminate()

    async def follow(self) -> None:
        """Applies changes for ever; while PostgreSQL is away, tries again and again."""
        retry_s = _FIRST_RETRY_S
        while True:
            try:
                connection = await self._database.connect()
                try:
                    if not self._database.is_pooled:
                        await connection.add_listener(CHANNEL, lambda *_: self._wake.set())
                    while True:
                        self._wake.clear()
                        if not await self._look(connection):
                            retry_s = _FIRST_RETRY_S
                            await self._sleep()
                finally:
                    connection.terminate()
            except HistoryChanged as error:
                # Whoever supervises this task ends the service, which answers no search from now on.
                _log.error(str(error))
                raise
            except DependencyUnavailable as error:
                # What is applied already is told by its ids when it is applied again.
                _log.warning("changes cannot be applied; trying again", error=str(error))
            except Exception as error:
                if not is_unavailable(error):
                    raise
                _log.warning("the change log cannot be read; trying again", error=type(error).__name__)
            # Those who wait may be waiting for a server that is away.
            await self._tell_waiters()
            await asyncio.sleep(retry_s)
            retry_s = min(retry_s * 2, _LAST_RETRY_S)

    async def _sleep(self) -> None:
        try:
            async with asyncio.timeout(POLL_INTERVAL_S):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _look(self, connection: Any) -> bool:
        async with self._database.together(connection):
            return await self._apply_next(connection)

    async def _apply_next(self, connection: Any) -> bool:
        """Applies the next changes; returns True when there may be more."""
        read, self._anchor = await read_log(connection, self._anchor, self._applied_revision, BATCH_CHANGES)
        if not read:
            return False
        changes = _first_changes(read, BATCH_FACES)
        self._head_revision = max(self._head_revision, changes[-1].revision)
        DATABASE_REVISION.set(self._head_revision)
        async with self.standing_still:
            await failpoints.reach_async("follower.before_apply")
            for group in _split_by_gallery_changes(changes):
                await self._apply(connection, group)
                await failpoints.reach_async("follower.between_changes")
            self._anchor = after(self._anchor, changes[-1])
            await self._advance(changes[-1].revision)
        self.own_rows.forget(changes[-1].revision)
        await failpoints.reach_async("follower.applied")
        return len(changes) < len(read) or len(read) == BATCH_CHANGES

    async def _apply(self, connection: Any, changes: Sequence[Change]) -> None:
        first = changes[0]
        if first.kind is ChangeKind.CREATE_GALLERY:
            row = await connection.fetchrow("SELECT * FROM galleries WHERE gallery_id = $1", first.gallery_id)
            # Gone already when it was dropped by a later change.
            if row is not None and self._projection.find(first.gallery_id) is None:
                self._projection.put(GalleryView(gallery_from_row(row), self._make_index))
            return
        if first.kind is ChangeKind.DROP_GALLERY:
            view = self._projection.drop(first.gallery_id)
            if view is not None:
                for gauge in (FACES, TOMBSTONES):
                    gauge.remove(view.gallery.name)
                kept = [left.gallery.gallery_id for left in self._projection.views()]
                await asyncio.to_thread(self._make_index.keep_only, kept)
            return
        await self._apply_photos(connection, changes)

    async def _apply_photos(self, connection: Any, changes: Sequence[Change]) -> None:
        deleted = {
            face_id for change in changes if change.kind is ChangeKind.DELETE_PHOTO for face_id in change.face_ids
        }
        own: dict[int, list[OwnFaces]] = defaultdict(list)
        elsewhere: set[int] = set()
        for change in changes:
            if change.kind is ChangeKind.ADD_PHOTO:
                faces = await self.own_rows.find(change.revision)
                if faces is not None and faces.is_of(change.gallery_id, change.face_ids):
                    own[change.gallery_id].append(faces)
                else:
                    elsewhere.update(change.face_ids)
        # A face that this batch adds and deletes need not be read; one that a later batch deletes is gone already,
        # which is as well: nobody was told that it can be found here.
        rows_by_gallery: dict[int, list[Row]] = defaultdict(list)
        if elsewhere - deleted:
            for row in await connection.fetch(
                f"{INDEXED_FACE_SQL} WHERE f.face_id = ANY($1::bigint[]) ORDER BY f.face_id",
                sorted(elsewhere - deleted),
            ):
                rows_by_gallery[row["gallery_id"]].append(row)
        for gallery_id in {change.gallery_id for change in changes}:
            view = self._projection.find(gallery_id)
            if view is not None:
                gone = sorted(
                    face_id
                    for change in changes
                    if change.gallery_id == gallery_id and change.kind is ChangeKind.DELETE_PHOTO
                    for face_id in change.face_ids
                )
                await asyncio.to_thread(
                    _apply_to_view, view, own[gallery_id], rows_by_gallery[gallery_id], deleted, gone
                )

    async def _advance(self, revision: int) -> None:
        self._applied_revision = max(self._applied_revision, revision)
        self._head_revision = max(self._head_revision, self._applied_revision)
        APPLIED_REVISION.set(self._applied_revision)
        for view in self._projection.views():
            facts = view.index.facts()
            FACES.labels(view.gallery.name).set(facts.face_count)
            TOMBSTONES.labels(view.gallery.name).set(facts.tombstone_count)
        await self._tell_waiters()

    async def _tell_waiters(self) -> None:
        async with self._progress:
            self._progress.notify_all()


def _first_changes(changes: Sequence[Change], max_faces: int) -> list[Change]:
    """Returns as many changes as have no more faces together than that, and at least one."""
    face_count = 0
    for position, change in enumerate(changes):
        face_count += len(change.face_ids)
        if face_count > max_faces and position:
            return list(changes[:position])
    return list(changes)


def _split_by_gallery_changes(changes: Sequence[Change]) -> list[list[Change]]:
    """Returns the changes in order, in runs of photo changes and single gallery changes."""
    groups: list[list[Change]] = []
    run: list[Change] = []
    for change in changes:
        if change.kind in (ChangeKind.ADD_PHOTO, ChangeKind.DELETE_PHOTO):
            run.append(change)
            continue
        if run:
            groups.append(run)
            run = []
        groups.append([change])
    if run:
        groups.append(run)
    return groups


def _apply_to_view(
    view: GalleryView, own: Sequence[OwnFaces], rows: Sequence[Row], deleted: Collection[int], gone: Sequence[int]
) -> None:
    if gone:
        view.remove(np.array(gone, dtype=np.int64))
    read = [IndexedFaces.from_rows(view.gallery.gallery_id, rows)] if rows else []
    # A batch that failed halfway is applied again; what it added then lies at or below the last id.
    new = merged([*(faces.indexed() for faces in own), *read], above=view.last_face_id, without=deleted)
    if new is not None:
        view.add(new.faces, new.vectors)
