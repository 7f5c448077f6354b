"""One answer for each kind of bad input, and nothing left behind."""

import uuid
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest
from twin.face.v1 import face_pb2
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from tests.vectorstore.wire import (
    DIMENSION,
    MODEL,
    add,
    add_one,
    embedding,
    photo,
    query,
    random_unit,
    refused,
    take_apart,
)

CODE = grpc.StatusCode
RNG = np.random.default_rng(3)
GOOD = random_unit(RNG)


def _with(position: int, value: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    vector = GOOD.copy()
    vector[position] = value
    return vector


BAD_VECTORS = {
    "one value short": GOOD[:-1],
    "one value long": np.append(GOOD, np.float32(0)),
    "empty": GOOD[:0],
    "nan": _with(3, np.nan),
    "inf": _with(3, np.inf),
    "zero": np.zeros_like(GOOD),
    "not of unit length": GOOD * np.float32(1.01),
}


@pytest.mark.parametrize("vector", BAD_VECTORS.values(), ids=BAD_VECTORS.keys())
async def test_a_query_that_is_no_unit_vector_is_refused(stub: Any, vector: Any) -> None:
    with refused(CODE.INVALID_ARGUMENT, "INVALID_FIELD") as refusal:
        await stub.Search(pb.SearchRequest(queries=[query(GOOD), query(vector)]))
    assert refusal.fields == ("queries[1].embedding.float32_le",)


@pytest.mark.parametrize("vector", BAD_VECTORS.values(), ids=BAD_VECTORS.keys())
async def test_a_face_that_is_no_unit_vector_is_refused_and_nothing_of_its_photo_kept(stub: Any, vector: Any) -> None:
    (answer,) = await add(stub, photo(GOOD, vector))
    refusal = take_apart(answer.error)
    assert (refusal.code, refusal.reason) == (CODE.INVALID_ARGUMENT, "INVALID_FIELD")
    assert refusal.fields == ("photo.faces[1].face.embedding.float32_le",)
    await _assert_empty(stub)


async def _assert_empty(stub: Any) -> None:
    (gallery,) = (await stub.ListGalleries(pb.ListGalleriesRequest())).galleries
    assert (gallery.photo_count, gallery.face_count) == (0, 0)
    assert (await stub.GetStats(pb.GetStatsRequest())).indexes[0].face_count == 0


def _request(**fields: Any) -> pb.SearchRequest:
    fields.setdefault("queries", [query(GOOD)])
    return pb.SearchRequest(**fields)


BAD_SEARCHES = {
    "limit -1": (_request(limit=-1), "limit"),
    "limit 1,001": (_request(limit=1001), "limit"),
    "no query": (pb.SearchRequest(), "queries"),
    "5,000 queries": (_request(queries=[query(GOOD)] * 5000), "queries"),
    "an empty query": (_request(queries=[pb.Query()]), "queries[0]"),
    "mode 77": (_request(mode=77), "mode"),
    "accuracy 77": (_request(accuracy=77), "accuracy"),
    "similarity nan": (_request(min_similarity=float("nan")), "min_similarity"),
    "similarity 1.5": (_request(min_similarity=1.5), "min_similarity"),
    "revision -1": (_request(min_revision=-1), "min_revision"),
    "gallery 'A B'": (_request(gallery="A B"), "gallery"),
    "gallery of 64": (_request(gallery="a" * 64), "gallery"),
    "1,001 collections": (_request(collections=["c"] * 1001), "collections"),
}


@pytest.mark.parametrize(("request_", "field"), BAD_SEARCHES.values(), ids=BAD_SEARCHES.keys())
async def test_a_search_out_of_range_names_the_field(stub: Any, request_: pb.SearchRequest, field: str) -> None:
    with refused(CODE.INVALID_ARGUMENT, "INVALID_FIELD") as refusal:
        await stub.Search(request_)
    assert refusal.fields == (field,)


@pytest.mark.parametrize("count", [1, 1000])
async def test_as_many_queries_as_allowed_are_answered_in_order(stub: Any, count: int) -> None:
    await add_one(stub, photo(GOOD))
    response = await stub.Search(_request(queries=[query(GOOD)] * count, limit=1, mode=pb.MATCH_MODE_NEAREST))
    assert [len(result.matches) for result in response.results] == [1] * count


async def test_another_models_vector_is_refused(stub: Any) -> None:
    with refused(CODE.FAILED_PRECONDITION, "MODEL_MISMATCH") as refusal:
        await stub.Search(pb.SearchRequest(queries=[pb.Query(embedding=embedding(GOOD, "model-b"))]))
    assert refusal.metadata == {"expected": MODEL, "actual": "model-b"}
    message = photo(GOOD)
    message.faces[0].face.embedding.model_id = ""
    (answer,) = await add(stub, message)
    assert take_apart(answer.error).reason == "MODEL_MISMATCH"
    await _assert_empty(stub)


async def test_what_is_not_there_is_not_found(stub: Any) -> None:
    nobody = str(uuid.uuid4())
    calls = [
        stub.Search(_request(gallery="nowhere")),
        stub.Search(_request(queries=[pb.Query(face_id=123)])),
        stub.Search(_request(queries=[pb.Query(face_id=-1)])),
        stub.GetPhoto(pb.GetPhotoRequest(photo_id=nobody)),
        stub.ListPhotos(pb.ListPhotosRequest(gallery="nowhere")),
        stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=nobody)),
        stub.ConfirmRemoval(pb.ConfirmRemovalRequest(photo_id=nobody)),
        stub.DeleteGallery(pb.DeleteGalleryRequest(name="nowhere")),
    ]
    for call in calls:
        with refused(CODE.NOT_FOUND, "NOT_FOUND"):
            await call
    (answer,) = await add(stub, photo(GOOD), gallery="nowhere")
    assert take_apart(answer.error).reason == "NOT_FOUND"


