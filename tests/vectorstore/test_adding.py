"""Adding many photos by one message: outcomes, repeats, what is written, and what a flood may hold."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from tests.vectorstore.conftest import StartStore, Store
from tests.vectorstore.wire import (
    DIMENSION,
    MODEL,
    add,
    add_many,
    add_one,
    ids,
    outcomes,
    photo,
    random_unit,
    search,
    take_apart,
)
from vectorstore import adding, own_rows
from vectorstore.face_table import FaceTable

Rng = np.random.Generator
CODE = grpc.StatusCode


async def test_many_photos_of_one_message_are_durable_and_found(stub: Any, rng: Rng, database: Any) -> None:
    vectors = [random_unit(rng) for _ in range(300)]
    photos = [photo(*vectors[place : place + 3]) for place in range(0, 300, 3)]
    (response,) = await add_many(stub, photos)
    assert [result.photo_id for result in response.results] == [one.photo_id for one in photos]
    assert response.revision == max(result.stored.revision for result in response.results)
    face_ids = [face_id for result in response.results for face_id in result.stored.face_ids]
    assert face_ids == sorted(face_ids)
    found = await search(stub, *vectors, limit=1)
    assert [result.matches[0].face_id for result in found] == face_ids
    stored = (await stub.GetPhoto(pb.GetPhotoRequest(photo_id=photos[7].photo_id))).photo
    assert stored.create_time == response.results[7].stored.create_time
    assert await database.fetchval("SELECT count(*) FROM audit_log WHERE action = 'add_photo'") == 100


async def test_a_transaction_is_one_change_of_the_log(stub: Any, rng: Rng, database: Any) -> None:
    await stub.CreateGallery(pb.CreateGalleryRequest(name="other", model_id=MODEL, dimension=DIMENSION))
    (response,) = await add_many(stub, [photo(random_unit(rng)) for _ in range(50)])
    rows = await database.fetch("SELECT revision, face_ids FROM changes WHERE kind = 'add_photo'")
    assert [row["revision"] for row in rows] == [response.revision]
    assert len(rows[0]["face_ids"]) == 50


async def test_every_photo_has_an_outcome_of_its_own(stub: Any, rng: Rng) -> None:
    known = photo(random_unit(rng))
    await add_one(stub, known)
    spoiled = photo(random_unit(rng))
    spoiled.faces[0].face.box.left = float("nan")
    long = photo(random_unit(rng), person="x" * 2000)
    zero = photo(np.zeros(DIMENSION, np.float32))
    foreign = photo(random_unit(rng))
    foreign.faces[0].face.embedding.model_id = "model-b"
    short = photo(random_unit(rng, 8))
    right = photo(random_unit(rng))
    same_content = photo(random_unit(rng), sha256=known.sha256)
    empty = photo()
    all_photos = [known, spoiled, long, zero, foreign, short, right, same_content, empty]
    (response,) = await add_many(stub, all_photos)
    assert outcomes(response) == [
        "stored",
        *["INVALID_FIELD"] * 3,
        "MODEL_MISMATCH",
        "INVALID_FIELD",
        "stored",
        "DUPLICATE_PHOTO",
        "INVALID_FIELD",
    ]
    fields = [take_apart(response.results[place].error).fields for place in (1, 2, 3, 5, 8)]
    assert fields == [
        ("photo.faces[0].face.box",),
        ("photo.person",),
        ("photo.faces[0].face.embedding.float32_le",),
        ("photo.faces[0].face.embedding.float32_le",),
        ("photo.faces",),
    ]
    duplicate = take_apart(response.results[7].error)
    assert duplicate.metadata is not None
    assert duplicate.metadata["photo_id"] == known.photo_id


async def test_the_same_photos_added_again_are_answered_the_same(stub: Any, rng: Rng, database: Any) -> None:
    photos = [photo(random_unit(rng)) for _ in range(20)]
    twice = [*photos, photos[3], photo(random_unit(rng), sha256=photos[4].sha256)]
    (first,) = await add_many(stub, twice)
    assert first.results[20] == first.results[3]
    assert outcomes(first)[21] == "DUPLICATE_PHOTO"
    assert await add_many(stub, twice) == [first]
    (single,) = await add(stub, photos[5])
    assert single.revision == first.results[5].stored.revision
    assert [face.face_id for face in single.photo.faces] == list(first.results[5].stored.face_ids)
    assert await database.fetchval("SELECT count(*) FROM photos") == 20


async def test_the_photo_that_came_first_is_the_one_that_is_answered(stub: Any, rng: Rng) -> None:
    first = photo(random_unit(rng), person="first")
    second = pb.Photo()
    second.CopyFrom(first)
    second.person = "second"
    answers = await add(stub, first, second)
    assert [answer.photo.person for answer in answers] == ["first", "first"]


@pytest.mark.parametrize("count", [1001])
async def test_messages_that_are_no_batch_are_refused_and_the_stream_goes_on(stub: Any, rng: Rng, count: int) -> None:
    vector = random_unit(rng)

    async def requests() -> AsyncIterator[pb.AddPhotosRequest]:
        yield pb.AddPhotosRequest(photos=[photo(vector)] * count)
        yield pb.AddPhotosRequest(photo=photo(vector), photos=[photo(vector)])
        yield pb.AddPhotosRequest(gallery="nowhere", photos=[photo(vector)] * 2)
        yield pb.AddPhotosRequest(photos=[photo(vector)])

    too_many, both, nowhere, right = [response async for response in stub.AddPhotos(requests())]
    assert outcomes(too_many) == ["INVALID_FIELD"] * count
    assert outcomes(both) == ["INVALID_FIELD"]
    assert outcomes(nowhere) == ["NOT_FOUND"] * 2
    assert outcomes(right) == ["stored"]


async def test_a_replica_that_did_not_write_them_finds_the_same(start_store: StartStore, rng: Rng) -> None:
    async with start_store("one") as one, start_store("two") as two:
        await one.stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))
        vectors = [random_unit(rng) for _ in range(40)]
        (response,) = await add_many(one.stub, [photo(v, person=f"p{n}") for n, v in enumerate(vectors)])
        fields = {"limit": 5, "min_revision": response.revision}
        assert await search(one.stub, *vectors, **fields) == await search(two.stub, *vectors, **fields)


async def test_photos_of_two_galleries_are_committed_together_and_found_apart(stub: Any, rng: Rng) -> None:
    await stub.CreateGallery(pb.CreateGalleryRequest(name="other", model_id=MODEL, dimension=DIMENSION))
    vectors = [random_unit(rng) for _ in range(40)]
    messages = [
        pb.AddPhotosRequest(gallery=("", "other")[place % 2], photo=photo(vector))
        for place, vector in enumerate(vectors)
    ]

    async def requests() -> AsyncIterator[pb.AddPhotosRequest]:
        for message in messages:
            yield message

    answers = [response async for response in stub.AddPhotos(requests())]
    assert len({answer.revision for answer in answers}) == 40
    for gallery, place in (("", 0), ("other", 1)):
        found = await search(stub, *vectors[place::2], gallery=gallery, limit=1)
        assert [ids(result.matches) for result in found] == [[answer.photo_id] for answer in answers[place::2]]


async def test_a_slow_reader_of_answers_holds_up_its_own_stream(
    store: Store, stub: Any, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vectorstore.add_stream.WINDOW_PHOTOS", 64)
    await stub.CreateGallery(pb.CreateGalleryRequest(name="tiny", model_id=MODEL, dimension=1))
    sent = 0
    # Large enough that the answers nobody reads do not fit what the transport holds.
    filename = "f" * 1000

    async def requests() -> AsyncIterator[pb.AddPhotosRequest]:
        nonlocal sent
        for _ in range(20_000):
            message = photo(np.ones(1, np.float32), original_filename=filename)
            yield pb.AddPhotosRequest(gallery="tiny", photo=message)
            sent += 1

    call = stub.AddPhotos(requests())
    await call.read()
    counts = [0, 0]
    async with asyncio.timeout(60):
        while len(counts) < 4 or counts[-1] != counts[-3]:
            await asyncio.sleep(0.5)
            counts.append(await database.fetchval("SELECT count(*) FROM photos"))
    assert counts[-1] < 10_000
    assert sent < 20_000
    # Somebody else's photos are added meanwhile.
    await add_one(stub, photo(random_unit(np.random.default_rng(1))))
    call.cancel()


async def test_a_flood_waits_within_its_bounds(
    store: Store, stub: Any, rng: Rng, monkeypatch: pytest.MonkeyPatch
) -> None:
    adder = store.service._adder
    monkeypatch.setattr(adder._photos, "_max_bytes", 100)
    vector = random_unit(rng)
    most = 0

    async def look() -> None:
        nonlocal most
        while True:
            most = max(most, adder._photos._taken, sum(len(waiting.photos) for waiting in adder._queue))
            await asyncio.sleep(0.001)

    looking = asyncio.create_task(look())
    answers = await asyncio.gather(
        *(add_many(stub, *([photo(vector) for _ in range(20)] for _ in range(5))) for _ in range(20))
    )
    looking.cancel()
    assert all(outcomes(response) == ["stored"] * 20 for responses in answers for response in responses)
    assert most <= 100
    assert (adder._photos._taken, adder._bytes._taken) == (0, 0)


async def test_a_batch_with_one_photo_that_postgresql_refuses_keeps_the_others(
    store: Store, stub: Any, rng: Rng, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in what is written costs the photo that has it, not those that happen to be committed with it."""
    bad = photo(random_unit(rng), person="bad")
    store_photos = adding.store_photos  # type: ignore[attr-defined]

    async def picky(database: Any, own: Any, batch: Any, applied_revision: int, prepared: Any) -> Any:
        if any(new.photo.person == "bad" for new in batch):
            raise ZeroDivisionError
        return await store_photos(database, own, batch, applied_revision, prepared)

    monkeypatch.setattr(adding, "store_photos", picky)
    (response,) = await add_many(stub, [*[photo(random_unit(rng)) for _ in range(9)], bad])
    assert [result.HasField("stored") for result in response.results] == [True] * 9 + [False]
    assert take_apart(response.results[9].error).code is CODE.INTERNAL


