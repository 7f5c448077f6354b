"""Photos and faces out of PostgreSQL in the binary form of COPY, taken apart by whole columns.

What is of one length comes first in a row, texts come last, so that rows are one structured array; a Python object for
each row would cost more than reading it.
"""

import struct
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vectorstore.copy_binary import EPOCH_SHIFT_US, HEADER, TRAILER
from vectorstore.index.base import Ids, Vectors

# $1: the gallery; $2: the last revision that is not wanted; $3: how many at most. The texts are in one, since their
# lengths are known.
PHOTOS_SQL: Final = """
    SELECT revision, photo_id, coalesce(create_time, 'epoch'), octet_length(store), octet_length(collection),
           octet_length(person), store || collection || person || key
    FROM (SELECT revision, photo_id, create_time, convert_to(coalesce(source_store, ''), 'UTF8') AS store,
                 convert_to(coalesce(collection, ''), 'UTF8') AS collection,
                 convert_to(coalesce(person, ''), 'UTF8') AS person,
                 convert_to(coalesce(source_key, ''), 'UTF8') AS key
          FROM photos WHERE gallery_id = $1 AND revision > $2 ORDER BY revision LIMIT $3) AS photo
"""
# $1: the gallery; $2 to $3: the ids, the last one excluded; $4: how many at most.
FACES_SQL: Final = """
    SELECT face_id, photo_id, embedding, box, coalesce(person, '')
    FROM faces WHERE gallery_id = $1 AND face_id >= $2 AND face_id < $3 ORDER BY face_id LIMIT $4
"""

_PHOTO: Final = np.dtype(
    [
        ("fields", ">i2"),
        *(("revision_size", ">i4"), ("revision", ">i8")),
        *(("photo_id_size", ">i4"), ("photo_id", "u1", 16)),
        *(("time_size", ">i4"), ("time", ">i8")),
        *(("store_size", ">i4"), ("store", ">i4")),
        *(("collection_size", ">i4"), ("collection", ">i4")),
        *(("person_size", ">i4"), ("person", ">i4")),
        ("text_size", ">i4"),
    ]
)
_PHOTO_SIZES: Final = {
    "fields": 7,
    "revision_size": 8,
    "photo_id_size": 16,
    "time_size": 8,
    "store_size": 4,
    "collection_size": 4,
    "person_size": 4,
}


@dataclass(frozen=True, slots=True)
class PhotoColumns:
    """Photos (m,) by ascending revision: uuids (m, 16), times in microseconds since 1970, texts as UTF-8.

    keys and key_ends: as in a TextColumn.
    """

    revisions: npt.NDArray[np.int64]
    uuids: npt.NDArray[np.uint8]
    times_us: npt.NDArray[np.int64]
    stores: list[bytes]
    collections: list[bytes]
    persons: list[bytes]
    keys: npt.NDArray[np.uint8]
    key_ends: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FaceColumns:
    """Faces (n,) by ascending id: uuids (n, 16) of their photos, boxes (n, 4) with NaN first when there is none.

    persons: of those that have a name of their own, by their place.
    """

    ids: Ids
    photo_uuids: npt.NDArray[np.uint8]
    boxes: npt.NDArray[np.float32]
    vectors: Vectors
    persons: dict[int, str]

    def without_vectors(self) -> "FaceColumns":
        """Returns the faces without their vectors, whose memory may be used again then."""
        return replace(self, vectors=np.empty((0, self.vectors.shape[1]), np.float32))


def parse_photos(content: bytes) -> PhotoColumns:
    """Takes apart what COPY of PHOTOS_SQL gave; raises ValueError for anything else."""
    rows, starts = _split_photos(content)
    if not _fits(rows, _PHOTO_SIZES):
        raise ValueError("a photo whose columns are not of the size that they should be")
    edges = [np.array(starts, np.int64) + _PHOTO.itemsize]
    for name in ("store", "collection", "person"):
        edges.append(edges[-1] + rows[name])
    edges.append(edges[0] + rows["text_size"])
    stores, collections, persons, keys = (
        [content[start:end] for start, end in zip(left.tolist(), right.tolist(), strict=True)]
        for left, right in pairwise(edges)
    )
    return PhotoColumns(
        revisions=rows["revision"].astype(np.int64),
        uuids=rows["photo_id"],
        times_us=rows["time"].astype(np.int64) + EPOCH_SHIFT_US,
        stores=stores,
        collections=collections,
        persons=persons,
        keys=np.frombuffer(b"".join(keys), np.uint8),
        key_ends=(edges[-1] - edges[-2]).cumsum(),
    )


