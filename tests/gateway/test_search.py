"""Search, DetectFaces, Compare and GetStats over real gRPC."""

import math
from pathlib import Path

import grpc
import pytest
from twin.embedder.v1 import embedder_pb2 as em
from twin.gateway.v1 import gateway_pb2 as pb
from twin.vectorstore.v1 import vectorstore_pb2 as vs

from runtime.errors import NotReady, Overloaded, StorageFull
from runtime.status import retry_delay_s, status_from_rpc_error
from tests.gateway.fakes import NO_FACE, vector_of
from tests.gateway.harness import ADMIN, Gateway, refusal, running_gateway, until
from tests.gateway.pictures import picture

CONSENT = pb.ConsentGrant(policy_version="2026-11")
INVALID = grpc.StatusCode.INVALID_ARGUMENT


async def test_search_finds_what_was_added_and_signs_its_addresses(gateway: Gateway) -> None:
    added = await gateway.stub.AddPhoto(
        pb.AddPhotoRequest(image=picture(seed=2), person="Ada", all_faces=True), metadata=ADMIN
    )
    response = await gateway.stub.Search(pb.SearchRequest(image=picture(seed=1)))
    assert [face.index for face in response.faces] == [0, 1]
    assert not any(face.HasField("embedding") for face in response.faces)
    assert (response.image_width, response.image_height) == (160, 120)
    assert len(response.results) == 1
    twins = response.results[0].twins
    assert {twin.match.photo_id for twin in twins} == {added.saved_photo.photo_id}
    assert len(twins) == 2
    for twin in twins:
        assert twin.face_url.startswith(f"/photos/{added.saved_photo.photo_id}?size=thumb&face={twin.match.face_id}&")
        assert twin.image_url.startswith(f"/photos/{added.saved_photo.photo_id}?size=large&expires=")
        assert twin.thumbnail_url.startswith(f"/photos/{added.saved_photo.photo_id}?size=thumb&expires=")
    assert not response.HasField("saved_photo")
    assert len(gateway.kept_files()) == 1


async def test_the_named_face_is_searched_and_all_faces_each_get_a_result(gateway: Gateway) -> None:
    response = await gateway.stub.Search(pb.SearchRequest(image=picture(), face_index=1))
    assert [result.face_index for result in response.results] == [1]
    assert gateway.embedder.requests[-1].face_index == 1
    response = await gateway.stub.Search(pb.SearchRequest(image=picture(), all_faces=True))
    assert [result.face_index for result in response.results] == [0, 1]
    assert gateway.embedder.requests[-1].faces == em.FACE_CHOICE_ALL


async def test_without_consent_nothing_is_stored(gateway: Gateway) -> None:
    await gateway.stub.Search(pb.SearchRequest(image=picture()))
    assert gateway.vectors.photos == {}
    assert gateway.kept_files() == []
    assert gateway.embedder.script.calls["Enroll"] == 0


async def test_with_consent_the_searched_face_is_kept_and_is_not_its_own_twin(gateway: Gateway) -> None:
    image = picture()
    first = await gateway.stub.Search(pb.SearchRequest(image=image, face_index=1, consent=CONSENT))
    assert list(first.results[0].twins) == list(first.results[0].yourself) == []
    receipt = first.saved_photo
    assert len(receipt.deletion_token) == 43
    _, photo = gateway.vectors.photos[receipt.photo_id]
    assert [stored.face.index for stored in photo.faces] == [1]
    assert photo.consent.policy_version == "2026-11"
    assert photo.consent.grant_time.seconds > 1_700_000_000
    again = await gateway.stub.Search(pb.SearchRequest(image=image, face_index=1))
    assert [twin.match.photo_id for twin in again.results[0].yourself] == [receipt.photo_id]