def _own(gallery_id: int, *face_ids: int) -> own_rows.OwnFaces:
    return own_rows.OwnFaces(gallery_id, np.array(face_ids, np.int64), [], 0, FaceTable.empty(len(face_ids), 1))


def _faces(gallery_id: int, *face_ids: int) -> own_rows.IndexedFaces:
    faces: Any = [f"face {face_id}" for face_id in face_ids]
    vectors = np.array([[face_id] for face_id in face_ids], np.float32)
    return own_rows.IndexedFaces(gallery_id, np.array(face_ids, np.int64), faces, vectors)


async def test_rows_of_a_commit_that_failed_are_not_used() -> None:
    """Its numbers may be given out again, to other photos."""
    rows = own_rows.OwnRows()
    with pytest.raises(ZeroDivisionError):
        async with rows.offered({7: _own(1, 70)}):
            waiting = asyncio.ensure_future(rows.find(7))
            await asyncio.sleep(0)
            raise ZeroDivisionError
    assert await waiting is None
    assert await rows.find(7) is None


async def test_whoever_reads_a_change_before_its_writer_knows_of_the_commit_waits() -> None:
    rows = own_rows.OwnRows()
    async with rows.offered({7: _own(1, 70), 8: _own(2, 80)}):
        waiting = asyncio.ensure_future(rows.find(8))
        await asyncio.sleep(0.01)
        assert not waiting.done()
    found = await waiting
    assert found is not None
    assert found.is_of(2, (80,))
    assert not found.is_of(1, (80,))
    assert not found.is_of(2, (80, 81))
    rows.forget(7)
    assert await rows.find(7) is None
    assert await rows.find(8) is not None


