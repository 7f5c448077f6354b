"""One gallery in memory: its index, its catalog and its sample, changed by the follower alone and read by searches."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from runtime import failpoints
from runtime.errors import DependencyUnavailable
from vectorstore.catalog import Catalog
from vectorstore.catalog_face import CatalogFace
from vectorstore.index.base import Ids, IndexFacts, VectorIndex, Vectors
from vectorstore.index.choose import IndexMaker
from vectorstore.index.locks import SharedLock
from vectorstore.index.rehouse import Move
from vectorstore.records import GalleryRecord
from vectorstore.sample import GallerySample


class GalleryView:
    """What searches see of a gallery. Readers hold ``lock.reading()`` from the scan to the last look at the catalog."""

    def __init__(
        self, gallery: GalleryRecord, maker: IndexMaker, expected_faces: int = 0, index: VectorIndex | None = None
    ) -> None:
        """index: one that was brought back; None: an empty one that will have about so many faces."""
        self.gallery = gallery
        self.lock = SharedLock()
        self._maker = maker
        self.index: VectorIndex = index if index is not None else maker.empty(gallery, expected_faces)
        self.catalog = Catalog()
        self.sample = GallerySample(gallery.dimension)
        # The highest id that was ever added here, removed or not.
        self.last_face_id = -1

    def add(self, faces: Sequence[CatalogFace], vectors: Vectors) -> None:
        """Makes faces with ascending ids findable. Called by the follower's thread only."""
        ids = np.array([face.face_id for face in faces], dtype=np.int64)
        with self._changing():
            self.index.add(ids, vectors)
            self.catalog.add(faces)
            self.sample.add(ids, vectors)
            self.last_face_id = int(ids[-1])

    def remove(self, ids: Ids) -> None:
        """Makes faces unfindable at once. Called by the follower's thread only."""
        with self._changing():
            removed_count = self.index.remove(ids)
            self.catalog.remove(ids)
            self.sample.remove(ids, removed_count, self.index)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Holds the lock for a change. One that fails in its middle, as for want of memory, ends all searches here."""
        with self.lock.writing():
            try:
                yield
            except (DependencyUnavailable, OSError):
                # From the index, before it changed anything; the follower tries again.
                raise
            except BaseException:
                self.lock.close()
                raise

    def upkeep(self) -> bool:
        """Does one piece of what makes searches faster and memory smaller; returns False when there is none.

        Long, for a thread, one at a time. Searches and changes go on meanwhile, and wait only while what was made
        takes its place.
        """
        with self.lock.reading():
            work = self.index.upkeep()
            better = self._maker.better(self.gallery, self.index.facts()) if work is None else None
            move = Move(self.index, better) if better is not None else None
            catalog = self.catalog.state() if self.catalog.wants_compaction() else None
        if work is not None:
            failpoints.reach("compaction.begun")
            publish = work()
            failpoints.reach("compaction.before_exchange")
            with self.lock.writing():
                publish()
        if move is not None:
            finish = move.fill()
            with self.lock.writing():
                self.index = finish()
        if catalog is not None:
            smaller = Catalog.of(catalog.compacted())
            with self.lock.writing():
                self.catalog.catch_up(smaller, catalog)
                self.catalog = smaller
        return work is not None or move is not None or catalog is not None

    def restore(self, index: VectorIndex, catalog: Catalog, last_face_id: int) -> None:
        """Takes over what a snapshot held; for a view that nobody sees yet."""
        self.index, self.catalog, self.last_face_id = index, catalog, last_face_id
        self.sample.draw(index)

    def facts(self) -> IndexFacts:
        """Returns the index's kind and sizes."""
        with self.lock.reading():
            return self.index.facts()

    def catalog_bytes(self) -> int:
        """Returns the memory that the catalog takes."""
        with self.lock.reading():
            return self.catalog.nbytes