@pytest.mark.parametrize(
    "photo_id",
    ["", "abc", "123e4567-e89b-42d3-a456-42661417400", "{123e4567-e89b-42d3-a456-426614174000}", "\x00" * 36],
)
async def test_a_malformed_uuid_is_an_invalid_field(stub: Any, photo_id: str) -> None:
    for call in (
        stub.GetPhoto(pb.GetPhotoRequest(photo_id=photo_id)),
        stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=photo_id)),
        stub.ConfirmRemoval(pb.ConfirmRemovalRequest(photo_id=photo_id)),
    ):
        with refused(CODE.INVALID_ARGUMENT, "INVALID_FIELD") as refusal:
            await call
        assert refusal.fields == ("photo_id",)
    if photo_id:
        (answer,) = await add(stub, photo(GOOD, photo_id=photo_id))
        assert take_apart(answer.error).fields == ("photo.photo_id",)


@pytest.mark.parametrize("token", ["x", "AAAA", "cGhvdG9zOm90aGVyLzE", "é", "a" * 2000, "cGhvdG9zOmRlZmF1bHQvLTE"])
async def test_a_foreign_page_token_is_an_invalid_field(stub: Any, token: str) -> None:
    for call in (
        stub.ListPhotos(pb.ListPhotosRequest(page_token=token)),
        stub.ListGalleries(pb.ListGalleriesRequest(page_token=token)),
        stub.ListRemovals(pb.ListRemovalsRequest(page_token=token)),
    ):
        with refused(CODE.INVALID_ARGUMENT, "INVALID_FIELD") as refusal:
            await call
        assert refusal.fields == ("page_token",)


@pytest.mark.parametrize("size", [-1, 1001])
async def test_a_page_size_out_of_range_is_an_invalid_field(stub: Any, size: int) -> None:
    for call in (
        stub.ListPhotos(pb.ListPhotosRequest(page_size=size)),
        stub.ListGalleries(pb.ListGalleriesRequest(page_size=size)),
        stub.ListRemovals(pb.ListRemovalsRequest(page_size=size)),
    ):
        with refused(CODE.INVALID_ARGUMENT, "INVALID_FIELD") as refusal:
            await call
        assert refusal.fields == ("page_size",)


def _ttl(seconds: int, nanos: int = 0) -> Callable[[pb.Photo], None]:
    def change(message: pb.Photo) -> None:
        message.consent.time_to_live.seconds = seconds
        message.consent.time_to_live.nanos = nanos

    return change


def _set(**fields: Any) -> Callable[[pb.Photo], None]:
    return lambda message: message.MergeFrom(pb.Photo(**fields))