def test_rows_of_several_changes_are_merged_by_their_ids() -> None:
    merged = own_rows.merged([_faces(1, 5, 9), _faces(1, 2, 7)], above=2, without={9})
    assert merged is not None
    assert merged.ids.tolist() == [5, 7]
    assert [str(face) for face in merged.faces] == ["face 5", "face 7"]
    assert merged.vectors.tolist() == [[5.0], [7.0]]
    assert own_rows.merged([_faces(1, 5)], above=5, without=()) is None


async def test_a_photo_that_is_deleted_before_it_was_applied_is_never_found(start_store: StartStore, rng: Rng) -> None:
    async with start_store("one") as one, start_store("two") as two:
        await one.stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))
        vector, photo_id = random_unit(rng), str(uuid.uuid4())
        async with one.service._follower.standing_still:
            adding_one = asyncio.create_task(add(one.stub, photo(vector, photo_id=photo_id)))
            async with asyncio.timeout(10):
                while not (await two.stub.ListPhotos(pb.ListPhotosRequest())).photos:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            await two.stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=photo_id))
        await adding_one
        stats = await one.stub.GetStats(pb.GetStatsRequest())
        for store in (one, two):
            (result,) = await search(store.stub, vector, min_revision=stats.database_revision)
            assert not result.matches
