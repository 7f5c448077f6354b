"""Snapshots of the projection on disk, so that a start need not read every vector out of PostgreSQL.

The state is captured at one revision, in which time changes wait for a moment, and written while they go on. A start
uses a snapshot only when everything about it is right, and then replays the change log from the snapshot's revision;
anything else means a rebuild from PostgreSQL.
"""

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from runtime import failpoints
from runtime.errors import NotReady, StorageFull
from runtime.logs import get_logger
from vectorstore import metrics
from vectorstore.catalog import Catalog
from vectorstore.daemon_thread import in_daemon_thread
from vectorstore.database import Database
from vectorstore.follower import Follower
from vectorstore.gallery_view import GalleryView
from vectorstore.index.choose import IndexMaker
from vectorstore.index.sealed_file import DamagedFile
from vectorstore.projection import Projection
from vectorstore.records import GalleryRecord
from vectorstore.rows_sql import gallery_from_row
from vectorstore.snapshot_files import CapturedGallery, GalleryEntry, Manifest, SnapshotFolder

# For a write to notice that it is to end: a chunk of a file, or its way to the disk.
_END_PATIENCE_S: Final = 2.0

_log = get_logger(__name__)


class UnusableSnapshot(Exception):
    """The snapshot is whole, and not of this database as it is now."""


@dataclass(frozen=True, slots=True)
class WrittenSnapshot:
    """The snapshot that there is. kinds: of each gallery's index, by the gallery's id."""

    revision: int
    size_bytes: int
    time: datetime
    kinds: dict[int, str]


class _Unwanted(Exception):
    """The service stops."""


