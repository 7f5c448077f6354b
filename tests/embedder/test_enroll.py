"""Enroll through a real server, against a vector store that works, refuses, stays silent, dies and comes back."""

import asyncio
import hashlib
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from google.rpc import status_pb2
from twin.embedder.v1 import embedder_pb2 as pb
from twin.face.v1 import face_pb2
from twin.vectorstore.v1 import vectorstore_pb2 as vs

from embedder.engine import Model
from embedder.enroll import fit_faces
from embedder.faces import AnalyzedImage, Box, Face, FaceChoice, Quality, Selection
from embedder.quality import STRICT
from runtime.errors import DuplicatePhoto, LowQuality, TwinError
from runtime.status import error_info, to_status
from runtime.vectors import decode_vector
from tests.embedder.serving import each, embedder_server, fake_store, store_server, stored
from tests.support import poor_photos


def reason_of(answer: pb.EnrollResponse) -> str:
    info = error_info(answer.error)
    return info.reason if info is not None else ""


def photo(**fields: Any) -> vs.Photo:
    return vs.Photo(photo_id=str(uuid.uuid4()), **fields)


async def enrolled(client: Any, *requests: pb.EnrollRequest) -> dict[str, pb.EnrollResponse]:
    return {answer.photo_id: answer async for answer in client.Enroll(each(*requests))}


async def test_photo_reaches_the_store_with_its_faces(model: Model, six_faces_photo: Path) -> None:
    data = six_faces_photo.read_bytes()
    fake = fake_store(stored)
    request = pb.EnrollRequest(
        gallery="friends",
        photo=photo(person="one of six", collection="tests"),
        image=data,
        faces=pb.FACE_CHOICE_ALL,
        persons={2: "Ann", 4: "Bob"},
    )
    async with store_server(fake) as store, embedder_server(model, store=store) as client:
        answers = await enrolled(client, request)
    answer = answers[request.photo.photo_id].photo
    (sent,) = fake.requests
    assert sent.gallery == "friends"
    assert sent.photo.sha256 == hashlib.sha256(data).digest()
    assert (sent.photo.width, sent.photo.height) == (1280, 886)
    assert (sent.photo.person, sent.photo.collection) == ("one of six", "tests")
    assert [face.person for face in sent.photo.faces] == ["", "", "Ann", "", "Bob", ""]
    assert [face.face.index for face in sent.photo.faces] == list(range(6))
    for face in sent.photo.faces:
        decode_vector(face.face.embedding.float32_le, 512)
        assert face.face.embedding.model_id == model.pack.model_id
        assert face.face.quality.score > 0
    assert [face.face_id for face in answer.faces] == [1, 2, 3, 4, 5, 6]


async def test_one_face_is_enrolled_unless_all_are_asked_for(model: Model, six_faces_photo: Path) -> None:
    data = six_faces_photo.read_bytes()
    fake = fake_store(stored)
    requests = [
        pb.EnrollRequest(photo=photo(), image=data),
        pb.EnrollRequest(photo=photo(), image=data, faces=pb.FACE_CHOICE_ALL, face_index=4),
    ]
    async with store_server(fake) as store, embedder_server(model, store=store) as client:
        await enrolled(client, *requests)
    sent = {request.photo.photo_id: request.photo for request in fake.requests}
    assert all(request.gallery == "default" for request in fake.requests)
    assert [face.face.primary for face in sent[requests[0].photo.photo_id].faces] == [True]
    assert [face.face.index for face in sent[requests[1].photo.photo_id].faces] == [4]


@pytest.mark.parametrize("refused", [False, True])
async def test_the_store_is_told_whether_to_refuse_faces_that_it_has(
    model: Model, gauss_photo: Path, refused: bool
) -> None:
    fake = fake_store(stored)
    request = pb.EnrollRequest(photo=photo(), image=gauss_photo.read_bytes(), refuse_duplicate_faces=refused)
    async with store_server(fake) as store, embedder_server(model, store=store) as client:
        await enrolled(client, request)
    assert [sent.refuse_duplicate_faces for sent in fake.requests] == [refused]


