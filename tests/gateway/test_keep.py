"""Keeping photos: consent, receipts, retries, and nothing partial after any failure."""

import asyncio
import hashlib
import io
import threading
import uuid
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from PIL import Image
from twin.gateway.v1 import gateway_pb2 as pb

from gateway.pixels import Picture, rebuild
from gateway.sweep import Sweeper
from runtime.errors import (
    DependencyUnavailable,
    DuplicatePhoto,
    ModelMismatch,
    Overloaded,
    StorageFull,
    TwinError,
)
from runtime.status import error_info, status_from_rpc_error
from tests.gateway.fakes import NO_FACE, POOR_FACE
from tests.gateway.harness import ADMIN, Gateway, refusal, until
from tests.gateway.pictures import SECRETS, picture, with_secrets
from tests.runtime.images.images import bad_images

CONSENT = pb.ConsentGrant(policy_version="2026-11")
INVALID = grpc.StatusCode.INVALID_ARGUMENT
A_PHOTO_ID = "312d8e43-f248-4bd3-a04d-ed1cb5814eb3"


async def pieces_of(gateway: Gateway, photo_id: str) -> list[pb.GetPhotoResponse]:
    return [piece async for piece in gateway.stub.GetPhoto(pb.GetPhotoRequest(photo_id=photo_id))]


async def test_a_visitor_needs_consent_and_an_administrator_does_not(gateway: Gateway) -> None:
    request = pb.AddPhotoRequest(image=picture())
    refused = (grpc.StatusCode.FAILED_PRECONDITION, "CONSENT_MISSING")
    assert await refusal(gateway.stub.AddPhoto(request)) == refused
    assert gateway.kept_files() == []
    assert (await gateway.stub.AddPhoto(request, metadata=ADMIN)).saved_photo.photo_id in gateway.vectors.photos


async def test_what_is_stored_is_what_was_said(gateway: Gateway) -> None:
    image = with_secrets("JPEG", orientation=6)
    consent = pb.ConsentGrant(policy_version="2026-11", time_to_live=Duration(seconds=86_400))
    response = await gateway.stub.AddPhoto(
        pb.AddPhotoRequest(
            image=image,
            person="Ada",
            persons={1: "Charles"},
            collection="portraits",
            original_filename="ada.jpg",
            consent=consent,
            all_faces=True,
        )
    )
    assert [face.index for face in response.faces] == [0, 1]
    assert not any(face.HasField("embedding") for face in response.faces)
    gallery, photo = gateway.vectors.photos[response.saved_photo.photo_id]
    assert gallery == "default"
    assert photo.sha256 == hashlib.sha256(image).digest()
    assert photo.deletion_token_sha256 == hashlib.sha256(response.saved_photo.deletion_token.encode()).digest()
    assert (photo.width, photo.height) == (120, 160), "upright"
    assert (photo.person, photo.collection, photo.original_filename) == ("Ada", "portraits", "ada.jpg")
    assert [face.person for face in photo.faces] == ["", "Charles"]
    assert photo.consent.time_to_live.seconds == 86_400
    assert photo.source.store == "local"
    assert [path.relative_to(gateway.photos_dir).as_posix() for path in gateway.kept_files()] == [photo.source.key]
    assert gateway.embedder.enrolled[-1].image == image, "vectors are made of what was given"


@pytest.mark.parametrize(("form", "kept_as"), [("JPEG", "JPEG"), ("PNG", "PNG"), ("WEBP", "JPEG")])
async def test_the_kept_original_is_upright_and_holds_pixels_alone(gateway: Gateway, form: str, kept_as: str) -> None:
    response = await gateway.stub.AddPhoto(pb.AddPhotoRequest(image=with_secrets(form), consent=CONSENT))
    (kept,) = gateway.kept_files()
    data = kept.read_bytes()
    assert not any(secret in data for secret in SECRETS)
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == kept_as
        assert image.size == (120, 160)
        assert not image.getexif()
        assert "icc_profile" not in image.info
        assert "comment" not in image.info
    pieces = await pieces_of(gateway, response.saved_photo.photo_id)
    assert b"".join(piece.data for piece in pieces) == data
    assert pieces[0].content_type == f"image/{kept_as.lower()}"


