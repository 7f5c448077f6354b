"""What COPY gives, taken apart: any dimension, any text, faces with and without boxes and names, in real rows."""

import uuid
from typing import Any

import numpy as np
import pytest

from vectorstore.copy_out import FACES_SQL, PHOTOS_SQL, parse_faces, parse_photos
from vectorstore.database import prepare_connection
from vectorstore.one_moment import CopyReader
from vectorstore.photo_rows import PhotoRows

TEXTS = ("", "a", "Zoë 🙂", "x" * 3000, "line\nbreak\\", "ab")
Rng = np.random.Generator


@pytest.fixture
async def reader(database: Any) -> CopyReader:
    await prepare_connection(database)
    return CopyReader(database)


async def _add_photo(reader: CopyReader, revision: int, texts: tuple[str | None, ...], time: str | None) -> uuid.UUID:
    photo_id = uuid.uuid4()
    await reader.connection.execute(
        "INSERT INTO photos (photo_id, revision, source_store, collection, person, source_key, create_time) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7::text::timestamptz)",
        photo_id,
        revision,
        *texts,
        time,
    )
    # Without a gallery until here, since there is none that the row could name.
    await reader.connection.execute("SET session_replication_role = replica")
    await reader.connection.execute("UPDATE photos SET gallery_id = 7 WHERE photo_id = $1", photo_id)
    return photo_id


async def test_photos_are_as_they_were_written(reader: CopyReader) -> None:
    texts = [tuple(TEXTS[(place + shift) % 6] for shift in range(4)) for place in range(12)]
    ids = [await _add_photo(reader, place - 5, row, "2026-01-02 03:04:05.678901+00") for place, row in enumerate(texts)]
    photos = parse_photos(bytes(await reader.copy(PHOTOS_SQL, 7, -(2**63), 100)))
    assert photos.revisions.tolist() == list(range(-5, 7))
    assert [uuid.UUID(bytes=row.tobytes()) for row in photos.uuids] == ids
    assert set(photos.times_us.tolist()) == {1_767_323_045_678_901}
    ends = [0, *photos.key_ends.tolist()]
    keys = [photos.keys[ends[place] : ends[place + 1]].tobytes() for place in range(12)]
    for column, found in enumerate((photos.stores, photos.collections, photos.persons, keys)):
        assert [text.decode() for text in found] == [row[column] for row in texts]
    some = parse_photos(bytes(await reader.copy(PHOTOS_SQL, 7, 0, 2)))
    assert some.revisions.tolist() == [1, 2]


async def test_photos_without_texts_and_time_are_read(reader: CopyReader) -> None:
    await _add_photo(reader, 1, (None, None, None, None), None)
    photos = parse_photos(bytes(await reader.copy(PHOTOS_SQL, 7, 0, 5)))
    assert (photos.stores, photos.collections, photos.persons) == ([b""], [b""], [b""])
    assert photos.key_ends.tolist() == [0]
    assert photos.times_us.tolist() == [0]


async def _add_faces(reader: CopyReader, vectors: Any, rows: list[tuple[Any, Any]]) -> list[uuid.UUID]:
    await reader.connection.execute("SET session_replication_role = replica")
    ids = [uuid.uuid4() for _ in rows]
    await reader.connection.executemany(
        "INSERT INTO faces (face_id, photo_id, gallery_id, box, person, embedding) VALUES ($1, $2, 7, $3, $4, $5)",
        [
            (100 + 3 * place, photo_id, box, person, vector)
            for place, (photo_id, vector, (box, person)) in enumerate(zip(ids, vectors, rows, strict=True))
        ],
    )
    return ids


