"""What is known already of photos that are to be added: galleries, equal ids, equal contents."""

import uuid
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from runtime.errors import DuplicatePhoto, NotFound, TwinError
from vectorstore.records import GalleryRecord, PhotoRecord, StoredPhoto
from vectorstore.rows_sql import SHOWN_FACES_SQL, photo_from_row

# The galleries that are there, then the photos: two looks, each by its index; an OR of both would read the whole table.
# Where the batch is of several galleries, it also finds what is in another of them; that answers nobody.
_KNOWN_SQL = """
    SELECT gallery_id, NULL::uuid AS photo_id FROM galleries WHERE gallery_id = ANY($3::bigint[])
    UNION ALL (
        SELECT NULL::bigint, photo_id FROM photos WHERE photo_id = ANY($1::uuid[])
        UNION
        SELECT NULL::bigint, photo_id FROM photos WHERE gallery_id = ANY($3::bigint[]) AND sha256 = ANY($2::bytea[])
    )
"""


class NewPhoto(NamedTuple):
    """A photo that somebody wants added. request_id: of the call, for the audit. wants_photo: in the answer."""

    photo: PhotoRecord
    gallery: GalleryRecord
    request_id: str
    wants_photo: bool


@dataclass(frozen=True, slots=True)
class SameAs:
    """The answer is that to an earlier photo of the batch."""

    position: int


class KnownPhotos:
    """What the database and the batch so far hold of the photos that are to be added."""

    def __init__(self, galleries: set[int], photos: Sequence[tuple[int, PhotoRecord]]) -> None:
        self._galleries = galleries
        self._by_id: dict[uuid.UUID, tuple[int, bytes, StoredPhoto | SameAs]] = {
            photo.photo_id: (gallery_id, photo.sha256, _as_stored(photo)) for gallery_id, photo in photos
        }
        self._id_by_content = {(gallery_id, photo.sha256): photo.photo_id for gallery_id, photo in photos}

    @classmethod
    async def read(cls, connection: Any, batch: Sequence[NewPhoto]) -> "KnownPhotos":
        """Looks for the batch's photos; the caller holds the turn, so that nothing is added meanwhile."""
        found = await connection.fetch(
            _KNOWN_SQL,
            [new.photo.photo_id for new in batch],
            [new.photo.sha256 for new in batch],
            sorted({new.gallery.gallery_id for new in batch}),
        )
        galleries = {row["gallery_id"] for row in found if row["photo_id"] is None}
        photo_ids = [row["photo_id"] for row in found if row["photo_id"] is not None]
        photos = []
        if photo_ids:
            rows = await connection.fetch("SELECT * FROM photos WHERE photo_id = ANY($1::uuid[])", photo_ids)
            faces_by_photo = defaultdict(list)
            for face in await connection.fetch(SHOWN_FACES_SQL, photo_ids):
                faces_by_photo[face["photo_id"]].append(face)
            photos = [(row["gallery_id"], photo_from_row(row, faces_by_photo[row["photo_id"]])) for row in rows]
        return cls(galleries, photos)

    def has_nothing_but(self, gallery_ids: Collection[int]) -> bool:
        """Tells whether the galleries are there, and none of the photos."""
        return not self._by_id and self._galleries.issuperset(gallery_ids)

    def answer_to(self, new: NewPhoto, position: int) -> StoredPhoto | SameAs | TwinError | None:
        """Returns the answer that is known already; takes note of a photo that is new, and returns None."""
        photo, gallery_id = new.photo, new.gallery.gallery_id
        if gallery_id not in self._galleries:
            return NotFound("gallery")
        known = self._by_id.get(photo.photo_id)
        if known is not None:
            known_gallery_id, sha256, answer = known
            if (known_gallery_id, sha256) == (gallery_id, photo.sha256):
                return answer
            return DuplicatePhoto(str(photo.photo_id), "this photo_id names another photo")
        content = (gallery_id, photo.sha256)
        known_id = self._id_by_content.get(content)
        if known_id is not None:
            return DuplicatePhoto(str(known_id))
        self._by_id[photo.photo_id] = (gallery_id, photo.sha256, SameAs(position))
        self._id_by_content[content] = photo.photo_id
        return None


def _as_stored(photo: PhotoRecord) -> StoredPhoto:
    return StoredPhoto(photo.photo_id, photo.revision, photo.create_time, [face.face_id for face in photo.faces], photo)
