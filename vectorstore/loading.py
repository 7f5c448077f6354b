"""Galleries read out of PostgreSQL whole, as of one moment: connections read, threads take apart, one thread adds."""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

import numpy as np

from runtime.logs import get_logger
from vectorstore.catalog_load import CatalogLoad
from vectorstore.change_log import read_head
from vectorstore.copy_out import FACES_SQL, FaceColumns, parse_faces
from vectorstore.database import Database
from vectorstore.gallery_view import GalleryView
from vectorstore.index.base import VectorIndex, Vectors
from vectorstore.index.choose import IndexMaker
from vectorstore.one_moment import CopyReader, OneMoment
from vectorstore.records import GalleryRecord
from vectorstore.rows_sql import gallery_from_row

CONNECTIONS: Final = 3
# Of one answer of PostgreSQL; about three times as many as there are connections are in memory at most.
_PIECE_BYTES: Final = 8 * 2**20
_LEAST_ROWS: Final = 256
# What a face takes besides its vector, about.
_FACE_BYTES: Final = 128
_PROGRESS_INTERVAL_S: Final = 5.0

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedProjection:
    """Every gallery as of one revision."""

    revision: int
    views: list[GalleryView]


async def load_projection(database: Database, maker: IndexMaker, connections: int = CONNECTIONS) -> LoadedProjection:
    """Builds every gallery from PostgreSQL; errors come out unmapped, ValueError for rows that cannot be."""
    async with OneMoment(database) as moment:
        readers = await moment.readers(connections)
        connection = readers[0].connection
        revision = await read_head(connection)
        rows = await connection.fetch("SELECT * FROM galleries ORDER BY gallery_id")
        views = [await _GalleryLoad(gallery_from_row(row), readers).run(maker) for row in rows]
        return LoadedProjection(revision, views)


class _Range:
    """Faces of some ids: pieces in order, None at the end. Whoever reads waits until its pieces are wanted."""

    def __init__(self, first_id: int, end_id: int) -> None:
        self.first_id = first_id
        self.end_id = end_id
        self.pieces: asyncio.Queue[FaceColumns | None] = asyncio.Queue(maxsize=2)


class _GalleryLoad:
    """One gallery's way from PostgreSQL into a view that nobody sees yet."""

    def __init__(self, gallery: GalleryRecord, readers: list[CopyReader]) -> None:
        self._gallery = gallery
        self._readers = readers
        self._catalog = CatalogLoad(gallery.gallery_id)
        self._piece_rows = max(_LEAST_ROWS, _PIECE_BYTES // (4 * gallery.dimension + _FACE_BYTES))
        # Ids of one range: as many as fill a piece, more where ids have holes.
        self._width = self._piece_rows
        self._first_id = self._next_id = self._end_id = 0
        self._ranges: asyncio.Queue[_Range | None] = asyncio.Queue()
        # For ranges that are read before they are wanted.
        self._room = asyncio.Semaphore(2 * len(readers))
        self._free: list[Vectors] = []
        self._last_face_id = -1

    async def run(self, maker: IndexMaker) -> GalleryView:
        """Returns the gallery with all its faces."""
        connection, gallery_id = self._readers[0].connection, self._gallery.gallery_id
        photo_count = await connection.fetchval("SELECT count(*) FROM photos WHERE gallery_id = $1", gallery_id)
        bounds = await connection.fetchrow(
            "SELECT min(face_id), max(face_id) FROM faces WHERE gallery_id = $1", gallery_id
        )
        if bounds[0] is not None:
            self._first_id = self._next_id = bounds[0]
            self._end_id = bounds[1] + 1
        # Photos with several faces make it more, which is as well.
        view = GalleryView(self._gallery, maker, expected_faces=photo_count)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(self._readers[0], photos_first=True))
                for reader in self._readers[1:]:
                    group.create_task(self._read(reader))
                group.create_task(self._add_all(view.index))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        catalog = await asyncio.to_thread(self._catalog.finish)
        await asyncio.to_thread(view.restore, view.index, catalog, self._last_face_id)
        return view

    async def _read(self, reader: CopyReader, *, photos_first: bool = False) -> None:
        """Reads ranges, the next one each time, until there are none left."""
        if photos_first:
            await self._catalog.read_photos(reader)
        while True:
            await self._room.acquire()
            if self._next_id >= self._end_id:
                self._room.release()
                await self._ranges.put(None)
                return
            taken = _Range(self._next_id, min(self._next_id + self._width, self._end_id))
            self._next_id = taken.end_id
            await self._ranges.put(taken)
            count = await self._read_range(reader, taken)
            if count > self._piece_rows:
                self._width = max(self._width // 2, self._piece_rows)
            elif 2 * count < self._piece_rows:
                self._width *= 2

    async def _read_range(self, reader: CopyReader, taken: _Range) -> int:
        first_id, count = taken.first_id, 0
        while first_id < taken.end_id:
            content = await reader.copy(FACES_SQL, self._gallery.gallery_id, first_id, taken.end_id, self._piece_rows)
            faces = await asyncio.to_thread(parse_faces, content, self._take_vectors())
            if not len(faces.ids):
                break
            count += len(faces.ids)
            await taken.pieces.put(faces)
            # Less than was asked for: there is no more.
            first_id = int(faces.ids[-1]) + 1 if len(faces.ids) == self._piece_rows else taken.end_id
        await taken.pieces.put(None)
        return count

    async def _add_all(self, index: VectorIndex) -> None:
        """Adds every range's faces, in order."""
        face_count, progress_s = 0, time.monotonic()
        while (taken := await self._ranges.get()) is not None:
            while (faces := await taken.pieces.get()) is not None:
                await asyncio.to_thread(self._add, index, faces)
                self._give_back(faces.vectors)
                self._last_face_id = int(faces.ids[-1])
                face_count += len(faces.ids)
            self._room.release()
            if time.monotonic() - progress_s >= _PROGRESS_INTERVAL_S:
                progress_s = time.monotonic()
                share = (taken.end_id - self._first_id) / (self._end_id - self._first_id)
                _log.info(
                    "loading faces from PostgreSQL",
                    gallery=self._gallery.name,
                    faces=face_count,
                    percent=round(100 * share),
                )

    def _add(self, index: VectorIndex, faces: FaceColumns) -> None:
        index.add(faces.ids, faces.vectors)
        self._catalog.add(faces)

    def _take_vectors(self) -> Vectors:
        """Returns room for a piece's vectors, used before where there is some: new memory costs more than reading."""
        return self._free.pop() if self._free else np.empty((self._piece_rows, self._gallery.dimension), np.float32)

    def _give_back(self, vectors: Vectors) -> None:
        if isinstance(vectors.base, np.ndarray):
            self._free.append(vectors.base)