@pytest.mark.parametrize("dimension", [1, 2, 7, 512, 1536])
@pytest.mark.parametrize("kind", ["all alike", "boxless", "mixed", "named"])
async def test_faces_are_as_they_were_written(reader: CopyReader, rng: Rng, dimension: int, kind: str) -> None:
    box = [1.5, -2.0, 30.25, 4.0]
    kinds: dict[str, list[tuple[Any, Any]]] = {
        "all alike": [(box, "")] * 40,
        "boxless": [(None, "")] * 40,
        "mixed": [(box if place % 3 else None, TEXTS[place % 6] if place % 2 else None) for place in range(40)],
        "named": [(box, "Zoë")] * 40,
    }
    rows = kinds[kind]
    vectors = rng.standard_normal((40, dimension)).astype(np.float32)
    ids = await _add_faces(reader, vectors, rows)
    room = np.full((64, dimension), 7, np.float32)
    faces = parse_faces(await reader.copy(FACES_SQL, 7, 0, 10**6, 64), room)
    assert faces.ids.tolist() == [100 + 3 * place for place in range(40)]
    assert [uuid.UUID(bytes=row.tobytes()) for row in faces.photo_uuids] == ids
    assert np.array_equal(faces.vectors, vectors)
    assert [None if np.isnan(row[0]) else row.tolist() for row in faces.boxes] == [box for box, _ in rows]
    assert faces.persons == {place: person for place, (_, person) in enumerate(rows) if person}
    some = parse_faces(await reader.copy(FACES_SQL, 7, 103, 112, 2), room)
    assert some.ids.tolist() == [103, 106]


async def test_nothing_is_read_as_nothing(reader: CopyReader) -> None:
    assert len(parse_photos(bytes(await reader.copy(PHOTOS_SQL, 7, 0, 9))).revisions) == 0
    assert len(parse_faces(await reader.copy(FACES_SQL, 7, 0, 9, 9), np.empty((9, 4), np.float32)).ids) == 0


async def test_faces_of_another_dimension_or_without_a_vector_are_refused(reader: CopyReader, rng: Rng) -> None:
    room = np.empty((9, 4), np.float32)
    await _add_faces(reader, [rng.standard_normal(5).astype(np.float32)], [(None, "")])
    with pytest.raises(ValueError, match="face"):
        parse_faces(await reader.copy(FACES_SQL, 7, 0, 10**6, 9), room)
    await reader.connection.execute("UPDATE faces SET embedding = NULL")
    with pytest.raises(ValueError, match="face"):
        parse_faces(await reader.copy(FACES_SQL, 7, 0, 10**6, 9), room)


async def test_what_is_cut_off_is_refused(reader: CopyReader, rng: Rng) -> None:
    await _add_faces(reader, rng.standard_normal((3, 4)).astype(np.float32), [([1.0] * 4, "Ann")] * 3)
    await _add_photo(reader, 1, ("a", "b", "c", "d"), None)
    faces = bytes(await reader.copy(FACES_SQL, 7, 0, 10**6, 9))
    photos = bytes(await reader.copy(PHOTOS_SQL, 7, 0, 9))
    room = np.empty((9, 4), np.float32)
    for length in (0, 5, 21, 40, len(faces) // 2, len(faces) - 3, len(faces) - 1):
        for tail in (b"", b"\xff\xff"):
            with pytest.raises(ValueError, match=r"face|COPY"):
                parse_faces(faces[:length] + tail, room)
    for length in (0, 5, 30, len(photos) - 3, len(photos) - 1):
        with pytest.raises(ValueError, match=r"photo|COPY"):
            parse_photos(photos[:length])


def test_photos_are_found_by_their_ids(rng: Rng) -> None:
    uuids = rng.integers(0, 255, (5000, 16), dtype=np.uint8)
    # Halves that differ in one bit each, as somebody could choose them.
    uuids[1] = uuids[0] ^ np.array([128, *[0] * 7, 128, *[0] * 7], np.uint8)
    rows = PhotoRows(uuids)
    order = rng.permutation(5000)
    assert np.array_equal(rows.find(uuids[order]), order)
    strangers = rng.integers(0, 255, (50, 16), dtype=np.uint8)
    assert set(rows.find(strangers).tolist()) == {-1}
    assert PhotoRows(uuids[:0]).find(strangers).tolist() == [-1] * 50