async def test_what_the_caller_knows_is_kept_and_an_id_is_made(model: Model, gauss_photo: Path) -> None:
    known = vs.Photo(sha256=b"\x07" * 32, width=11, height=12)
    fake = fake_store(stored)
    async with store_server(fake) as store, embedder_server(model, store=store) as client:
        answers = await enrolled(client, pb.EnrollRequest(photo=known, image=gauss_photo.read_bytes()))
    (sent,) = fake.requests
    assert (sent.photo.sha256, sent.photo.width, sent.photo.height) == (b"\x07" * 32, 11, 12)
    assert list(answers) == [str(uuid.UUID(sent.photo.photo_id))]


async def test_bad_photos_fail_alone_and_never_reach_the_store(model: Model, gauss_photo: Path) -> None:
    data = gauss_photo.read_bytes()
    good = pb.EnrollRequest(photo=photo(), image=data)
    bad = [
        (pb.EnrollRequest(photo=photo(), image=b""), "UNREADABLE_IMAGE"),
        (pb.EnrollRequest(photo=photo(), image=data, gallery="No Such Name"), "INVALID_FIELD"),
        (pb.EnrollRequest(photo=vs.Photo(photo_id="not a uuid"), image=data), "INVALID_FIELD"),
        (pb.EnrollRequest(photo=photo(sha256=b"short"), image=data), "INVALID_FIELD"),
        (pb.EnrollRequest(photo=photo(width=-1), image=data), "INVALID_FIELD"),
        (pb.EnrollRequest(photo=photo(faces=[vs.StoredFace()]), image=data), "INVALID_FIELD"),
        (pb.EnrollRequest(photo=photo(), image=data, faces=pb.FACE_CHOICE_DETECT_ONLY), "INVALID_FIELD"),
        (pb.EnrollRequest(photo=photo(), image=data, faces=cast(pb.FaceChoice.ValueType, 42)), "INVALID_FIELD"),
        (pb.EnrollRequest(photo=photo(), image=data, persons={-1: "x"}), "INVALID_FIELD"),
        (pb.EnrollRequest(photo=photo(), image=data, persons={1: "x"}), "FACE_INDEX_OUT_OF_RANGE"),
        (pb.EnrollRequest(photo=photo(), image=data, face_index=1), "FACE_INDEX_OUT_OF_RANGE"),
    ]
    fake = fake_store(stored)
    async with store_server(fake) as store, embedder_server(model, store=store) as client:
        answers = await enrolled(client, *[request for request, _ in bad], good)
    for request, reason in bad:
        assert reason_of(answers[request.photo.photo_id]) == reason
    assert answers[good.photo.photo_id].HasField("photo")
    assert [request.photo.photo_id for request in fake.requests] == [good.photo.photo_id]


async def test_poor_photo_is_refused_with_its_reasons_and_never_reaches_the_store(
    model: Model, gauss_photo: Path
) -> None:
    fake = fake_store(stored)
    async with store_server(fake) as store, embedder_server(model, store=store) as client:
        found = await client.Embed(pb.EmbedRequest(image=gauss_photo.read_bytes()))
        size = found.faces[0].quality.size_pixels
        poor = {
            "TOO_SMALL": (poor_photos.shrunk(gauss_photo, 14 / size), "px across, and at least 20 px are needed"),
            "BLURRED": (poor_photos.blurred(gauss_photo, 0.07 * size), "blurred, with a sharpness of 0.0"),
            "TOO_DARK": (poor_photos.exposed(gauss_photo, 0.05), "dark, with a brightness of 0.0"),
        }
        requests = {
            issue: [
                pb.EnrollRequest(photo=photo(), image=image),
                pb.EnrollRequest(photo=photo(), image=image, face_index=0),
                pb.EnrollRequest(photo=photo(), image=image, faces=pb.FACE_CHOICE_ALL),
            ]
            for issue, (image, _) in poor.items()
        }
        answers = await enrolled(client, *[request for group in requests.values() for request in group])
    for issue, (_, words) in poor.items():
        for request in requests[issue]:
            error = answers[request.photo.photo_id].error
            info = error_info(error)
            assert info is not None and info.reason == "LOW_QUALITY"
            assert issue in info.metadata["issues"].split(",")
            assert info.metadata["face_index"] == "0"
            assert words in error.message
    assert fake.requests == []


async def test_what_is_searched_is_never_refused_for_its_quality(model: Model, gauss_photo: Path) -> None:
    async with embedder_server(model) as client:
        found = await client.Embed(pb.EmbedRequest(image=poor_photos.exposed(gauss_photo, 0.05)))
    assert found.faces[0].HasField("embedding")
    assert face_pb2.QUALITY_ISSUE_TOO_DARK in found.faces[0].quality.issues


