"""What every face of a gallery needs to become a match, kept in memory so that searching goes on without PostgreSQL.

Columns of numbers and interned texts: about 40 bytes a face and 40 a photo and its key, where one Python object a face
takes 500.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vectorstore.catalog_face import CatalogFace, ShownFace, to_microseconds
from vectorstore.catalog_state import CatalogState
from vectorstore.catalog_state import Codes as Codes
from vectorstore.index.base import Ids
from vectorstore.index.columns import Bytes, Column, Ends, Interner, TextColumn
from vectorstore.index.rows import Mask, RowTable

Boxes = npt.NDArray[np.float32]

_NO_BOX: Final = (np.nan, 0.0, 0.0, 0.0)


class Catalog:
    """The faces of one gallery by ascending id. Guarded by the gallery's lock, like its index."""

    def __init__(self) -> None:
        self._rows = RowTable()
        self._photo_of: Column[np.int32] = Column(np.int32)
        self._persons: Column[np.int32] = Column(np.int32)
        self._collections: Column[np.int32] = Column(np.int32)
        # NaN in the first place: the face came without a box.
        self._boxes: Column[np.float32] = Column(np.float32, 4)
        self._photo_uuids: Column[np.uint8] = Column(np.uint8, 16)
        self._photo_stores: Column[np.int32] = Column(np.int32)
        self._photo_times: Column[np.int64] = Column(np.int64)
        self._photo_keys = TextColumn()
        self._texts = Interner()

    def __len__(self) -> int:
        return self._rows.live_count

    @property
    def nbytes(self) -> int:
        """Memory taken, bytes; the interned texts are not counted."""
        columns = (
            self._rows,
            self._photo_of,
            self._persons,
            self._collections,
            self._boxes,
            self._photo_uuids,
            self._photo_stores,
            self._photo_times,
            self._photo_keys,
        )
        return sum(column.nbytes for column in columns)

    def add(self, faces: Sequence[CatalogFace]) -> None:
        """Adds faces with ascending ids; those of one photo follow one another, and come in one call."""
        photos: list[CatalogFace] = []
        photo_of, last = [], None
        for face in faces:
            if face.photo_id != last:
                last = face.photo_id
                photos.append(face)
            photo_of.append(len(photos) - 1)
        keys = TextColumn()
        keys.extend([photo.source.key for photo in photos])
        first = self.add_photos(
            np.frombuffer(b"".join([photo.photo_id.bytes for photo in photos]), np.uint8).reshape(-1, 16),
            np.array([photo.create_time_us for photo in photos], np.int64),
            self.codes_of([photo.source.store for photo in photos]),
            keys.bytes,
            keys.ends,
        )
        self.add_faces(
            np.array([face.face_id for face in faces], np.int64),
            np.array(photo_of, np.int32) + np.int32(first),
            self.codes_of([face.person for face in faces]),
            self.codes_of([face.collection for face in faces]),
            np.array([face.box or _NO_BOX for face in faces], np.float32).reshape(-1, 4),
        )

    def codes_of(self, texts: Sequence[str]) -> Codes:
        """Returns for each text the number that stands for it here."""
        return np.array(self._texts.numbers_of(texts), np.int32)

    def add_photos(
        self, uuids: npt.NDArray[np.uint8], times_us: npt.NDArray[np.int64], stores: Codes, keys: Bytes, key_ends: Ends
    ) -> int:
        """Adds photos, of which faces may be added then; returns the first one's row.

        uuids (m, 16), times_us (m,) microseconds since 1970, stores (m,) by ``codes_of``, keys as in a TextColumn.
        """
        first = len(self._photo_keys)
        self._photo_keys.extend_bytes(keys, key_ends)
        self._photo_uuids.append(uuids)
        self._photo_stores.append(stores)
        self._photo_times.append(times_us)
        return first

    def add_faces(self, ids: Ids, photo_of: Codes, persons: Codes, collections: Codes, boxes: Boxes) -> None:
        """Adds faces (n,) with ascending ids, each with its photo's row, the codes of its texts and its box (n, 4).

        Raises ValueError unless the ids ascend from above the last one.
        """
        # The rows last: whoever takes a view of them then finds all other columns filled.
        before = len(self._rows)
        for column, values in (
            (self._photo_of, photo_of),
            (self._persons, persons),
            (self._collections, collections),
            (self._boxes, boxes),
        ):
            if len(column) != before or len(values) != len(ids):
                raise ValueError("columns that differ in length")
            column.append(values)
        self._rows.append(ids)

    def remove(self, ids: Ids) -> int:
        """Drops faces; returns how many were there."""
        return self._rows.remove(ids)

    def show_all(self, face_ids: Ids) -> list[ShownFace]:
        """Returns the faces (n,) in the order given; raises KeyError when one is not there."""
        rows = self._rows.find(face_ids)
        if len(rows) != len(face_ids):
            raise KeyError(face_ids)
        photos = self._photo_of.values[rows]
        # As Python's own, column by column: one look into a column a face would take three times as long.
        text_of = self._texts.text_of
        return list(
            map(
                ShownFace,
                face_ids.tolist(),
                _uuid_texts(self._photo_uuids.values[photos]),
                # NaN, which is not equal to itself.
                [tuple(box) if box[0] == box[0] else None for box in self._boxes.values[rows].tolist()],
                map(text_of, self._persons.values[rows].tolist()),
                map(text_of, self._collections.values[rows].tolist()),
                map(text_of, self._photo_stores.values[photos].tolist()),
                self._photo_keys.take(photos),
            )
        )

    def person_codes(self, ids: Ids) -> Codes:
        """Returns for each face a number that stands for its person, 0 when that is not known."""
        codes: Codes = self._persons.values[self._rows.find(ids)]
        return codes

    def photo_codes(self, ids: Ids) -> Codes:
        """Returns for each face a number that stands for its photo."""
        codes: Codes = self._photo_of.values[self._rows.find(ids)]
        return codes

    def ids_of_person(self, code: int) -> Ids:
        """Returns every face of a person, ascending."""
        ids: Ids = self._rows.ids[self._rows.alive & (self._persons.values == code)]
        return ids

    def select(
        self,
        *,
        collections: Collection[str] | None = None,
        persons: Collection[str] | None = None,
        added_after: datetime | None = None,
        added_before: datetime | None = None,
    ) -> Ids:
        """Returns every face of one of the collections and one of the persons, ascending; None: of whichever.

        added_after and added_before bound when its photo was added: from the one, inclusive, to the other, exclusive.
        """
        wanted = self._rows.alive
        for names, codes in ((collections, self._collections.values), (persons, self._persons.values)):
            if names is not None:
                wanted = wanted & self._is_named(names)[codes]
        if added_after is not None or added_before is not None:
            times_us = self._photo_times.values
            in_time = np.ones(len(times_us), np.bool_)
            if added_after is not None:
                in_time &= times_us >= to_microseconds(added_after)
            if added_before is not None:
                in_time &= times_us < to_microseconds(added_before)
            wanted = wanted & in_time[self._photo_of.values]
        return self._rows.ids[wanted]

    def _is_named(self, names: Collection[str]) -> Mask:
        """Returns for the number of every text whether it is one of the names."""
        is_named = np.zeros(len(self._texts), np.bool_)
        is_named[[number for name in names if (number := self._texts.find(name)) is not None]] = True
        return is_named

    def wants_compaction(self) -> bool:
        """Tells whether removed rows take much room."""
        return self._rows.wants_compaction()

    def compacted(self) -> "Catalog":
        """Returns an equal catalog without what was removed; texts that nothing uses any more are dropped too.

        This one can be read meanwhile.
        """
        return Catalog.of(self.state().compacted())

    def state(self) -> CatalogState:
        """Returns the catalog as it is now, in no time; what comes later does not change it."""
        ids = self._rows.ids
        count = len(ids)
        return CatalogState(
            ids=ids,
            alive=self._rows.alive[:count].copy(),
            photo_of=self._photo_of.values[:count],
            persons=self._persons.values[:count],
            collections=self._collections.values[:count],
            boxes=self._boxes.values[:count],
            photo_uuids=self._photo_uuids.values,
            photo_stores=self._photo_stores.values,
            photo_times=self._photo_times.values,
            key_bytes=self._photo_keys.bytes,
            key_ends=self._photo_keys.ends,
            texts=self._texts.texts(),
        )

    @classmethod
    def of(cls, state: CatalogState) -> "Catalog":
        """Returns a catalog of a state without removed faces, copied; raises ValueError unless all of it fits."""
        catalog = cls()
        catalog._append(state)
        return catalog

    def catch_up(self, copy: "Catalog", since: CatalogState) -> None:
        """Tells a catalog made of an earlier, compacted state of this one what was added and removed here since then.

        Takes as long as that is much. The caller holds the lock.
        """
        now = self.state()
        count = len(since.ids)
        copy.remove(now.ids[:count][since.alive & ~now.alive[:count]])
        copy._append(now.since(count).compacted())

    def _append(self, state: CatalogState) -> None:
        codes = self.codes_of(state.texts)
        first = self.add_photos(
            state.photo_uuids, state.photo_times, codes[state.photo_stores], state.key_bytes, state.key_ends
        )
        self.add_faces(
            state.ids,
            state.photo_of + np.int32(first),
            codes[state.persons],
            codes[state.collections],
            state.boxes,
        )

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Returns the living faces as arrays, to be saved."""
        return self.state().to_arrays()

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> "Catalog":
        """Returns the catalog that ``to_arrays`` described; raises KeyError or ValueError for anything else."""
        return cls.of(CatalogState.from_arrays(arrays))

    def live_ids(self) -> Ids:
        """Returns every face, ascending."""
        return self._rows.ids[self._rows.alive]


def _uuid_texts(uuids: npt.NDArray[np.uint8]) -> list[str]:
    """Returns UUIDs (n, 16) as they are written; by way of uuid.UUID it would take five times as long."""
    digits = uuids.tobytes().hex()
    return [
        f"{digits[at : at + 8]}-{digits[at + 8 : at + 12]}-{digits[at + 12 : at + 16]}"
        f"-{digits[at + 16 : at + 20]}-{digits[at + 20 : at + 32]}"
        for at in range(0, len(digits), 32)
    ]