async def test_a_large_original_is_streamed_in_small_pieces(gateway: Gateway) -> None:
    rng_noise = Image.effect_noise((700, 700), 90).convert("RGB")
    buffer = io.BytesIO()
    rng_noise.save(buffer, "PNG")
    response = await gateway.stub.AddPhoto(pb.AddPhotoRequest(image=buffer.getvalue(), consent=CONSENT))
    pieces = await pieces_of(gateway, response.saved_photo.photo_id)
    assert len(pieces) > 2
    assert max(len(piece.data) for piece in pieces) == 64 * 1024
    assert [bool(piece.content_type) for piece in pieces] == [True] + [False] * (len(pieces) - 1)
    assert b"".join(piece.data for piece in pieces) == gateway.kept_files()[0].read_bytes()


async def test_the_same_photo_id_again_is_the_same_photo_without_a_token(gateway: Gateway) -> None:
    photo_id = str(uuid.uuid4())
    request = pb.AddPhotoRequest(image=picture(), photo_id=photo_id, consent=CONSENT)
    first = await gateway.stub.AddPhoto(request)
    assert not first.already_present
    again = await gateway.stub.AddPhoto(request)
    assert again.already_present
    assert again.saved_photo == pb.SavedPhoto(photo_id=photo_id)
    assert list(again.faces) == list(first.faces)
    assert gateway.embedder.script.calls["Enroll"] == 1
    other = gateway.stub.AddPhoto(pb.AddPhotoRequest(image=picture(seed=9), photo_id=photo_id, consent=CONSENT))
    assert await refusal(other) == (grpc.StatusCode.ALREADY_EXISTS, "DUPLICATE_PHOTO")
    assert len(gateway.kept_files()) == 1


async def test_the_same_photo_under_another_id_is_a_duplicate(gateway: Gateway) -> None:
    await gateway.stub.AddPhoto(pb.AddPhotoRequest(image=picture(), consent=CONSENT))
    again = gateway.stub.AddPhoto(pb.AddPhotoRequest(image=picture(), consent=CONSENT))
    assert await refusal(again) == (grpc.StatusCode.ALREADY_EXISTS, "DUPLICATE_PHOTO")
    assert len(gateway.kept_files()) == 1


async def test_a_copy_of_a_kept_photo_is_answered_with_what_is_there_unless_it_is_wanted(gateway: Gateway) -> None:
    def refuse() -> None:
        if gateway.embedder.enrolled[-1].refuse_duplicate_faces:
            raise DuplicatePhoto(A_PHOTO_ID, cosine=0.97)

    gateway.embedder.script.before["item"] = refuse
    request = pb.AddPhotoRequest(image=picture(), consent=CONSENT)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await gateway.stub.AddPhoto(request)
    found = await gateway.stub.Search(pb.SearchRequest(image=picture(), consent=CONSENT))
    for status in (status_from_rpc_error(caught.value), found.save_error):
        info = error_info(status)
        assert status.code == grpc.StatusCode.ALREADY_EXISTS.value[0]
        assert info is not None and info.reason == "DUPLICATE_PHOTO"
        assert dict(info.metadata) == {"photo_id": A_PHOTO_ID, "cosine": "0.9700"}
        assert "its deletion token exports or deletes it" in status.message
    assert gateway.kept_files() == []
    request.keep_duplicate = True
    assert (await gateway.stub.AddPhoto(request)).saved_photo.deletion_token


async def test_of_two_attempts_at_once_with_one_id_the_first_ones_original_stays(gateway: Gateway) -> None:
    photo_id = str(uuid.uuid4())
    request = pb.AddPhotoRequest(image=picture(), photo_id=photo_id, consent=CONSENT)
    free = gateway.embedder.script.hold("Enroll")
    calls = [gateway.stub.AddPhoto(request) for _ in range(2)]
    while gateway.embedder.script.calls["Enroll"] < 2:
        await gateway.stub.GetStats(pb.GetStatsRequest())
    free.set()
    answers = sorted([await call for call in calls], key=lambda answer: answer.already_present)
    assert [answer.already_present for answer in answers] == [False, True]
    assert answers[1].saved_photo.deletion_token == ""
    (kept,) = gateway.kept_files()
    assert gateway.vectors.photos[photo_id][1].source.key == kept.relative_to(gateway.photos_dir).as_posix()