async def test_a_failure_to_keep_leaves_the_search_standing(gateway: Gateway) -> None:
    gateway.embedder.script.fail("Enroll", StorageFull())
    response = await gateway.stub.Search(pb.SearchRequest(image=picture(), consent=CONSENT))
    assert len(response.results) == 1
    assert not response.HasField("saved_photo")
    assert response.save_error.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    assert gateway.kept_files() == []
    gateway.embedder.script.heal()
    kept = await gateway.stub.Search(pb.SearchRequest(image=picture(), consent=CONSENT))
    assert kept.HasField("saved_photo")
    twice = await gateway.stub.Search(pb.SearchRequest(image=picture(), consent=CONSENT))
    assert twice.save_error.code == grpc.StatusCode.ALREADY_EXISTS.value[0]
    assert len(gateway.kept_files()) == 1


@pytest.mark.parametrize(
    ("field", "request_"),
    [
        ("limit", pb.SearchRequest(image=b"x", limit=-1)),
        ("limit", pb.SearchRequest(image=b"x", limit=101)),
        ("gallery", pb.SearchRequest(image=b"x", gallery="No Such!")),
        ("min_similarity", pb.SearchRequest(image=b"x", min_similarity=1.5)),
        ("min_similarity", pb.SearchRequest(image=b"x", min_similarity=math.nan)),
        ("mode", pb.SearchRequest(image=b"x", mode=vs.MatchMode.ValueType(77))),
        ("face_index", pb.SearchRequest(image=b"x", face_index=-1)),
        ("consent.policy_version", pb.SearchRequest(image=b"x", consent=pb.ConsentGrant(policy_version="1999-01"))),
        ("original_filename", pb.SearchRequest(image=b"x", original_filename="x" * 1025)),
        ("original_filename", pb.SearchRequest(image=b"x", original_filename="a\0b")),
    ],
)
async def test_a_bad_field_is_named_before_a_peer_is_called(
    gateway: Gateway, field: str, request_: pb.SearchRequest
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await gateway.stub.Search(request_)
    assert caught.value.code() is INVALID
    assert (caught.value.details() or "").startswith(f"{field}: ")
    assert gateway.embedder.requests == []


async def test_limits_from_one_to_a_hundred_are_passed_on(gateway: Gateway) -> None:
    for limit in (0, 1, 100):
        await gateway.stub.Search(pb.SearchRequest(image=picture(), limit=limit))


async def test_an_image_of_too_many_bytes_or_none_never_reaches_the_embedder(gateway: Gateway) -> None:
    big = bytes(20 * 2**20 + 1)
    for call in (
        gateway.stub.Search(pb.SearchRequest(image=big)),
        gateway.stub.DetectFaces(pb.DetectFacesRequest(image=big)),
        gateway.stub.Compare(pb.CompareRequest(first_image=picture(), second_image=big)),
        gateway.stub.AddPhoto(pb.AddPhotoRequest(image=big, consent=CONSENT)),
    ):
        assert await refusal(call) == (INVALID, "IMAGE_TOO_LARGE")
    assert await refusal(gateway.stub.Search(pb.SearchRequest())) == (INVALID, "UNREADABLE_IMAGE")
    assert gateway.embedder.requests == []
    assert gateway.embedder.enrolled == []


async def test_no_face_and_a_face_that_is_not_there_are_told_as_the_embedder_tells_them(gateway: Gateway) -> None:
    nobody = gateway.stub.Search(pb.SearchRequest(image=picture() + NO_FACE))
    assert await refusal(nobody) == (grpc.StatusCode.FAILED_PRECONDITION, "NO_FACE")
    missing = gateway.stub.Search(pb.SearchRequest(image=picture(), face_index=7))
    assert await refusal(missing) == (INVALID, "FACE_INDEX_OUT_OF_RANGE")
    unknown = gateway.stub.Search(pb.SearchRequest(image=picture(), gallery="elsewhere"))
    assert await refusal(unknown) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")


async def test_detect_faces_makes_no_vectors(gateway: Gateway) -> None:
    response = await gateway.stub.DetectFaces(pb.DetectFacesRequest(image=picture()))
    assert [face.primary for face in response.faces] == [True, False]
    assert gateway.embedder.requests[-1].faces == em.FACE_CHOICE_DETECT_ONLY


async def test_compare_speaks_on_the_models_own_curve(gateway: Gateway) -> None:
    first, second = picture(seed=1), picture(seed=2)
    response = await gateway.stub.Compare(
        pb.CompareRequest(first_image=first, second_image=second, second_face_index=1)
    )
    cosine = float(vector_of(first, 0) @ vector_of(second, 1))
    assert response.similarity.cosine == pytest.approx(cosine, abs=1e-5)
    assert response.similarity.percent == pytest.approx(100 / (1 + math.exp(-10 * (cosine - 0.3))), abs=1e-3)
    assert response.same_person == (cosine >= 0.4)
    assert (response.first_face.index, response.second_face.index) == (0, 1)
    same = await gateway.stub.Compare(pb.CompareRequest(first_image=first, second_image=first))
    assert same.same_person
    assert same.similarity.cosine == pytest.approx(1.0, abs=1e-5)
    bad = pb.CompareRequest(first_image=first, second_image=second + NO_FACE)
    assert await refusal(gateway.stub.Compare(bad)) == (grpc.StatusCode.FAILED_PRECONDITION, "NO_FACE")


async def test_stats_name_the_gallery_the_model_and_the_consent_text(gateway: Gateway) -> None:
    await gateway.stub.AddPhoto(pb.AddPhotoRequest(image=picture(), all_faces=True), metadata=ADMIN)
    stats = await gateway.stub.GetStats(pb.GetStatsRequest())
    assert (stats.photo_count, stats.face_count) == (1, 2)
    assert (stats.model_pack, stats.policy_version) == ("fake", "2026-11")
    unknown = gateway.stub.GetStats(pb.GetStatsRequest(gallery="elsewhere"))
    assert await refusal(unknown) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")


@pytest.mark.parametrize("peer", ["embedder", "vectorstore"])
async def test_a_peer_that_is_down_is_unavailable_with_a_time_to_come_back(gateway: Gateway, peer: str) -> None:
    await gateway.servers[peer].stop(0)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await gateway.stub.Search(pb.SearchRequest(image=picture()))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert caught.value.details() == f"{peer} does not answer"
    assert retry_delay_s(status_from_rpc_error(caught.value)) == 1.0


async def test_a_full_queue_behind_is_told_as_it_is(gateway: Gateway) -> None:
    gateway.embedder.script.fail("Embed", Overloaded(2.0))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await gateway.stub.Search(pb.SearchRequest(image=picture()))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert retry_delay_s(status_from_rpc_error(caught.value)) == 2.0


async def test_one_call_too_many_is_refused_at_once(tmp_path: Path) -> None:
    async with running_gateway(tmp_path, max_concurrent_calls=1) as gateway:
        free = gateway.embedder.script.hold("Embed")
        first = gateway.stub.Search(pb.SearchRequest(image=picture()))
        await until(lambda: gateway.embedder.script.calls["Embed"] == 1)
        second = gateway.stub.Search(pb.SearchRequest(image=picture()))
        assert await refusal(second) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        free.set()
        assert (await first).results


async def test_outbound_calls_have_the_callers_deadline_or_a_shorter_one(gateway: Gateway) -> None:
    await gateway.stub.Search(pb.SearchRequest(image=picture()), timeout=900)
    embed_s, search_s = gateway.embedder.script.time_left_s["Embed"], gateway.vectors.script.time_left_s["Search"]
    assert embed_s is not None and embed_s < 31
    assert search_s is not None and search_s < 11
    await gateway.stub.Search(pb.SearchRequest(image=picture()), timeout=5)
    embed_s = gateway.embedder.script.time_left_s["Embed"]
    assert embed_s is not None and embed_s < 6


async def test_a_caller_that_leaves_cancels_the_work_behind(gateway: Gateway) -> None:
    gateway.embedder.script.hold("Embed")
    call = gateway.stub.Search(pb.SearchRequest(image=picture()))
    await until(lambda: gateway.embedder.script.calls["Embed"] == 1)
    call.cancel()
    await gateway.embedder.script.cancelled["Embed"].wait()


async def test_calls_are_not_ready_until_both_peers_answer(tmp_path: Path) -> None:
    async with running_gateway(tmp_path, start=False) as gateway:
        call = gateway.stub.GetStats(pb.GetStatsRequest())
        assert await refusal(call) == (grpc.StatusCode.UNAVAILABLE, NotReady.reason)