async def test_poor_face_among_good_ones_is_left_out_unless_it_is_named(model: Model, six_faces_photo: Path) -> None:
    fake = fake_store(stored)
    async with store_server(fake) as store, embedder_server(model, store=store) as client:
        found = await client.Embed(pb.EmbedRequest(image=six_faces_photo.read_bytes()))
        box = found.faces[3].box
        center = (box.left + box.width / 2, box.top + box.height / 2)
        area = (center[0] - box.width, center[1] - box.height, center[0] + box.width, center[1] + box.height)
        image = poor_photos.blurred(six_faces_photo, 0.07 * found.faces[3].quality.size_pixels, area)
        found = await client.Embed(pb.EmbedRequest(image=image))
        assert len(found.faces) == 6
        poor = min(found.faces, key=lambda face: face.quality.sharpness)
        assert abs(poor.box.left - box.left) < box.width / 2, "the face that was spoiled"
        good = [face.index for face in found.faces if face.index != poor.index]
        every_face = pb.EnrollRequest(
            photo=photo(), image=image, faces=pb.FACE_CHOICE_ALL, persons={good[0]: "Ann", good[4]: "Bob"}
        )
        poor_face = pb.EnrollRequest(photo=photo(), image=image, face_index=poor.index)
        named = pb.EnrollRequest(photo=photo(), image=image, faces=pb.FACE_CHOICE_ALL, persons={poor.index: "Cy"})
        answers = await enrolled(client, every_face, poor_face, named)
    assert [face.face.index for face in answers[every_face.photo.photo_id].photo.faces] == good
    (sent,) = fake.requests
    assert [face.person for face in sent.photo.faces] == ["Ann", "", "", "", "Bob"]
    for refused in (poor_face, named):
        error = answers[refused.photo.photo_id].error
        info = error_info(error)
        assert info is not None and info.reason == "LOW_QUALITY"
        assert dict(info.metadata) == {"issues": "BLURRED", "face_index": str(poor.index)}
        assert "Cy" not in str(error), "names are nobody else's business"


def face_of(index: int, *, score: float = 0.5, size_pixels: float = 100.0, embedded: bool = True) -> Face:
    quality = Quality(
        detection_score=0.9,
        score=score,
        sharpness=0.6,
        brightness=0.5,
        yaw_degrees=0,
        roll_degrees=0,
        size_pixels=size_pixels,
        issues=(),
    )
    vector = np.zeros(512, np.float32) if embedded else None
    return Face(index, Box(0, 0, 1, 1), np.zeros((5, 2), np.float32), 0.9, quality, index == 0, vector)


def test_photo_of_poor_faces_alone_is_refused_for_the_best_of_them() -> None:
    sizes_and_scores = [(12, 0.1), (17, 0.3), (9, 0.2)]
    faces = [face_of(index, score=score, size_pixels=size) for index, (size, score) in enumerate(sizes_and_scores)]
    image = AnalyzedImage(640, 480, tuple(faces))
    with pytest.raises(LowQuality, match=r"face 1 .* 17 px across, and at least 20 px") as caught:
        fit_faces(image, Selection(FaceChoice.ALL), {}, STRICT)
    assert caught.value.metadata == {"issues": "TOO_SMALL", "face_index": "1"}


def test_only_the_faces_that_are_meant_are_judged() -> None:
    others = AnalyzedImage(640, 480, (face_of(0, size_pixels=9, embedded=False), face_of(1)))
    # A name for a face that is not enrolled is as idle as ever.
    assert [face.index for face in fit_faces(others, Selection(FaceChoice.PRIMARY), {0: "x"}, STRICT)] == [1]


def test_limits_are_those_of_the_enrolment() -> None:
    image = AnalyzedImage(640, 480, (face_of(0, size_pixels=50),))
    assert fit_faces(image, Selection(), {}, STRICT)
    with pytest.raises(LowQuality, match="50 px across, and at least 60 px are needed"):
        fit_faces(image, Selection(), {}, replace(STRICT, min_size_pixels=60))