@pytest.mark.parametrize(
    ("field", "request_"),
    [
        ("photo_id", pb.AddPhotoRequest(photo_id="7")),
        ("person", pb.AddPhotoRequest(person="x" * 1025)),
        ("collection", pb.AddPhotoRequest(collection="a\0b")),
        ("persons", pb.AddPhotoRequest(persons={-1: "nobody"})),
        ("consent.policy_version", pb.AddPhotoRequest(consent=pb.ConsentGrant())),
        (
            "consent.time_to_live",
            pb.AddPhotoRequest(consent=pb.ConsentGrant(policy_version="2026-11", time_to_live=Duration(seconds=0))),
        ),
    ],
)
async def test_a_bad_field_is_named_and_nothing_is_stored(
    gateway: Gateway, field: str, request_: pb.AddPhotoRequest
) -> None:
    request = pb.AddPhotoRequest(image=picture(), consent=CONSENT)
    request.MergeFrom(request_)
    if field.startswith("consent"):
        request.consent.CopyFrom(request_.consent)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await gateway.stub.AddPhoto(request)
    assert caught.value.code() is INVALID
    assert (caught.value.details() or "").startswith(f"{field}: ")
    assert gateway.kept_files() == []


@pytest.mark.parametrize("name", bad_images())
async def test_a_bad_image_is_refused_before_anything_is_stored(gateway: Gateway, name: str) -> None:
    image, reason, _ = bad_images()[name]
    request = pb.AddPhotoRequest(image=image, consent=CONSENT)
    assert await refusal(gateway.stub.AddPhoto(request)) == (INVALID, reason)
    assert not list((gateway.photos_dir / "kept").iterdir())
    assert gateway.embedder.enrolled == []


@pytest.mark.parametrize(
    "error", [ModelMismatch(expected="a", actual="b"), Overloaded(), StorageFull()], ids=lambda error: error.reason
)
async def test_a_definite_failure_takes_the_original_back_at_once(gateway: Gateway, error: TwinError) -> None:
    for step in ("item", "Enroll"):
        gateway.embedder.script.heal()
        gateway.embedder.script.fail(step, error)
        request = pb.AddPhotoRequest(image=picture(), consent=CONSENT)
        assert await refusal(gateway.stub.AddPhoto(request)) == (error.code, error.reason)
        assert not list((gateway.photos_dir / "kept").iterdir()), "no file, and no empty folder"
    assert gateway.vectors.photos == {}


async def test_a_photo_without_a_face_leaves_nothing(gateway: Gateway) -> None:
    request = pb.AddPhotoRequest(image=picture() + NO_FACE, consent=CONSENT)
    assert await refusal(gateway.stub.AddPhoto(request)) == (grpc.StatusCode.FAILED_PRECONDITION, "NO_FACE")
    assert not list((gateway.photos_dir / "kept").iterdir())


async def test_a_face_too_poor_to_be_kept_is_searched_and_leaves_nothing(gateway: Gateway) -> None:
    image = picture() + POOR_FACE
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await gateway.stub.AddPhoto(pb.AddPhotoRequest(image=image, consent=CONSENT))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    found = await gateway.stub.Search(pb.SearchRequest(image=image, consent=CONSENT))
    assert len(found.results) == 1
    for status in (status_from_rpc_error(caught.value), found.save_error):
        info = error_info(status)
        assert info is not None and info.reason == "LOW_QUALITY"
        assert dict(info.metadata) == {"issues": "TOO_SMALL", "face_index": "0"}
        assert "18 px across, and at least 20 px are needed" in status.message
    assert not list((gateway.photos_dir / "kept").iterdir())


