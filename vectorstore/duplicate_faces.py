"""Is a photo that is to be added one of faces that are there already?

The same bytes are told by their SHA-256; a copy that was resized or compressed anew is not, and its faces are. A
gallery's duplicate_similarity is the cosine at and over which two faces are taken to be of one picture.
"""

import uuid
from collections.abc import Sequence
from typing import Final

from runtime.errors import DuplicatePhoto, TwinError
from vectorstore.database import Database
from vectorstore.gallery_view import GalleryView
from vectorstore.orders import FoundMatch, FoundResult, Mode, SearchOrder
from vectorstore.records import PhotoRecord
from vectorstore.searching import Searcher

_TIMEOUT_S: Final = 5.0
_MESSAGE: Final = (
    "a photo of the same face, hardly to be told from this one, is in the gallery already; its deletion token exports "
    "or deletes it"
)

Photos = list[PhotoRecord | TwinError]


class DuplicateFaces:
    """Looks for photos' faces in their gallery, as this replica knows it."""

    def __init__(self, database: Database, searcher: Searcher) -> None:
        self._database = database
        self._searcher = searcher

    async def refuse(self, view: GalleryView, photos: Photos) -> Photos:
        """Returns the photos with DuplicatePhoto in place of each whose faces are all in the gallery.

        A photo whose id is there stays: what is answered then, the id decides. Raises Overloaded, and what a search and
        ``Database.reading`` raise.
        """
        asked = [photo for photo in photos if isinstance(photo, PhotoRecord)]
        vectors = [face.embedding for photo in asked for face in photo.faces if face.embedding is not None]
        order = SearchOrder(1, Mode.NEAREST, view.gallery.calibration.duplicate_similarity)
        nearest = iter(await self._searcher.search(view, vectors, order, _TIMEOUT_S, _nearest))
        found = {photo.photo_id: _as_duplicate([next(nearest) for _ in photo.faces]) for photo in asked}
        duplicates = {photo_id: error for photo_id, error in found.items() if error is not None}
        for photo_id in await self._known(list(duplicates)):
            del duplicates[photo_id]
        return [duplicates.get(photo.photo_id, photo) if isinstance(photo, PhotoRecord) else photo for photo in photos]

    async def _known(self, photo_ids: list[uuid.UUID]) -> list[uuid.UUID]:
        if not photo_ids:
            return []
        async with self._database.reading() as connection:
            rows = await connection.fetch("SELECT photo_id FROM photos WHERE photo_id = ANY($1::uuid[])", photo_ids)
        return [row["photo_id"] for row in rows]


def _nearest(results: Sequence[FoundResult]) -> list[FoundMatch | None]:
    return [result.matches[0] if result.matches else None for result in results]


def _as_duplicate(nearest: Sequence[FoundMatch | None]) -> DuplicatePhoto | None:
    found = [match for match in nearest if match is not None]
    if len(found) < len(nearest):
        return None
    best = max(found, key=lambda match: match.cosine)
    return DuplicatePhoto(best.face.photo_id, _MESSAGE, cosine=best.cosine)
