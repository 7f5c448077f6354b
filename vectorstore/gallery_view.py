"""One gallery in memory: its index, its catalog and its sample, changed by the follower alone and read by searches."""

from collections.abc import Sequence

import numpy as np

from runtime import failpoints
from vectorstore.catalog import Catalog, CatalogFace
from vectorstore.index.base import Ids, IndexFacts, VectorIndex, Vectors
from vectorstore.index.choose import MakeIndex
from vectorstore.index.locks import SharedLock
from vectorstore.records import GalleryRecord
from vectorstore.sample import GallerySample


class GalleryView:
    """What searches see of a gallery. Readers hold ``lock.reading()`` from the scan to the last look at the catalog."""

    def __init__(self, gallery: GalleryRecord, make_index: MakeIndex) -> None:
        self.gallery = gallery
        self.lock = SharedLock()
        self.index: VectorIndex = make_index(gallery.dimension)
        self.catalog = Catalog()
        self.sample = GallerySample(gallery.dimension)
        # The highest id that was ever added here, removed or not.
        self.last_face_id = -1

    def add(self, faces: Sequence[CatalogFace], vectors: Vectors) -> None:
        """Makes faces with ascending ids findable. Called by the follower's thread only."""
        ids = np.array([face.face_id for face in faces], dtype=np.int64)
        with self.lock.writing():
            self.index.add(ids, vectors)
            self.catalog.add(faces)
            self.sample.add(ids, vectors)
            self.last_face_id = int(ids[-1])

    def remove(self, ids: Ids) -> None:
        """Makes faces unfindable at once. Called by the follower's thread only."""
        with self.lock.writing():
            removed_count = self.index.remove(ids)
            self.catalog.remove(ids)
            self.sample.remove(ids, removed_count, self.index)

    def compact(self) -> None:
        """Gets rid of removed rows when they are many. Called by the follower's thread only.

        The smaller copies are made while searches go on, since nobody else writes; only the exchange is exclusive.
        """
        index = self.index.compacted() if self.index.wants_compaction() else None
        catalog = self.catalog.compacted() if self.catalog.wants_compaction() else None
        if index is None and catalog is None:
            return
        failpoints.reach("compaction.before_exchange")
        with self.lock.writing():
            self.index = index or self.index
            self.catalog = catalog if catalog is not None else self.catalog

    def restore(self, index: VectorIndex, catalog: Catalog, last_face_id: int) -> None:
        """Takes over what a snapshot held; for a view that nobody sees yet."""
        self.index, self.catalog, self.last_face_id = index, catalog, last_face_id
        self.sample.draw(index)

    def facts(self) -> IndexFacts:
        """Returns kind and sizes; the memory is the catalog's too."""
        with self.lock.reading():
            facts = self.index.facts()
            return IndexFacts(
                facts.kind, facts.face_count, facts.memory_bytes + self.catalog.nbytes, facts.tombstone_count
            )