async def test_an_unknown_outcome_that_did_happen_keeps_its_original_and_a_retry_finds_it(gateway: Gateway) -> None:
    photo_id = str(uuid.uuid4())
    gateway.embedder.script.fail_after("item", DependencyUnavailable("vectorstore"))
    request = pb.AddPhotoRequest(image=picture(), consent=CONSENT, photo_id=photo_id)
    refused = (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
    assert await refusal(gateway.stub.AddPhoto(request)) == refused
    service = gateway.service
    sweeper = Sweeper(service._vectors, service._store, store_timeout_s=5, min_age_s=-1)
    assert await sweeper.sweep() == 0
    assert len(gateway.kept_files()) == 1
    gateway.embedder.script.heal()
    assert (await gateway.stub.AddPhoto(request)).already_present
    assert len(gateway.kept_files()) == 1


async def test_a_photo_whose_receipt_is_lost_is_not_kept(gateway: Gateway) -> None:
    gateway.embedder.script.fail_after("item", DependencyUnavailable("vectorstore"))
    found = await gateway.stub.Search(pb.SearchRequest(image=picture(), consent=CONSENT))
    assert found.save_error.code == grpc.StatusCode.UNAVAILABLE.value[0]
    assert gateway.vectors.photos == {}
    await until(lambda: not gateway.vectors.removals)
    assert gateway.kept_files() == []


async def test_a_search_that_is_left_while_it_saves_keeps_nothing(gateway: Gateway) -> None:
    held = gateway.embedder.script.hold("Enroll")
    call = gateway.stub.Search(pb.SearchRequest(image=picture(), consent=CONSENT))
    await until(lambda: bool(gateway.kept_files()))
    call.cancel()
    held.set()
    await until(lambda: bool(gateway.vectors.deleted))
    await until(lambda: not gateway.vectors.removals)
    assert gateway.vectors.photos == {}
    assert gateway.kept_files() == []


async def test_a_token_of_the_callers_own_outlives_a_lost_answer(gateway: Gateway) -> None:
    photo_id, token = str(uuid.uuid4()), "A" * 42 + "x"
    request = pb.AddPhotoRequest(image=picture(), consent=CONSENT, photo_id=photo_id, deletion_token=token)
    gateway.embedder.script.fail_after("item", DependencyUnavailable("vectorstore"))
    await refusal(gateway.stub.AddPhoto(request))
    gateway.embedder.script.heal()
    again = await gateway.stub.AddPhoto(request)
    assert again.already_present and again.saved_photo.deletion_token == ""
    deletion = pb.DeletePhotoRequest(photo_id=photo_id, deletion_token=token)
    assert (await gateway.stub.DeletePhoto(deletion)).original_removed
    assert gateway.kept_files() == []


@pytest.mark.parametrize(
    ("photo_id", "token"),
    [(A_PHOTO_ID, "short"), (A_PHOTO_ID, "A" * 129), (A_PHOTO_ID, "é" * 43), ("", "A" * 43)],
)
async def test_a_token_that_is_too_weak_or_without_an_id_is_refused(
    gateway: Gateway, photo_id: str, token: str
) -> None:
    request = pb.AddPhotoRequest(image=picture(), consent=CONSENT, photo_id=photo_id, deletion_token=token)
    assert await refusal(gateway.stub.AddPhoto(request)) == (INVALID, "INVALID_FIELD")
    assert gateway.kept_files() == []


async def test_pictures_are_rebuilt_by_few_at_once(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once, most = 0, 0
    lock, enough = threading.Lock(), threading.Event()

    def slow(*arguments: Any) -> Picture:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        enough.wait(0.1)
        with lock:
            at_once -= 1
        return rebuild(*arguments)

    monkeypatch.setattr("gateway.keep.rebuild", slow)
    requests = [pb.AddPhotoRequest(image=picture(seed=seed), consent=CONSENT) for seed in range(8)]
    await asyncio.gather(*(gateway.stub.AddPhoto(request) for request in requests))
    assert 1 <= most <= 2


async def test_a_gone_vector_store_stops_a_named_photo_before_it_is_stored(gateway: Gateway, tmp_path: Path) -> None:
    gateway.vectors.script.fail("GetPhoto", DependencyUnavailable("postgres"))
    request = pb.AddPhotoRequest(image=picture(), consent=CONSENT, photo_id=str(uuid.uuid4()))
    refused = (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
    assert await refusal(gateway.stub.AddPhoto(request)) == refused
    assert gateway.kept_files() == []
