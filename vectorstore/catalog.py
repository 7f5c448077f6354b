"""What every face of a gallery needs to become a match, kept in memory so that searching goes on without PostgreSQL.

Columns of numbers and interned texts: about 60 bytes a face and 60 a photo, where one Python object a face takes 500.
"""

import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vectorstore.index.base import Ids
from vectorstore.index.columns import Column, Interner, TextColumn
from vectorstore.index.rows import RowTable
from vectorstore.records import Source

Codes = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class CatalogFace:
    """A face as it is shown; ``person`` is the face's own or else its photo's."""

    face_id: int
    photo_id: uuid.UUID
    box: tuple[float, float, float, float] | None
    person: str
    collection: str
    source: Source


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
            self._photo_keys,
        )
        return sum(column.nbytes for column in columns)

    def add(self, faces: Sequence[CatalogFace]) -> None:
        """Adds faces with ascending ids; those of one photo follow one another."""
        self._rows.append(np.array([face.face_id for face in faces], dtype=np.int64))
        photo_rows = []
        for face in faces:
            key = np.frombuffer(face.photo_id.bytes, dtype=np.uint8)
            if not len(self._photo_keys) or not np.array_equal(self._photo_uuids.values[-1], key):
                self._photo_uuids.append(key[None])
                self._photo_stores.append([self._texts.number_of(face.source.store)])
                self._photo_keys.append(face.source.key)
            photo_rows.append(len(self._photo_keys) - 1)
        self._photo_of.append(photo_rows)
        self._persons.append([self._texts.number_of(face.person) for face in faces])
        self._collections.append([self._texts.number_of(face.collection) for face in faces])
        no_box = (np.nan, 0.0, 0.0, 0.0)
        self._boxes.append([no_box if face.box is None else face.box for face in faces])

    def remove(self, ids: Ids) -> int:
        """Drops faces; returns how many were there."""
        return self._rows.remove(ids)

    def describe(self, face_id: int) -> CatalogFace:
        """Returns a face; raises KeyError when it is not there."""
        row = self._row(face_id)
        photo = int(self._photo_of.values[row])
        left, top, width, height = (float(value) for value in self._boxes.values[row])
        return CatalogFace(
            face_id=face_id,
            photo_id=uuid.UUID(bytes=self._photo_uuids.values[photo].tobytes()),
            box=None if np.isnan(left) else (left, top, width, height),
            person=self._texts.text_of(int(self._persons.values[row])),
            collection=self._texts.text_of(int(self._collections.values[row])),
            source=Source(self._texts.text_of(int(self._photo_stores.values[photo])), self._photo_keys[photo]),
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

    def ids_of_collections(self, collections: Collection[str]) -> Ids:
        """Returns every face of the collections, ascending."""
        numbers = [number for name in collections if (number := self._texts.find(name)) is not None]
        ids: Ids = self._rows.ids[self._rows.alive & np.isin(self._collections.values, numbers)]
        return ids

    def wants_compaction(self) -> bool:
        """Tells whether removed rows take much room."""
        return self._rows.wants_compaction()

    def compacted(self) -> "Catalog":
        """Returns an equal catalog without what was removed; texts that nothing uses any more are dropped too."""
        smaller = Catalog()
        ids = self._rows.ids[self._rows.alive]
        for start in range(0, len(ids), 4096):
            smaller.add([self.describe(int(face_id)) for face_id in ids[start : start + 4096]])
        return smaller

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Returns the living faces as arrays, to be saved."""
        full = self.compacted()
        keys = full._photo_keys
        return {
            "ids": full._rows.ids,
            "photo_of": full._photo_of.values,
            "persons": full._persons.values,
            "collections": full._collections.values,
            "boxes": full._boxes.values,
            "photo_uuids": full._photo_uuids.values,
            "photo_stores": full._photo_stores.values,
            "photo_keys": _text_array([keys[row] for row in range(len(keys))]),
            "texts": _text_array(full._texts.texts()),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> "Catalog":
        """Returns the catalog that ``to_arrays`` described; raises KeyError or ValueError for anything else."""
        catalog = cls()
        catalog._rows.append(arrays["ids"])
        catalog._photo_of.append(arrays["photo_of"])
        catalog._persons.append(arrays["persons"])
        catalog._collections.append(arrays["collections"])
        catalog._boxes.append(arrays["boxes"])
        catalog._photo_uuids.append(arrays["photo_uuids"])
        catalog._photo_stores.append(arrays["photo_stores"])
        for key in _texts_of(arrays["photo_keys"]):
            catalog._photo_keys.append(key)
        for text in _texts_of(arrays["texts"]):
            catalog._texts.number_of(text)
        return catalog

    def live_ids(self) -> Ids:
        """Returns every face, ascending."""
        return self._rows.ids[self._rows.alive]

    def _row(self, face_id: int) -> int:
        rows = self._rows.find(np.array([face_id], dtype=np.int64))
        if not len(rows):
            raise KeyError(face_id)
        return int(rows[0])


def _text_array(texts: Sequence[str]) -> npt.NDArray[np.uint8]:
    return np.frombuffer(json.dumps(texts).encode(), dtype=np.uint8)


def _texts_of(array: npt.NDArray[np.uint8]) -> list[str]:
    texts: list[str] = json.loads(array.tobytes())
    return texts
