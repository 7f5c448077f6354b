"""Faces that this process has just committed, kept until the follower has applied them: it need not read them back.

The follower still goes by the change log alone, in its order. When the log names a change of which the rows are here,
they are taken from here; otherwise, as for what other replicas wrote, from PostgreSQL. An adder has a few batches that
are committed and not yet applied; where the follower stays behind, the oldest are dropped.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from vectorstore.catalog_face import CatalogFace
from vectorstore.face_table import FaceTable
from vectorstore.index.base import Ids, Vectors
from vectorstore.records import PhotoRecord
from vectorstore.rows_sql import Row, catalog_face_from_row

# Changes whose rows are kept; more than an adder ever has on their way.
_MAX_CHANGES: Final = 64


@dataclass(frozen=True, slots=True)
class IndexedFaces:
    """Faces of one gallery as the index and the catalog take them: ids (n,) ascending, vectors (n, dimension)."""

    gallery_id: int
    ids: Ids
    faces: Sequence[CatalogFace]
    vectors: Vectors

    @classmethod
    def from_rows(cls, gallery_id: int, rows: Sequence[Row]) -> "IndexedFaces":
        """Returns rows of INDEXED_FACE_SQL, at least one, ordered by their ids."""
        faces = [catalog_face_from_row(row) for row in rows]
        ids = np.array([face.face_id for face in faces], dtype=np.int64)
        return cls(gallery_id, ids, faces, np.stack([row["embedding"] for row in rows]))


@dataclass(frozen=True, slots=True)
class OwnFaces:
    """The faces of photos that were committed here, as they were given: ids (n,) ascending, faces (n,)."""

    gallery_id: int
    ids: Ids
    photos: Sequence[PhotoRecord]
    create_time_us: int
    faces: FaceTable

    def is_of(self, gallery_id: int, face_ids: Sequence[int]) -> bool:
        """Tells whether these are the faces that a change names."""
        return self.gallery_id == gallery_id and np.array_equal(self.ids, face_ids)

    def indexed(self) -> IndexedFaces:
        """Returns them as the index and the catalog take them."""
        photos = [one for photo in self.photos for one in (photo,) * len(photo.faces)]
        boxes = self.faces.boxes.tolist()
        faces = [
            CatalogFace(
                face_id=face_id,
                photo_id=photo.photo_id,
                box=None if box[0] != box[0] else tuple(box),
                person=person or photo.person,
                collection=photo.collection,
                source=photo.source,
                create_time_us=self.create_time_us,
            )
            for face_id, photo, box, person in zip(self.ids.tolist(), photos, boxes, self.faces.persons, strict=True)
        ]
        return IndexedFaces(self.gallery_id, self.ids, faces, self.faces.vectors)


def merged(parts: Sequence[IndexedFaces], *, above: int, without: Collection[int]) -> IndexedFaces | None:
    """Returns the parts' faces by ascending id, those above an id and not among some; None when nothing is left."""
    if not parts:
        return None
    ids = np.concatenate([part.ids for part in parts])
    keep = ids > above
    if without:
        keep &= ~np.isin(ids, np.fromiter(without, np.int64, len(without)))
    order = np.argsort(ids, kind="stable")
    order = order[keep[order]]
    if not len(order):
        return None
    if len(parts) == 1 and len(order) == len(ids):
        return parts[0]
    faces = [face for part in parts for face in part.faces]
    vectors = np.concatenate([part.vectors for part in parts])
    return IndexedFaces(parts[0].gallery_id, ids[order], [faces[place] for place in order.tolist()], vectors[order])


class OwnRows:
    """Rows by the revision of their change. All methods belong to one event loop."""

    def __init__(self) -> None:
        self._by_revision: dict[int, asyncio.Future[OwnFaces | None]] = {}

    @contextlib.asynccontextmanager
    async def offered(self, rows: Mapping[int, OwnFaces]) -> AsyncIterator[None]:
        """Keeps the rows of changes if the block, which ends with their commit, ends well.

        Not before: revisions and ids of a transaction that failed may be given out again, to other photos. Who reads
        the change in the moment between the commit and the block's end waits for the end.
        """
        offers = {revision: asyncio.get_running_loop().create_future() for revision in rows}
        self._by_revision.update(offers)
        try:
            yield
        except BaseException:
            for revision, offer in offers.items():
                self._drop(revision, offer)
                offer.set_result(None)
            raise
        for revision, offer in offers.items():
            offer.set_result(rows[revision])
        while len(self._by_revision) > _MAX_CHANGES:
            del self._by_revision[next(iter(self._by_revision))]

    async def find(self, revision: int) -> OwnFaces | None:
        """Returns the rows of a change that was read from the log, None when they are not here."""
        offer = self._by_revision.get(revision)
        return None if offer is None else await offer

    def forget(self, revision: int) -> None:
        """Drops what is applied: changes up to and with this one."""
        for old in [known for known in self._by_revision if known <= revision]:
            del self._by_revision[old]

    def _drop(self, revision: int, offer: "asyncio.Future[OwnFaces | None]") -> None:
        if self._by_revision.get(revision) is offer:
            del self._by_revision[revision]