def parse_faces(content: bytes | memoryview, vectors: Vectors) -> FaceColumns:
    """Takes apart what COPY of FACES_SQL gave for a gallery; raises ValueError for anything else.

    vectors (at least as many as there are faces, dimension): filled from its beginning, and returned as far as that.
    """
    _check_ends(content)
    dimension = vectors.shape[1]
    # Nearly always all faces have a box and none a name of its own: rows of one length. Others show in their sizes.
    form = _face_form(dimension, has_box=True)
    count, rest = divmod(len(content) - len(HEADER) - len(TRAILER), form.itemsize)
    rows = np.frombuffer(content, form, count, len(HEADER))
    persons: dict[int, str] = {}
    if rest or not _fits(rows, {**_face_sizes(dimension, has_box=True), "person_size": 0}):
        rows, persons = _split_faces(bytes(content), dimension)
    vectors[: len(rows)] = rows["vector"]
    return FaceColumns(
        ids=rows["face_id"].astype(np.int64),
        photo_uuids=rows["photo_id"].copy(),
        boxes=rows["box"]["value"].astype(np.float32),
        vectors=vectors[: len(rows)],
        persons=persons,
    )


def _split_faces(content: bytes, dimension: int) -> tuple[npt.NDArray[Any], dict[int, str]]:
    """Returns rows as of faces that all have a box, NaN first where there is none, and the names by their places."""
    whole, boxless = (_face_form(dimension, has_box=has_box) for has_box in (True, False))
    box_offset = boxless.itemsize - 8
    persons: dict[int, str] = {}
    places: tuple[list[int], list[int]] = ([], [])
    starts: tuple[list[int], list[int]] = ([], [])
    size_of = struct.Struct(">i").unpack_from
    start, end, place = len(HEADER), len(content) - len(TRAILER), 0
    while start < end:
        if start + boxless.itemsize > end:
            raise ValueError("a face that is cut off")
        has_box = size_of(content, start + box_offset)[0] >= 0
        text = start + (whole if has_box else boxless).itemsize
        if text > end:
            raise ValueError("a face that is cut off")
        (size,) = size_of(content, text - 4)
        if text + size > end:
            raise ValueError("a face that is cut off")
        if size:
            persons[place] = content[text : text + size].decode()
        places[has_box].append(place)
        starts[has_box].append(start)
        start, place = text + max(0, size), place + 1
    if start != end:
        raise ValueError("a face that is cut off")
    rows = np.zeros(place, whole)
    rows["box"]["value"][:, 0] = np.nan
    for has_box, form in ((True, whole), (False, boxless)):
        found = np.frombuffer(b"".join([content[at : at + form.itemsize] for at in starts[has_box]]), form)
        if not _fits(found, _face_sizes(dimension, has_box=has_box)):
            raise ValueError("a face whose columns are not of the size that they should be")
        for name in ("face_id", "photo_id", "vector", *(("box",) if has_box else ())):
            rows[name][places[has_box]] = found[name]
    return rows, persons


@lru_cache(maxsize=64)
def _face_form(dimension: int, *, has_box: bool) -> np.dtype[Any]:
    box = (("box_head", ">i4", 5), ("box", [("size", ">i4"), ("value", ">f4")], 4))
    return np.dtype(
        [
            ("fields", ">i2"),
            *(("face_id_size", ">i4"), ("face_id", ">i8")),
            *(("photo_id_size", ">i4"), ("photo_id", "u1", 16)),
            *(("vector_size", ">i4"), ("dimension", ">i2"), ("unused", ">i2"), ("vector", ">f4", (dimension,))),
            *(("box_size", ">i4"), *(box if has_box else ())),
            ("person_size", ">i4"),
        ]
    )


def _face_sizes(dimension: int, *, has_box: bool) -> dict[str, int]:
    sizes = {"fields": 5, "face_id_size": 8, "photo_id_size": 16, "vector_size": 4 + 4 * dimension}
    # An array's head: dimensions, whether there are nulls, the type, the length and the first place.
    return {**sizes, "dimension": dimension, "box_size": 52 if has_box else -1}


def _split_photos(content: bytes) -> tuple[npt.NDArray[Any], list[int]]:
    """Returns all of the rows but their texts, and where in the content each row begins."""
    _check_ends(content)
    size_of = struct.Struct(">i").unpack_from
    itemsize = _PHOTO.itemsize
    starts, start, end = [], len(HEADER), len(content) - len(TRAILER)
    while start < end:
        starts.append(start)
        if start + itemsize > end:
            raise ValueError("a photo that is cut off")
        (size,) = size_of(content, start + itemsize - 4)
        if size < 0:
            raise ValueError("a text that is none")
        start += itemsize + size
    if start != end:
        raise ValueError("a photo that is cut off")
    return np.frombuffer(b"".join([content[start : start + itemsize] for start in starts]), _PHOTO), starts


def _check_ends(content: bytes | memoryview) -> None:
    if content[: len(HEADER)] != HEADER or content[-len(TRAILER) :] != TRAILER:
        raise ValueError("not what COPY gives")


def _fits(rows: npt.NDArray[Any], values: dict[str, int]) -> bool:
    return all((rows[name] == value).all() for name, value in values.items())