async def test_stores_own_refusal_is_handed_on(model: Model, gauss_photo: Path) -> None:
    def refuse(request: vs.AddPhotosRequest) -> vs.AddPhotosResponse:
        error: TwinError = DuplicatePhoto("the-other")
        return vs.AddPhotosResponse(photo_id=request.photo.photo_id, error=to_status(error))

    request = pb.EnrollRequest(photo=photo(), image=gauss_photo.read_bytes())
    async with store_server(fake_store(refuse)) as store, embedder_server(model, store=store) as client:
        answers = await enrolled(client, request)
    answer = answers[request.photo.photo_id]
    assert reason_of(answer) == "DUPLICATE_PHOTO"
    info = error_info(answer.error)
    assert info is not None and info.metadata["photo_id"] == "the-other"


async def test_store_that_is_down_fails_each_photo_and_not_the_stream(model: Model, gauss_photo: Path) -> None:
    data = gauss_photo.read_bytes()
    requests = [pb.EnrollRequest(photo=photo(), image=data) for _ in range(3)]
    async with embedder_server(model) as client:
        answers = await enrolled(client, *requests)
    assert len(answers) == 3
    for answer in answers.values():
        info = error_info(answer.error)
        assert info is not None and info.reason == "DEPENDENCY_UNAVAILABLE"
        assert info.metadata["dependency"] == "vectorstore"


async def test_stream_that_is_cut_fails_what_was_on_it_and_later_photos_go_on(model: Model, gauss_photo: Path) -> None:
    data = gauss_photo.read_bytes()

    def cut_first(request: vs.AddPhotosRequest) -> vs.AddPhotosResponse:
        if len(fake.requests) == 1:
            raise ConnectionError
        return stored(request)

    fake = fake_store(cut_first)
    requests = [pb.EnrollRequest(photo=photo(), image=data) for _ in range(4)]
    async with store_server(fake) as store, embedder_server(model, store=store, in_flight=1) as client:
        answers = [answer async for answer in client.Enroll(each(*requests))]
    assert [answer.photo_id for answer in answers] == [request.photo.photo_id for request in requests]
    assert [reason_of(answer) for answer in answers] == ["DEPENDENCY_UNAVAILABLE", "", "", ""]
    assert fake.streams == 2


async def test_store_that_comes_back_is_used_again_on_the_same_stream(model: Model, gauss_photo: Path) -> None:
    data = gauss_photo.read_bytes()
    fake = fake_store(stored)
    gate = asyncio.Event()
    requests = [pb.EnrollRequest(photo=photo(), image=data) for _ in range(2)]

    async def around_the_outage() -> Any:
        yield requests[0]
        await gate.wait()
        yield requests[1]

    async with store_server(fake) as store:
        address = store
    async with embedder_server(model, store=address) as client:
        call = client.Enroll(around_the_outage())
        first = cast(pb.EnrollResponse, await call.read())
        assert reason_of(first) == "DEPENDENCY_UNAVAILABLE"
        async with store_server(fake, address):
            # The channel finds the store again within a second; until then a photo fails as the first one did.
            await asyncio.sleep(1.5)
            gate.set()
            second = cast(pb.EnrollResponse, await call.read())
            assert second.HasField("photo"), second


async def test_store_that_never_answers_is_given_up_on(model: Model, gauss_photo: Path) -> None:
    request = pb.EnrollRequest(photo=photo(), image=gauss_photo.read_bytes())
    fake = fake_store(lambda _: None)
    async with store_server(fake) as store, embedder_server(model, store=store, answer_timeout_s=0.3) as client:
        answers = await enrolled(client, request)
    assert reason_of(answers[request.photo.photo_id]) == "DEPENDENCY_UNAVAILABLE"
    assert len(fake.requests) == 1


async def test_same_id_twice_on_one_stream_gets_two_answers(model: Model, gauss_photo: Path) -> None:
    request = pb.EnrollRequest(photo=photo(), image=gauss_photo.read_bytes())
    seen = 0

    def first_then_duplicate(sent: vs.AddPhotosRequest) -> vs.AddPhotosResponse:
        nonlocal seen
        seen += 1
        if seen == 1:
            return stored(sent)
        return vs.AddPhotosResponse(photo_id=sent.photo.photo_id, error=status_pb2.Status(code=6, message="again"))

    async with store_server(fake_store(first_then_duplicate)) as store, embedder_server(model, store=store) as client:
        answers = [answer async for answer in client.Enroll(each(*[request] * 4))]
    assert len(answers) == 4
    assert sum(answer.HasField("photo") for answer in answers) == 1
