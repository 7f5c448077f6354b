"""A gallery's catalog, filled while photos and faces are read side by side."""

import asyncio
from collections.abc import Sequence
from typing import Final

import numpy as np

from vectorstore.catalog import Catalog
from vectorstore.catalog_state import Codes
from vectorstore.copy_out import PHOTOS_SQL, FaceColumns, PhotoColumns, parse_photos
from vectorstore.one_moment import CopyReader
from vectorstore.photo_rows import PhotoRows

_PIECE_PHOTOS: Final = 65_536


class CatalogLoad:
    """Takes photos from PostgreSQL and faces in the order of their ids, which wait until all photos are there.

    Faces are added by one thread at a time.
    """

    def __init__(self, gallery_id: int) -> None:
        self._gallery_id = gallery_id
        self._catalog = Catalog()
        self._codes: dict[bytes, int] = {}
        self._persons: list[Codes] = [np.empty(0, np.int32)]
        self._collections: list[Codes] = [np.empty(0, np.int32)]
        # Once all photos are there.
        self._photos: PhotoRows | None = None
        self._waiting: list[FaceColumns] = []

    async def read_photos(self, reader: CopyReader) -> None:
        """Reads every photo of the gallery."""
        last_revision, count = -(2**63), _PIECE_PHOTOS
        while count == _PIECE_PHOTOS:
            content = await reader.copy(PHOTOS_SQL, self._gallery_id, last_revision, _PIECE_PHOTOS)
            photos = await asyncio.to_thread(self._parse, bytes(content))
            count = len(photos.revisions)
            if count:
                last_revision = int(photos.revisions[-1])
        self._persons, self._collections = [np.concatenate(self._persons)], [np.concatenate(self._collections)]
        self._photos = await asyncio.to_thread(lambda: PhotoRows(self._catalog.state().photo_uuids))

    def _parse(self, content: bytes) -> PhotoColumns:
        photos = parse_photos(content)
        stores, persons, collections = map(self._codes_of, (photos.stores, photos.persons, photos.collections))
        self._catalog.add_photos(photos.uuids, photos.times_us, stores, photos.keys, photos.key_ends)
        self._persons.append(persons)
        self._collections.append(collections)
        return photos

    def _codes_of(self, texts: Sequence[bytes]) -> Codes:
        """Returns each text's code; a text is decoded where it is met for the first time."""
        known = self._codes
        try:
            codes = [known[text] for text in texts]
        except KeyError:
            new = [text for text in dict.fromkeys(texts) if text not in known]
            known.update(zip(new, self._catalog.codes_of([text.decode() for text in new]).tolist(), strict=True))
            codes = [known[text] for text in texts]
        return np.array(codes, np.int32)

    def add(self, faces: FaceColumns) -> None:
        """Takes faces; their vectors are not kept. Raises ValueError for a face without its photo."""
        self._waiting.append(faces.without_vectors())
        if self._photos is not None:
            self._join(self._photos)

    def finish(self) -> Catalog:
        """Returns the catalog, once all is read; raises what ``add`` does."""
        if self._photos is None:
            raise ValueError("photos that were not read")
        self._join(self._photos)
        return self._catalog

    def _join(self, photos: PhotoRows) -> None:
        (persons_of,), (collections_of,) = self._persons, self._collections
        for faces in self._waiting:
            photo_of = photos.find(faces.photo_uuids)
            if (photo_of < 0).any():
                # Cannot be, by the tables' own rules; and it could not be shown.
                raise ValueError("a face without its photo")
            persons = persons_of[photo_of]
            if faces.persons:
                persons[list(faces.persons)] = self._catalog.codes_of(list(faces.persons.values()))
            self._catalog.add_faces(faces.ids, photo_of, persons, collections_of[photo_of], faces.boxes)
        self._waiting.clear()
