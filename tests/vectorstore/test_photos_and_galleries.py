"""Every RPC that adds, shows, lists and counts."""

import asyncio
import uuid
from typing import Any

import grpc
import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp
from twin.face.v1 import face_pb2
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from tests.vectorstore.conftest import StartStore
from tests.vectorstore.wire import DIMENSION, MODEL, add, add_one, ids, photo, random_unit, refused, search, take_apart
from vectorstore.galleries import MAX_DIMENSION

Rng = np.random.Generator
CODE = grpc.StatusCode


def _full_photo(rng: Rng) -> pb.Photo:
    message = photo(
        random_unit(rng),
        random_unit(rng),
        persons=["Ada"],
        collection="uploads",
        original_filename="me.jpg",
        person="Grace",
        deletion_token_sha256=bytes(range(32)),
    )
    message.consent.policy_version = "2026-01"
    message.consent.grant_time.FromSeconds(1_750_000_000)
    message.consent.time_to_live.FromSeconds(3600 * 24 * 36_000)
    face = message.faces[0].face
    face.primary = True
    for number, name in enumerate(("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")):
        getattr(face.landmarks, name).CopyFrom(face_pb2.Point(x=number + 0.5, y=number))
    face.quality.CopyFrom(
        face_pb2.Quality(score=0.5, sharpness=0.25, brightness=0.75, yaw_degrees=-3, roll_degrees=4, size_pixels=90)
    )
    face.quality.issues.append(face_pb2.QUALITY_ISSUE_BLURRED)
    return message


async def test_a_photo_comes_back_as_it_was_added_without_embeddings_and_token(stub: Any, rng: Rng) -> None:
    added = _full_photo(rng)
    answer = await add_one(stub, added)
    got = (await stub.GetPhoto(pb.GetPhotoRequest(photo_id=added.photo_id))).photo
    assert got == answer
    assert not got.deletion_token_sha256
    assert got.create_time.seconds > 1_700_000_000
    assert all(face.face_id > 0 and not face.face.HasField("embedding") for face in got.faces)
    expected = pb.Photo()
    expected.CopyFrom(added)
    expected.deletion_token_sha256 = b""
    expected.create_time.CopyFrom(got.create_time)
    for wanted, found in zip(expected.faces, got.faces, strict=True):
        wanted.face_id = found.face_id
        wanted.face.ClearField("embedding")
    assert got == expected


async def test_the_service_chooses_an_id_when_none_is_given(stub: Any, rng: Rng) -> None:
    added = await add_one(stub, photo(random_unit(rng), photo_id=""))
    assert uuid.UUID(added.photo_id).version == 4
    assert (await stub.GetPhoto(pb.GetPhotoRequest(photo_id=added.photo_id))).photo == added


async def test_an_added_photo_is_found_by_the_next_search(stub: Any, rng: Rng) -> None:
    for _ in range(20):
        vector = random_unit(rng)
        added = await add_one(stub, photo(vector))
        (result,) = await search(stub, vector, limit=1)
        assert ids(result.matches) == [added.photo_id]


async def test_adding_again_answers_the_same(stub: Any, rng: Rng) -> None:
    message = photo(random_unit(rng))
    first = (await add(stub, message))[0]
    again, once_more = await add(stub, message, message)
    assert first == again == once_more
    assert (await stub.GetStats(pb.GetStatsRequest())).indexes[0].face_count == 1


async def test_the_same_photo_twice_in_one_stream_is_added_once(stub: Any, rng: Rng) -> None:
    message = photo(random_unit(rng))
    answers = await add(stub, *[message] * 5)
    assert all(answer == answers[0] for answer in answers)
    assert answers[0].photo.faces[0].face_id > 0


async def test_another_photo_under_a_known_id_is_refused(stub: Any, rng: Rng) -> None:
    first = await add_one(stub, photo(random_unit(rng)))
    (answer,) = await add(stub, photo(random_unit(rng), photo_id=first.photo_id))
    refusal = take_apart(answer.error)
    assert (refusal.code, refusal.reason) == (CODE.ALREADY_EXISTS, "DUPLICATE_PHOTO")
    assert refusal.metadata == {"photo_id": first.photo_id}