class Snapshots:
    """Writes snapshots into a folder and starts from the last one."""

    def __init__(
        self, folder: Path, database: Database, follower: Follower, projection: Projection, maker: IndexMaker
    ) -> None:
        self._folder = SnapshotFolder(folder)
        self._database = database
        self._follower = follower
        self._projection = projection
        self._maker = maker
        self._one_at_a_time = asyncio.Lock()
        self._next: asyncio.Task[WrittenSnapshot] | None = None
        self._running: set[asyncio.Task[WrittenSnapshot]] = set()
        self._is_closing = threading.Event()
        # What a start would use now.
        self.last: WrittenSnapshot | None = None

    @property
    def last_time(self) -> datetime | None:
        """When the snapshot that there is was written."""
        return self.last.time if self.last is not None else None

    def has_files(self) -> bool:
        """Tells whether there is a snapshot on the disk, one that a start could not use included."""
        return self._folder.exists()

    async def create(self) -> WrittenSnapshot:
        """Writes the projection as of one revision; raises StorageFull, DependencyUnavailable, NotReady at a stop.

        One at a time: while one is written, all who ask share the next. Seen through to its end when its callers leave.
        """
        if self._next is None:
            self._next = asyncio.create_task(self._create())
            self._running.add(self._next)
            self._next.add_done_callback(self._end)
        return await asyncio.shield(self._next)

    def _end(self, task: asyncio.Task[WrittenSnapshot]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            # Looked at, though every caller may have left.
            task.exception()

    async def _create(self) -> WrittenSnapshot:
        async with self._one_at_a_time:
            # Whoever asks from now on has changes that this one may lack.
            self._next = None
            start_s = time.monotonic()
            try:
                written = await self._capture_and_write()
            except Exception as error:
                metrics.SNAPSHOT_FAILURES.inc()
                if isinstance(error, OSError):
                    _log.error("the snapshot could not be written", why=error.strerror)
                    raise StorageFull("the snapshot could not be written") from error
                if isinstance(error, _Unwanted):
                    raise NotReady("the service stops") from None
                raise
            seconds = time.monotonic() - start_s
            metrics.SNAPSHOT_SECONDS.set(seconds)
            self._note(written)
            _log.info(
                "snapshot written",
                revision=written.revision,
                megabytes=round(written.size_bytes / 1e6, 1),
                seconds=round(seconds, 2),
            )
            return written

    async def _capture_and_write(self) -> WrittenSnapshot:
        async with self._follower.standing_still:
            revision = self._follower.applied_revision
            async with self._database.reading() as connection:
                origin = await _origin(connection, revision)
            views = self._projection.views()
            galleries = await asyncio.to_thread(lambda: [_capture(view) for view in views])
        now = datetime.now(UTC)
        await failpoints.reach_async("snapshot.captured")
        manifest, size_bytes = await in_daemon_thread(
            lambda: self._folder.write(revision, origin, galleries, self._check_wanted), "snapshot"
        )
        return WrittenSnapshot(revision, size_bytes, now, _kinds(manifest))

    def _check_wanted(self) -> None:
        if self._is_closing.is_set():
            raise _Unwanted

    def _note(self, written: WrittenSnapshot | None) -> None:
        self.last = written
        metrics.SNAPSHOT_TIME.set(written.time.timestamp() if written is not None else 0)
        metrics.SNAPSHOT_BYTES.set(written.size_bytes if written is not None else 0)

    async def remove(self) -> None:
        """Removes the snapshot, and a damaged one that was kept aside."""
        async with self._one_at_a_time:
            await asyncio.to_thread(self._folder.remove)
            self._note(None)

    async def close(self, patience_s: float) -> None:
        """Ends a snapshot that is being written when it is not done by then; none is written afterwards.

        On a disk that does not answer it is left as it is, and cleared away by the next start.
        """
        if self._running:
            await asyncio.wait(self._running, timeout=patience_s)
        self._is_closing.set()
        if self._running:
            _, left = await asyncio.wait(self._running, timeout=_END_PATIENCE_S)
            if left:
                _log.warning("the disk does not take the snapshot; it is left half written")

    async def load(self) -> bool:
        """Fills the projection from the snapshot; returns False when there is none that is right in every way.

        Errors of PostgreSQL come out unmapped.
        """
        await asyncio.to_thread(self._folder.clean)
        if not self._folder.exists():
            return False
        await failpoints.reach_async("snapshot.loading")
        try:
            manifest = await asyncio.to_thread(self._folder.read_manifest)
            galleries = await self._check(manifest)
            views = [
                await asyncio.to_thread(self._load_gallery, gallery, manifest.galleries[gallery.gallery_id])
                for gallery in galleries
            ]
        except DamagedFile as error:
            aside = await asyncio.to_thread(self._folder.set_aside)
            metrics.SNAPSHOTS_DAMAGED.inc()
            _log.error(
                "the snapshot is damaged; the index is built from PostgreSQL", why=str(error), kept_aside=aside.name
            )
            return False
        except (UnusableSnapshot, KeyError, ValueError, TypeError) as error:
            _log.warning(
                "the snapshot is not used; the index is built from PostgreSQL", why=f"{type(error).__name__}: {error}"
            )
            return False
        self._note(WrittenSnapshot(manifest.revision, self._folder.size_bytes(), self._folder.time(), _kinds(manifest)))
        await self._follower.begin_at(manifest.revision, views)
        return True

    async def _check(self, manifest: Manifest) -> Sequence[GalleryRecord]:
        """Returns the snapshot's galleries that are still there; raises UnusableSnapshot when it is of another history.

        Of a revision that the change log no longer has, too: what came after it may be gone as well.
        """
        connection = await self._database.connect()
        try:
            async with self._database.together(connection):
                origin = await _origin(connection, manifest.revision)
                rows = await connection.fetch("SELECT * FROM galleries")
            if manifest.origin["store_id"] != origin["store_id"]:
                raise UnusableSnapshot("it is of another database")
            if origin["change_time"] is None:
                raise UnusableSnapshot("the change log does not have its revision, any more or yet")
            if manifest.origin != origin:
                raise UnusableSnapshot("its revision is of another history of the database")
        finally:
            connection.terminate()
        galleries = [gallery_from_row(row) for row in rows if row["gallery_id"] in manifest.galleries]
        for gallery in galleries:
            if manifest.galleries[gallery.gallery_id].identity != _identity(gallery):
                raise UnusableSnapshot("one of its galleries is another one now")
        return galleries

    def _load_gallery(self, gallery: GalleryRecord, entry: GalleryEntry) -> GalleryView:
        index_arrays, catalog_arrays = self._folder.read_gallery(gallery.gallery_id, entry)
        index = self._maker.restore(gallery, index_arrays)
        view = GalleryView(gallery, self._maker, index=index)
        catalog = Catalog.from_arrays(catalog_arrays)
        if not np.array_equal(index.live_ids(), catalog.live_ids()):
            raise ValueError("index and catalog differ")
        view.restore(index, catalog, entry.last_face_id)
        return view


def _capture(view: GalleryView) -> CapturedGallery:
    with view.lock.reading():
        return CapturedGallery(
            view.gallery.gallery_id,
            _identity(view.gallery),
            view.last_face_id,
            view.index.facts().kind,
            view.index.to_arrays(),
            view.catalog.state(),
        )


def _kinds(manifest: Manifest) -> dict[int, str]:
    return {gallery_id: entry.kind for gallery_id, entry in manifest.galleries.items()}


def _identity(gallery: GalleryRecord) -> list[Any]:
    return [gallery.name, gallery.model_id, gallery.dimension]


async def _origin(connection: Any, revision: int) -> dict[str, Any]:
    """Returns what tells this database, at this revision, from every other and from an older copy of itself."""
    row = await connection.fetchrow(
        "SELECT store_id, (SELECT change_time FROM changes WHERE revision = $1) AS change_time FROM store", revision
    )
    change_time = row["change_time"]
    return {"store_id": str(row["store_id"]), "change_time": None if change_time is None else str(change_time)}
