"""A catalog as it was at one moment, and the arrays that it is saved as."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vectorstore.index.base import Ids
from vectorstore.index.columns import TextColumn, split_texts
from vectorstore.index.rows import Mask

Codes = npt.NDArray[np.int32]

# The arrays' names, what they hold and how wide their rows are; None: one number each.
_FORM: Final[dict[str, tuple[str, int | None]]] = {
    "ids": ("int64", None),
    "photo_of": ("int32", None),
    "persons": ("int32", None),
    "collections": ("int32", None),
    "boxes": ("float32", 4),
    "photo_uuids": ("uint8", 16),
    "photo_stores": ("int32", None),
    "photo_times": ("int64", None),
    "key_bytes": ("uint8", None),
    "key_ends": ("int64", None),
    "text_bytes": ("uint8", None),
    "text_ends": ("int64", None),
}


@dataclass(frozen=True, slots=True)
class CatalogState:
    """Views of columns that only grow, so that it stays as it was whatever is added or removed later.

    For n faces and m photos: ids (n,) ascending; alive (n,); photo_of (n,) rows of photos; persons and collections (n,)
    numbers of texts; boxes (n, 4) in pixels, NaN first when there is none; photo_uuids (m, 16); photo_stores (m,)
    numbers of texts; photo_times (m,) microseconds since 1970; key_bytes and key_ends (m,) the sources' keys; texts by
    their numbers, "" first.
    """

    ids: Ids
    alive: Mask
    photo_of: Codes
    persons: Codes
    collections: Codes
    boxes: npt.NDArray[np.float32]
    photo_uuids: npt.NDArray[np.uint8]
    photo_stores: Codes
    photo_times: npt.NDArray[np.int64]
    key_bytes: npt.NDArray[np.uint8]
    key_ends: npt.NDArray[np.int64]
    texts: list[str]

    @property
    def nbytes(self) -> int:
        """About what it takes, bytes, but for the texts."""
        columns = (getattr(self, name) for name in _FORM if not name.startswith("text_"))
        return sum(column.nbytes for column in columns)

    def compacted(self) -> "CatalogState":
        """Returns the living faces alone: photos without any, and texts that nothing uses, are dropped too."""
        alive = slice(None) if self.alive.all() else np.flatnonzero(self.alive)
        photo_of, persons, collections = self.photo_of[alive], self.persons[alive], self.collections[alive]
        photo_is_used = np.zeros(len(self.photo_uuids), np.bool_)
        photo_is_used[photo_of] = True
        photos = slice(None) if photo_is_used.all() else np.flatnonzero(photo_is_used)
        stores = self.photo_stores[photos]
        text_is_used = np.zeros(len(self.texts), np.bool_)
        # "" always is the first.
        text_is_used[0] = True
        for codes in (persons, collections, stores):
            text_is_used[codes] = True
        new_photo, new_text = _new_numbers(photo_is_used), _new_numbers(text_is_used)
        key_lengths = np.diff(self.key_ends, prepend=0)
        return CatalogState(
            ids=self.ids[alive],
            alive=self.alive[alive],
            photo_of=new_photo[photo_of],
            persons=new_text[persons],
            collections=new_text[collections],
            boxes=self.boxes[alive],
            photo_uuids=self.photo_uuids[photos],
            photo_stores=new_text[stores],
            photo_times=self.photo_times[photos],
            key_bytes=self.key_bytes[np.repeat(photo_is_used, key_lengths)],
            key_ends=key_lengths[photos].cumsum(),
            texts=[self.texts[number] for number in np.flatnonzero(text_is_used).tolist()],
        )

    def since(self, count: int) -> "CatalogState":
        """Returns the faces after the first ``count``, dead ones included, with the photos from their first one on."""
        photo_of = self.photo_of[count:]
        first = int(photo_of.min()) if len(photo_of) else len(self.photo_uuids)
        key_start = int(self.key_ends[first - 1]) if first else 0
        return replace(
            self,
            ids=self.ids[count:],
            alive=self.alive[count:],
            photo_of=photo_of - np.int32(first),
            persons=self.persons[count:],
            collections=self.collections[count:],
            boxes=self.boxes[count:],
            photo_uuids=self.photo_uuids[first:],
            photo_stores=self.photo_stores[first:],
            photo_times=self.photo_times[first:],
            key_bytes=self.key_bytes[key_start:],
            key_ends=self.key_ends[first:] - key_start,
        )

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Returns the living faces as arrays, to be saved."""
        living = self.compacted()
        texts = TextColumn()
        texts.extend(living.texts)
        arrays = {name: getattr(living, name) for name in _FORM if not name.startswith("text_")}
        return {**arrays, "text_bytes": texts.bytes, "text_ends": texts.ends}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> "CatalogState":
        """Returns what ``to_arrays`` described; raises KeyError or ValueError for anything else."""
        for name, (dtype, width) in _FORM.items():
            array = arrays[name]
            if array.dtype != dtype or array.shape[1:] != (() if width is None else (width,)):
                raise ValueError(f"{name} is {array.dtype} {array.shape}")
        texts = split_texts(arrays["text_bytes"], arrays["text_ends"])
        names = {field.name for field in fields(cls)} & _FORM.keys()
        state = cls(alive=np.ones(len(arrays["ids"]), np.bool_), texts=texts, **{name: arrays[name] for name in names})
        state.check()
        return state

    def check(self) -> None:
        """Raises ValueError where columns do not fit one another; of the texts and keys, see TextColumn."""
        face_count, photo_count = len(self.ids), len(self.photo_uuids)
        if any(len(column) != face_count for column in (self.photo_of, self.persons, self.collections, self.boxes)):
            raise ValueError("columns of faces that differ in length")
        if any(len(column) != photo_count for column in (self.photo_stores, self.photo_times, self.key_ends)):
            raise ValueError("columns of photos that differ in length")
        if self.texts[:1] != [""] or len(set(self.texts)) != len(self.texts):
            raise ValueError("texts that are not as they were numbered")
        numbers = [(self.photo_of, photo_count)]
        numbers += [(codes, len(self.texts)) for codes in (self.persons, self.collections, self.photo_stores)]
        if any(len(codes) and (codes.min() < 0 or codes.max() >= count) for codes, count in numbers):
            raise ValueError("a number that stands for nothing")


def _new_numbers(is_used: Mask) -> Codes:
    """Returns for each of the old numbers its place among those that are used."""
    return is_used.cumsum(dtype=np.int32) - np.int32(1)
