"""New photos as COPY reads them, but for what they are given within the writers' turn: numbers and a time.

Made before that turn, and so while the photos before them are being committed: what is done within the turn
bounds how many photos a second all writers together can add.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vectorstore.audit import AuditAction
from vectorstore.audit_copy import AuditCopy
from vectorstore.catalog_face import to_microseconds
from vectorstore.change_log import AddedRun
from vectorstore.face_copy import FaceCopy, FaceRows
from vectorstore.face_table import FaceTable
from vectorstore.known_photos import NewPhoto
from vectorstore.own_rows import OwnFaces
from vectorstore.photo_copy import PHOTO_COLUMNS, PhotoCopy
from vectorstore.records import StoredPhoto
from vectorstore.rows_sql import FACE_COLUMNS

# Its own: asyncio's threads may all be waiting for galleries' locks. Two: whoever prepares within the turn, since some
# of its photos are there already, is not to wait for the batch behind it.
_PREPARING: Final = ThreadPoolExecutor(2, "prepare-photos")
# Fewer are prepared sooner than a thread begins.
_MANY_FACES: Final = 64


class Given(NamedTuple):
    """What photos and faces are given within the turn, in their order."""

    revisions: range
    face_ids: range
    create_time: datetime


class PreparedPhotos:
    """Photos of one or more galleries."""

    def __init__(self, photos: Sequence[NewPhoto]) -> None:
        """photos: at least one, ``by_gallery``."""
        self._photos = photos
        self.runs: list[AddedRun] = []
        galleries = []
        photo_end = face_end = 0
        for gallery_id, run in itertools.groupby(photos, lambda new: new.gallery.gallery_id):
            own = [new.photo for new in run]
            faces = FaceTable.of([photo.faces for photo in own], photos[photo_end].gallery.dimension)
            photo_ids = [one for photo in own for one in (photo.photo_id.bytes,) * len(photo.faces)]
            galleries.append(FaceRows(gallery_id, photo_ids, faces))
            photo_end += len(own)
            self.runs.append(AddedRun(gallery_id, photo_end, face_end, face_end + len(faces)))
            face_end += len(faces)
        self._faces = [rows.faces for rows in galleries]
        self._face_copy = FaceCopy(galleries)
        self._photo_copy = PhotoCopy([new.photo for new in photos], [new.gallery.gallery_id for new in photos])
        self._audit_copy = AuditCopy(
            AuditAction.ADD_PHOTO, [(new.gallery.name, new.photo.photo_id.bytes, new.request_id) for new in photos]
        )
        self.face_count = face_end
        contents = {(new.gallery.gallery_id, new.photo.sha256) for new in photos}
        # Whether no two of them have one id, or one content in one gallery.
        self.are_distinct = len(contents) == len({new.photo.photo_id for new in photos}) == len(photos)

    @property
    def gallery_ids(self) -> list[int]:
        """Those of its photos."""
        return [run.gallery_id for run in self.runs]

    def stored(self, given: Given) -> list[StoredPhoto]:
        """Returns what every photo is given, in order."""
        stored, start = [], 0
        for new, revision in zip(self._photos, given.revisions, strict=True):
            end = start + len(new.photo.faces)
            stored.append(StoredPhoto(new.photo.photo_id, revision, given.create_time, given.face_ids[start:end]))
            start = end
        return stored

    async def copy_photos(self, connection: Any, given: Given) -> None:
        """Writes the photos in the caller's transaction."""
        content = self._photo_copy.content(_array(given.revisions), given.create_time)
        await connection.copy_to_table("photos", columns=PHOTO_COLUMNS, source=_each([content]), format="binary")

    async def copy_faces(self, connection: Any, given: Given) -> None:
        """Writes their faces."""
        pieces = self._face_copy.content(_array(given.face_ids))
        await connection.copy_to_table("faces", columns=FACE_COLUMNS, source=_each(pieces), format="binary")

    async def copy_audit(self, connection: Any, given: Given) -> None:
        """Writes the entries of the audit log, in the caller's turn."""
        await self._audit_copy.write(connection, given.revisions)

    def own_faces(self, given: Given) -> dict[int, OwnFaces]:
        """Returns by the revision of its change what the follower needs of each gallery's faces."""
        ids = _array(given.face_ids)
        create_time_us = to_microseconds(given.create_time)
        own: dict[int, OwnFaces] = {}
        photo_start = 0
        for run, faces in zip(self.runs, self._faces, strict=True):
            photos = [new.photo for new in self._photos[photo_start : run.photo_stop]]
            own[given.revisions[run.photo_stop - 1]] = OwnFaces(
                run.gallery_id, ids[run.face_start : run.face_stop], photos, create_time_us, faces
            )
            photo_start = run.photo_stop
        return own


def by_gallery(photos: Sequence[NewPhoto], places: Iterable[int]) -> list[int]:
    """Returns the places of photos gallery by gallery, else as they are: a change stands for a run of revisions."""
    return sorted(places, key=lambda place: photos[place].gallery.gallery_id)


async def prepare(photos: Sequence[NewPhoto]) -> PreparedPhotos:
    """Prepares photos; many in a thread."""
    if sum(len(new.photo.faces) for new in photos) < _MANY_FACES:
        return PreparedPhotos(photos)
    return await asyncio.get_running_loop().run_in_executor(_PREPARING, PreparedPhotos, photos)


async def _each(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def _array(numbers: range) -> npt.NDArray[np.int64]:
    return np.arange(numbers.start, numbers.stop, dtype=np.int64)
