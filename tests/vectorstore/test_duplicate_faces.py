"""Photos of faces that are there already: refused with what is there where that is asked for, and otherwise kept."""

from collections.abc import Iterable
from typing import Any

import grpc
import numpy as np
from twin.face.v1 import face_pb2
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from tests.vectorstore.wire import DIMENSION, MODEL, add_one, at_cosine, photo, random_unit, take_apart

Rng = np.random.Generator
CODE = grpc.StatusCode
# What a gallery without a calibration of its own has.
THRESHOLD = 0.95


async def _add(stub: Any, requests: Iterable[pb.AddPhotosRequest]) -> list[pb.AddPhotosResponse]:
    async def sent() -> Any:
        for request in requests:
            yield request

    return [answer async for answer in stub.AddPhotos(sent())]


async def _add_if_new(stub: Any, message: pb.Photo, gallery: str = "") -> pb.AddPhotosResponse:
    request = pb.AddPhotosRequest(gallery=gallery, photo=message, refuse_duplicate_faces=True)
    (answer,) = await _add(stub, [request])
    return answer


async def test_the_same_face_in_another_photo_is_answered_with_the_photo_that_is_there(stub: Any, rng: Rng) -> None:
    vector = random_unit(rng)
    there = await add_one(stub, photo(vector))
    await add_one(stub, photo(random_unit(rng)))
    answer = await _add_if_new(stub, photo(at_cosine(rng, vector, THRESHOLD + 0.01)))
    refusal = take_apart(answer.error)
    assert (refusal.code, refusal.reason) == (CODE.ALREADY_EXISTS, "DUPLICATE_PHOTO")
    assert refusal.metadata is not None
    assert refusal.metadata["photo_id"] == there.photo_id
    assert abs(float(refusal.metadata["cosine"]) - THRESHOLD - 0.01) < 0.001
    assert "deletion token" in refusal.message
    assert (await stub.GetStats(pb.GetStatsRequest())).indexes[0].face_count == 2


async def test_a_face_below_the_threshold_is_new(stub: Any, rng: Rng) -> None:
    vector = random_unit(rng)
    await add_one(stub, photo(vector))
    assert (await _add_if_new(stub, photo(at_cosine(rng, vector, THRESHOLD - 0.01)))).HasField("photo")


async def test_the_threshold_is_the_gallerys_own(stub: Any, rng: Rng) -> None:
    strict = face_pb2.Calibration(
        same_person_similarity=0.4, duplicate_similarity=0.7, percent_slope=10, percent_midpoint=0.3
    )
    await stub.CreateGallery(
        pb.CreateGalleryRequest(name="strict", model_id=MODEL, dimension=DIMENSION, calibration=strict)
    )
    vector = random_unit(rng)
    await add_one(stub, photo(vector))
    assert (await _add_if_new(stub, photo(vector), "strict")).HasField("photo"), "a face of another gallery"
    assert (await _add_if_new(stub, photo(at_cosine(rng, vector, 0.75)), "strict")).HasField("error")


async def test_a_photo_with_one_new_face_is_new(stub: Any, rng: Rng) -> None:
    first, second, third = (random_unit(rng) for _ in range(3))
    await add_one(stub, photo(first, second))
    assert (await _add_if_new(stub, photo(second, first))).HasField("error")
    assert (await _add_if_new(stub, photo(first, third))).HasField("photo")


async def test_unless_it_is_asked_for_the_same_face_is_kept_again(stub: Any, rng: Rng) -> None:
    vector = random_unit(rng)
    await add_one(stub, photo(vector))
    await add_one(stub, photo(vector))


async def test_the_same_photo_again_is_answered_the_same_whatever_else_is_like_it(stub: Any, rng: Rng) -> None:
    vector = random_unit(rng)
    message = photo(vector)
    first = await add_one(stub, message)
    await add_one(stub, photo(vector))
    assert (await _add_if_new(stub, message)).photo == first


async def test_of_many_photos_the_duplicates_alone_are_refused(stub: Any, rng: Rng) -> None:
    known = random_unit(rng)
    there = await add_one(stub, photo(known))
    photos = [photo(random_unit(rng)), photo(known), photo(random_unit(rng), sha256=b"bad"), photo(random_unit(rng))]
    (answer,) = await _add(stub, [pb.AddPhotosRequest(photos=photos, refuse_duplicate_faces=True)])
    assert [result.WhichOneof("result") for result in answer.results] == ["stored", "error", "error", "stored"]
    refusal = take_apart(answer.results[1].error)
    assert refusal.reason == "DUPLICATE_PHOTO" and refusal.metadata is not None
    assert refusal.metadata["photo_id"] == there.photo_id
    assert take_apart(answer.results[2].error).reason == "INVALID_FIELD"


async def test_a_message_without_a_right_photo_is_answered(stub: Any, rng: Rng) -> None:
    bad = photo(random_unit(rng), sha256=b"bad")
    assert take_apart((await _add_if_new(stub, bad)).error).reason == "INVALID_FIELD"