BAD_PHOTOS: dict[str, tuple[Callable[[pb.Photo], None], str]] = {
    "no sha256": (lambda message: message.ClearField("sha256"), "photo.sha256"),
    "no faces": (lambda message: message.ClearField("faces"), "photo.faces"),
    "a face without embedding": (
        lambda message: message.faces[0].face.ClearField("embedding"),
        "photo.faces[0].face.embedding",
    ),
    "1,001 faces": (lambda message: message.faces.extend([message.faces[0]] * 1000), "photo.faces"),
    "negative width": (_set(width=-1), "photo.width"),
    "short token hash": (_set(deletion_token_sha256=b"x"), "photo.deletion_token_sha256"),
    "nul in a text": (_set(person="a\x00b"), "photo.person"),
    "long text": (_set(collection="c" * 1025), "photo.collection"),
    "nul in a key": (_set(source=pb.PhotoSource(key="\x00")), "photo.source.key"),
    "nan box": (
        lambda message: message.faces[0].face.box.MergeFrom(face_pb2.Box(left=float("nan"))),
        "photo.faces[0].face.box",
    ),
    "nan score": (
        lambda message: message.faces[0].face.MergeFrom(face_pb2.Face(detection_score=float("nan"))),
        "photo.faces[0].face.detection_score",
    ),
    "no time to live": (_ttl(0), "photo.consent.time_to_live"),
    "negative time to live": (_ttl(-5), "photo.consent.time_to_live"),
    "a million years to live": (_ttl(31_536_000_000_000), "photo.consent.time_to_live"),
    "a duration that is none": (_ttl(5, -7), "photo.consent.time_to_live"),
    "granted before 1970": (lambda m: m.consent.grant_time.FromSeconds(-5), "photo.consent.grant_time"),
    "granted in year 300,000": (
        lambda m: setattr(m.consent.grant_time, "seconds", 9_400_000_000_000),
        "photo.consent.grant_time",
    ),
    "granted in the future": (
        lambda m: setattr(m.consent.grant_time, "seconds", 253_402_300_000),
        "photo.consent.grant_time",
    ),
}


@pytest.mark.parametrize(("change", "field"), BAD_PHOTOS.values(), ids=BAD_PHOTOS.keys())
async def test_a_photo_that_cannot_be_kept_names_the_field(
    stub: Any, change: Callable[[pb.Photo], None], field: str
) -> None:
    message = photo(GOOD)
    change(message)
    (answer,) = await add(stub, message)
    refusal = take_apart(answer.error)
    assert (refusal.code, refusal.reason, refusal.fields) == (CODE.INVALID_ARGUMENT, "INVALID_FIELD", (field,))
    await _assert_empty(stub)


BAD_GALLERIES = {
    "name": (pb.CreateGalleryRequest(name="Ä", model_id="m", dimension=4), "name"),
    "model": (pb.CreateGalleryRequest(name="g", dimension=4), "model_id"),
    "dimension 0": (pb.CreateGalleryRequest(name="g", model_id="m"), "dimension"),
    "dimension huge": (pb.CreateGalleryRequest(name="g", model_id="m", dimension=100_000), "dimension"),
    "flat slope": (
        pb.CreateGalleryRequest(name="g", model_id="m", dimension=4, calibration=face_pb2.Calibration()),
        "calibration.percent_slope",
    ),
    "similarity 3": (
        pb.CreateGalleryRequest(
            name="g",
            model_id="m",
            dimension=4,
            calibration=face_pb2.Calibration(same_person_similarity=3, percent_slope=1),
        ),
        "calibration",
    ),
}


@pytest.mark.parametrize(("request_", "field"), BAD_GALLERIES.values(), ids=BAD_GALLERIES.keys())
async def test_a_gallery_that_cannot_be_names_the_field(
    stub: Any, request_: pb.CreateGalleryRequest, field: str
) -> None:
    with refused(CODE.INVALID_ARGUMENT, "INVALID_FIELD") as refusal:
        await stub.CreateGallery(request_)
    assert refusal.fields == (field,)


async def test_the_default_gallery_is_not_dropped_by_an_empty_name(stub: Any) -> None:
    with refused(CODE.INVALID_ARGUMENT, "INVALID_FIELD"):
        await stub.DeleteGallery(pb.DeleteGalleryRequest())
    assert [gallery.name for gallery in (await stub.ListGalleries(pb.ListGalleriesRequest())).galleries] == ["default"]


async def test_a_message_over_the_transports_limit_is_refused_by_it(stub: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Search(pb.SearchRequest(queries=[query(GOOD)], collections=["c" * (50 * 2**20)]))
    assert caught.value.code() is CODE.RESOURCE_EXHAUSTED


async def test_a_revision_that_is_not_here_by_the_deadline_is_unavailable(stub: Any) -> None:
    with refused(CODE.UNAVAILABLE, "NOT_READY") as refusal:
        await stub.Search(_request(min_revision=10**9), timeout=0.5)
    assert refusal.retry


async def test_no_detail_outgrows_a_header(stub: Any) -> None:
    with refused(CODE.FAILED_PRECONDITION, "MODEL_MISMATCH"):
        await stub.Search(pb.SearchRequest(queries=[pb.Query(embedding=embedding(GOOD, "m" * 100_000))]))
    assert len(GOOD) == DIMENSION
