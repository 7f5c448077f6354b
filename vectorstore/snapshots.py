"""Snapshots of the projection on disk, so that a start need not read every vector out of PostgreSQL.

A snapshot is a folder with one sealed file for each gallery's index and one for its catalog, and a sealed manifest
that names them. It is written under another name and renamed into place. A start uses it only when everything about it
is right, and then replays the change log from the snapshot's revision; anything else means a rebuild from PostgreSQL.
"""

import asyncio
import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from runtime import failpoints
from runtime.errors import StorageFull
from runtime.logs import get_logger
from vectorstore.catalog import Catalog
from vectorstore.database import Database
from vectorstore.follower import Follower
from vectorstore.gallery_view import GalleryView
from vectorstore.index.choose import IndexMaker
from vectorstore.index.sealed_file import DamagedFile, read_sealed, sync_folder, write_sealed
from vectorstore.projection import Projection
from vectorstore.records import GalleryRecord
from vectorstore.rows_sql import gallery_from_row

_FORMAT: Final = 1
_MANIFEST: Final = "manifest.bin"
_NAME: Final = "snapshot"

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WrittenSnapshot:
    """What was written."""

    revision: int
    size_bytes: int


class Snapshots:
    """Writes snapshots into a folder and starts from the last one."""

    def __init__(
        self, folder: Path, database: Database, follower: Follower, projection: Projection, make_index: IndexMaker
    ) -> None:
        self._folder = folder
        self._database = database
        self._follower = follower
        self._projection = projection
        self._make_index = make_index
        self._one_at_a_time = asyncio.Lock()
        self.last_time: datetime | None = None

    async def create(self) -> WrittenSnapshot:
        """Writes the projection as of one revision; raises StorageFull or DependencyUnavailable.

        Changes wait meanwhile, searches do not. Seen through to its end when the caller leaves: the thread that writes
        cannot be stopped, and changes must not be applied beneath it.
        """
        return await asyncio.shield(asyncio.create_task(self._create()))

    async def _create(self) -> WrittenSnapshot:
        async with self._one_at_a_time, self._follower.standing_still:
            revision = self._follower.applied_revision
            async with self._database.reading() as connection:
                origin = await _origin(connection, revision)
            views = self._projection.views()
            await failpoints.reach_async("snapshot.captured")
            try:
                size_bytes = await asyncio.to_thread(self._write, revision, origin, views)
            except OSError as error:
                raise StorageFull("the snapshot could not be written") from error
        self.last_time = datetime.now(UTC)
        return WrittenSnapshot(revision, size_bytes)

    def _write(self, revision: int, origin: dict[str, Any], views: list[GalleryView]) -> int:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        target, temporary, old = (self._folder / f"{_NAME}{suffix}" for suffix in ("", ".new", ".old"))
        for leftover in (temporary, old):
            shutil.rmtree(leftover, ignore_errors=True)
        temporary.mkdir(mode=0o700)
        try:
            for view in views:
                write_sealed(temporary / f"index-{view.gallery.gallery_id}.bin", view.index.to_arrays())
                write_sealed(temporary / f"catalog-{view.gallery.gallery_id}.bin", view.catalog.to_arrays())
            manifest = {
                "format": _FORMAT,
                "revision": revision,
                "origin": origin,
                "galleries": {
                    str(view.gallery.gallery_id): [*_identity(view.gallery), view.last_face_id] for view in views
                },
            }
            content = np.frombuffer(json.dumps(manifest).encode(), dtype=np.uint8)
            write_sealed(temporary / _MANIFEST, {"manifest": content})
        except OSError:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        failpoints.reach("snapshot.before_rename")
        size_bytes = sum(path.stat().st_size for path in temporary.iterdir())
        if target.exists():
            target.rename(old)
            failpoints.reach("snapshot.between_renames")
        temporary.rename(target)
        failpoints.reach("snapshot.renamed")
        sync_folder(self._folder)
        # The last one holds vectors of photos that were deleted since.
        shutil.rmtree(old, ignore_errors=True)
        return size_bytes

    async def load(self) -> bool:
        """Fills the projection from the last snapshot; returns False when there is none that is right in every way.

        Errors of PostgreSQL come out unmapped.
        """
        target = self._folder / _NAME
        if not target.exists():
            return False
        await failpoints.reach_async("snapshot.loading")
        try:
            content = read_sealed(target / _MANIFEST)["manifest"].tobytes()
            manifest = json.loads(content)
            revision = int(manifest["revision"])
            galleries = await self._check(manifest, revision)
            views = [
                await asyncio.to_thread(self._load_gallery, target, gallery, int(manifest["galleries"][str(key)][-1]))
                for key, gallery in galleries.items()
            ]
        except (DamagedFile, KeyError, ValueError, TypeError) as error:
            _log.warning("the snapshot is not used; the index is built from PostgreSQL", why=type(error).__name__)
            return False
        self.last_time = datetime.fromtimestamp((target / _MANIFEST).stat().st_mtime, UTC)
        await self._follower.begin_at(revision, views)
        return True

    async def _check(self, manifest: dict[str, Any], revision: int) -> dict[int, GalleryRecord]:
        """Returns the snapshot's galleries that are still there; raises ValueError when it is of another history."""
        if manifest["format"] != _FORMAT:
            raise ValueError("another format")
        connection = await self._database.connect()
        try:
            if manifest["origin"] != await _origin(connection, revision):
                raise ValueError("another database, or one that was restored from before the snapshot")
            galleries = [gallery_from_row(row) for row in await connection.fetch("SELECT * FROM galleries")]
        finally:
            connection.terminate()
        known = manifest["galleries"]
        kept = {gallery.gallery_id: gallery for gallery in galleries if str(gallery.gallery_id) in known}
        if any(known[str(key)][:-1] != _identity(gallery) for key, gallery in kept.items()):
            raise ValueError("another gallery")
        return kept

    def _load_gallery(self, folder: Path, gallery: GalleryRecord, last_face_id: int) -> GalleryView:
        view = GalleryView(gallery, self._make_index)
        index = self._make_index.restore(gallery, read_sealed(folder / f"index-{gallery.gallery_id}.bin"))
        catalog = Catalog.from_arrays(read_sealed(folder / f"catalog-{gallery.gallery_id}.bin"))
        if not np.array_equal(index.live_ids(), catalog.live_ids()):
            raise ValueError("index and catalog differ")
        view.restore(index, catalog, last_face_id)
        return view


def _identity(gallery: GalleryRecord) -> list[Any]:
    return [gallery.name, gallery.model_id, gallery.dimension]


async def _origin(connection: Any, revision: int) -> dict[str, Any]:
    """Returns what tells this database, at this revision, from every other and from an older copy of itself."""
    row = await connection.fetchrow(
        "SELECT store_id, (SELECT change_time FROM changes WHERE revision = $1) AS change_time FROM store", revision
    )
    return {"store_id": str(row["store_id"]), "change_time": str(row["change_time"])}