async def test_the_same_content_under_another_id_names_the_photo_that_is_there(stub: Any, rng: Rng) -> None:
    first = await add_one(stub, photo(random_unit(rng)))
    both = [photo(random_unit(rng), sha256=first.sha256), photo(random_unit(rng), sha256=first.sha256, photo_id="")]
    for answer in await add(stub, *both):
        assert take_apart(answer.error).metadata == {"photo_id": first.photo_id}


async def test_one_content_may_be_in_two_galleries(stub: Any, rng: Rng) -> None:
    await stub.CreateGallery(pb.CreateGalleryRequest(name="other", model_id=MODEL, dimension=DIMENSION))
    first = await add_one(stub, photo(random_unit(rng)))
    second = await add_one(stub, photo(random_unit(rng), sha256=first.sha256), gallery="other")
    assert first.photo_id != second.photo_id


async def test_a_bad_photo_fails_only_its_own_answer(stub: Any, rng: Rng) -> None:
    good = [photo(random_unit(rng)) for _ in range(3)]
    bad = photo(random_unit(rng), sha256=b"short")
    answers = await add(stub, good[0], bad, good[1], good[2])
    assert [answer.WhichOneof("result") for answer in answers] == ["photo", "error", "photo", "photo"]
    assert [answer.photo_id for answer in answers] == [m.photo_id for m in (good[0], bad, good[1], good[2])]
    refusal = take_apart(answers[1].error)
    assert (refusal.reason, refusal.fields) == ("INVALID_FIELD", ("photo.sha256",))


async def test_many_streams_at_once_lose_nothing(stub: Any, rng: Rng) -> None:
    photos = [[photo(random_unit(rng)) for _ in range(60)] for _ in range(6)]
    answers = await asyncio.gather(*(add(stub, *batch) for batch in photos))
    assert all(answer.HasField("photo") for batch in answers for answer in batch)
    revisions = [answer.revision for batch in answers for answer in batch]
    assert len(set(revisions)) == 360
    (gallery,) = (await stub.ListGalleries(pb.ListGalleriesRequest())).galleries
    assert (gallery.photo_count, gallery.face_count) == (360, 360)


async def test_photos_are_listed_oldest_first_page_by_page(stub: Any, rng: Rng) -> None:
    added = [await add_one(stub, photo(random_unit(rng))) for _ in range(7)]
    listed: list[pb.Photo] = []
    token = ""
    pages = 0
    while True:
        page = await stub.ListPhotos(pb.ListPhotosRequest(page_size=3, page_token=token))
        listed += page.photos
        pages += 1
        token = page.next_page_token
        if not token:
            break
    assert (listed, pages) == (added, 3)


async def test_a_page_that_fills_exactly_is_the_last(stub: Any, rng: Rng) -> None:
    await add(stub, *[photo(random_unit(rng)) for _ in range(4)])
    page = await stub.ListPhotos(pb.ListPhotosRequest(page_size=4))
    assert (len(page.photos), page.next_page_token) == (4, "")


async def test_creating_a_gallery_again_changes_nothing(stub: Any) -> None:
    calibration = face_pb2.Calibration(
        same_person_similarity=0.5, duplicate_similarity=0.75, percent_slope=8, percent_midpoint=0.25
    )
    request = pb.CreateGalleryRequest(name="mine", model_id="m", dimension=4, calibration=calibration)
    first = await stub.CreateGallery(request)
    assert first.gallery.calibration == calibration
    request.ClearField("calibration")
    assert await stub.CreateGallery(request) == first


async def test_a_gallery_stays_with_its_model_and_dimension(stub: Any) -> None:
    for model_id, dimension in ((MODEL, DIMENSION + 1), ("another", DIMENSION)):
        with refused(CODE.FAILED_PRECONDITION, "MODEL_MISMATCH") as refusal:
            await stub.CreateGallery(pb.CreateGalleryRequest(model_id=model_id, dimension=dimension))
        assert set(refusal.metadata or ()) == {"expected", "actual"}


async def test_the_largest_dimension_can_be_stored(stub: Any, rng: Rng) -> None:
    await stub.CreateGallery(pb.CreateGalleryRequest(name="wide", model_id=MODEL, dimension=MAX_DIMENSION))
    vector = random_unit(rng, MAX_DIMENSION)
    added = await add_one(stub, photo(vector, collection="c" * 1024, person="p" * 1024), gallery="wide")
    (result,) = await search(stub, vector, gallery="wide")
    assert ids(result.matches) == [added.photo_id]


async def test_galleries_are_listed_by_name(stub: Any) -> None:
    for name in ("c", "a", "b"):
        await stub.CreateGallery(pb.CreateGalleryRequest(name=name, model_id="m", dimension=4))
    first = await stub.ListGalleries(pb.ListGalleriesRequest(page_size=3))
    rest = await stub.ListGalleries(pb.ListGalleriesRequest(page_size=3, page_token=first.next_page_token))
    assert [gallery.name for gallery in [*first.galleries, *rest.galleries]] == ["a", "b", "c", "default"]
    assert not rest.next_page_token


async def test_a_deleted_gallery_is_gone_and_its_originals_are_queued(stub: Any, rng: Rng) -> None:
    added = [await add_one(stub, photo(random_unit(rng), random_unit(rng))) for _ in range(3)]
    assert (await stub.DeleteGallery(pb.DeleteGalleryRequest(name="default"))).photo_count == 3
    with refused(CODE.NOT_FOUND, "NOT_FOUND"):
        await search(stub, random_unit(rng))
    with refused(CODE.NOT_FOUND, "NOT_FOUND"):
        await stub.GetPhoto(pb.GetPhotoRequest(photo_id=added[0].photo_id))
    removals = (await stub.ListRemovals(pb.ListRemovalsRequest())).removals
    assert [removal.photo_id for removal in removals] == [message.photo_id for message in added]
    again = await stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=added[1].photo_id))
    assert (again.face_count, again.source) == (2, added[1].source)


async def test_a_gallery_made_anew_starts_empty_and_takes_another_model(stub: Any, rng: Rng) -> None:
    await add_one(stub, photo(random_unit(rng)))
    await stub.DeleteGallery(pb.DeleteGalleryRequest(name="default"))
    await stub.CreateGallery(pb.CreateGalleryRequest(model_id="model-b", dimension=8))
    (facts,) = (await stub.GetStats(pb.GetStatsRequest())).indexes
    assert (facts.gallery, facts.face_count) == ("default", 0)


async def test_stats_tell_of_index_and_revisions(stub: Any, rng: Rng) -> None:
    added = await add(stub, photo(random_unit(rng), random_unit(rng)), photo(random_unit(rng)))
    await stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=added[0].photo_id))
    stats = await stub.GetStats(pb.GetStatsRequest())
    (facts,) = stats.indexes
    assert (facts.gallery, facts.kind, facts.face_count, facts.tombstone_count) == ("default", "flat-f32-cpu", 1, 2)
    assert facts.memory_bytes > 3 * DIMENSION * 4
    assert stats.revision == stats.database_revision > added[1].revision
    assert stats.snapshot_time == Timestamp()


async def test_a_replica_shows_what_another_one_added(start_store: StartStore, rng: Rng) -> None:
    async with start_store("one") as one, start_store("two") as two:
        await one.stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))
        for _ in range(20):
            vector = random_unit(rng)
            (added,) = await add(one.stub, photo(vector))
            (result,) = await search(two.stub, vector, limit=1, min_revision=added.revision)
            assert ids(result.matches) == [added.photo_id]
            deleted = await one.stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=added.photo_id))
            (result,) = await search(two.stub, vector, limit=1, min_revision=deleted.revision)
            assert ids(result.matches) == []
