"""Embed, EmbedStream and GetModel through a real server, on real photos."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import grpc
import grpc.aio
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from twin.embedder.v1 import embedder_pb2 as pb
from twin.embedder.v1 import embedder_pb2_grpc as pb_grpc
from twin.face.v1 import face_pb2

from embedder.engine import Model
from embedder.faces import Pixels
from runtime.images.opencv import cv2
from runtime.status import error_info, status_from_rpc_error
from runtime.vectors import decode_vector
from tests.embedder.conftest import read_pixels
from tests.embedder.serving import each, embedder_server
from tests.runtime.images.images import bad_images, encoded, picture, stored_as


def vector_of(face: face_pb2.Face) -> np.ndarray:
    return decode_vector(face.embedding.float32_le, 512)


def embedded(response: pb.EmbedResponse) -> list[int]:
    return [face.index for face in response.faces if face.HasField("embedding")]


def reason_of(error: grpc.RpcError) -> str:
    info = error_info(status_from_rpc_error(error))
    return info.reason if info is not None else ""


async def failure(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_group_photo_gives_every_face_the_largest_first(model: Model, solvay_photo: Path) -> None:
    async with embedder_server(model) as client:
        response = await client.Embed(pb.EmbedRequest(image=solvay_photo.read_bytes(), faces=pb.FACE_CHOICE_ALL))
    assert (response.image_width, response.image_height) == (3000, 2171)
    assert len(response.faces) == 29
    assert [face.index for face in response.faces] == list(range(29))
    areas = [face.box.width * face.box.height for face in response.faces]
    assert areas == sorted(areas, reverse=True)
    assert sum(face.primary for face in response.faces) == 1
    assert embedded(response) == list(range(29))
    for face in response.faces:
        assert abs(np.linalg.norm(vector_of(face)) - 1) < 0.0002
        assert face.embedding.model_id == model.pack.model_id
        assert 0 < face.quality.score <= 1 and 0.5 <= face.detection_score <= 1
        assert face.box.left >= 0 and face.box.left + face.box.width <= 3000
        assert face.box.left < face.landmarks.left_eye.x < face.landmarks.right_eye.x < face.box.left + face.box.width


async def test_choice_says_which_faces_are_embedded(model: Model, six_faces_photo: Path) -> None:
    image = six_faces_photo.read_bytes()
    async with embedder_server(model) as client:
        default = await client.Embed(pb.EmbedRequest(image=image))
        primary = await client.Embed(pb.EmbedRequest(image=image, faces=pb.FACE_CHOICE_PRIMARY))
        detected = await client.Embed(pb.EmbedRequest(image=image, faces=pb.FACE_CHOICE_DETECT_ONLY))
        third = await client.Embed(pb.EmbedRequest(image=image, faces=pb.FACE_CHOICE_DETECT_ONLY, face_index=3))
    assert len(default.faces) == 6
    assert embedded(default) == embedded(primary) == [face.index for face in default.faces if face.primary]
    assert embedded(detected) == []
    assert detected.faces[0].quality.score > 0
    assert embedded(third) == [3]


async def test_bad_request_is_told_which_field(model: Model, gauss_photo: Path) -> None:
    image = gauss_photo.read_bytes()
    async with embedder_server(model) as client:
        beyond = await failure(client.Embed(pb.EmbedRequest(image=image, face_index=1)))
        negative = await failure(client.Embed(pb.EmbedRequest(image=image, face_index=-1)))
        unknown = await failure(client.Embed(pb.EmbedRequest(image=image, faces=cast(pb.FaceChoice.ValueType, 99))))
        faceless = await failure(client.Embed(pb.EmbedRequest(image=encoded(picture(400, 300), "JPEG"))))
    assert {reason_of(beyond), reason_of(negative)} == {"FACE_INDEX_OUT_OF_RANGE"}
    info = error_info(status_from_rpc_error(beyond))
    assert info is not None and info.metadata["face_count"] == "1"
    assert (unknown.code(), reason_of(unknown)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    violations = error_details_pb2.BadRequest()
    assert any(detail.Unpack(violations) for detail in status_from_rpc_error(unknown).details)
    assert violations.field_violations[0].field == "faces"
    assert (faceless.code(), reason_of(faceless)) == (grpc.StatusCode.FAILED_PRECONDITION, "NO_FACE")


async def test_every_bad_image_has_its_status(model: Model) -> None:
    async with embedder_server(model) as client:
        for name, (data, reason, _) in bad_images().items():
            error = await failure(client.Embed(pb.EmbedRequest(image=data)))
            assert (error.code(), reason_of(error)) == (grpc.StatusCode.INVALID_ARGUMENT, reason), name


async def test_odd_but_whole_images_never_fail_as_a_bug(model: Model) -> None:
    shapes = [(8, 8), (1, 1), (1, 4000), (4000, 1), (33, 2)]
    async with embedder_server(model) as client:
        for width, height in shapes:
            for kind in ("PNG", "JPEG", "WEBP"):
                noise = np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)
                error = await failure(client.Embed(pb.EmbedRequest(image=encoded(noise, kind))))
                assert reason_of(error) == "NO_FACE", (width, height, kind, error.details())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
async def test_every_orientation_gives_the_same_vector(model: Model, astronaut_photo: Path, kind: str) -> None:
    upright = read_pixels(astronaut_photo)
    best: dict[str, dict[str, Any]] = {"JPEG": {"quality": 95}, "PNG": {"compress_level": 1}, "WEBP": {"quality": 95}}
    async with embedder_server(model) as client:
        responses = [
            await client.Embed(
                pb.EmbedRequest(image=encoded(stored_as(upright, turn), kind, orientation=turn, **best[kind]))
            )
            for turn in range(1, 9)
        ]
    first = responses[0]
    for response in responses:
        assert (response.image_width, response.image_height) == (512, 512)
        assert vector_of(response.faces[0]) @ vector_of(first.faces[0]) > 0.99
        assert response.faces[0].box.left == pytest.approx(first.faces[0].box.left, abs=3)


async def test_phone_sized_photos_give_the_vector_of_the_small_one(model: Model, astronaut_photo: Path) -> None:
    small = read_pixels(astronaut_photo)
    large = on_canvas(small, 4032, 3024)
    images = [
        encoded(stored_as(large, 6), "JPEG", orientation=6, quality=90),
        encoded(large, "PNG", compress_level=1),
        encoded(large, "WEBP", quality=90, method=0),
    ]
    async with embedder_server(model) as client:
        reference = await client.Embed(pb.EmbedRequest(image=astronaut_photo.read_bytes()))
        for image in images:
            response = await client.Embed(pb.EmbedRequest(image=image))
            assert (response.image_width, response.image_height) == (4032, 3024)
            assert len(response.faces) == 1
            assert vector_of(response.faces[0]) @ vector_of(reference.faces[0]) > 0.9


def on_canvas(image: Pixels, width: int, height: int) -> Pixels:
    """Enlarges a photo to the height and puts it in the middle of a gray picture, as a phone would hold it."""
    factor = height / image.shape[0]
    enlarged = np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC), np.uint8)
    canvas = np.full((height, width, 3), 128, np.uint8)
    left = (width - enlarged.shape[1]) // 2
    canvas[:, left : left + enlarged.shape[1]] = enlarged
    return canvas


async def test_face_that_fills_the_frame_is_found(model: Model, gauss_photo: Path) -> None:
    async with embedder_server(model) as client:
        whole = await client.Embed(pb.EmbedRequest(image=gauss_photo.read_bytes()))
        box = whole.faces[0].box
        image = read_pixels(gauss_photo)
        face = image[int(box.top) : int(box.top + box.height), int(box.left) : int(box.left + box.width)]
        close = await client.Embed(pb.EmbedRequest(image=encoded(face, "PNG")))
    assert len(close.faces) == 1
    assert vector_of(close.faces[0]) @ vector_of(whole.faces[0]) > 0.8


async def test_stream_answers_each_image_by_its_id(model: Model, gauss_photo: Path, newton_photo: Path) -> None:
    gauss, newton = gauss_photo.read_bytes(), newton_photo.read_bytes()
    requests = [
        pb.EmbedStreamRequest(image_id="gauss", image=pb.EmbedRequest(image=gauss)),
        pb.EmbedStreamRequest(image_id="bad", image=pb.EmbedRequest(image=b"no image")),
        pb.EmbedStreamRequest(image_id="missing"),
        pb.EmbedStreamRequest(image_id="newton", image=pb.EmbedRequest(image=newton)),
        pb.EmbedStreamRequest(image_id="index", image=pb.EmbedRequest(image=newton, face_index=7)),
    ] * 3
    async with embedder_server(model) as client:
        alone = await client.Embed(pb.EmbedRequest(image=gauss))
        answers = [answer async for answer in client.EmbedStream(each(*requests))]
    assert sorted(answer.image_id for answer in answers) == sorted(request.image_id for request in requests)
    for answer in answers:
        if answer.image_id in ("gauss", "newton"):
            assert len(answer.response.faces) == 1
        else:
            info = error_info(answer.error)
            expected = {"bad": "UNREADABLE_IMAGE", "missing": "INVALID_FIELD", "index": "FACE_INDEX_OUT_OF_RANGE"}
            assert info is not None and info.reason == expected[answer.image_id]
    streamed = next(answer for answer in answers if answer.image_id == "gauss")
    assert streamed.response == alone


async def test_overload_is_refused_with_a_delay_and_passes(model: Model, solvay_photo: Path) -> None:
    request = pb.EmbedRequest(image=solvay_photo.read_bytes(), faces=pb.FACE_CHOICE_DETECT_ONLY)
    async with embedder_server(model, queue_limit=1) as client:
        outcomes = await asyncio.gather(*[_code(client.Embed(request)) for _ in range(12)])
        assert set(outcomes) == {"OK", "OVERLOADED"}
        assert await _code(client.Embed(request)) == "OK"


async def _code(call: Any) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return reason_of(error)
    return "OK"


async def test_model_describes_itself(model: Model) -> None:
    async with embedder_server(model) as client:
        response = await client.GetModel(pb.GetModelRequest())
    assert (response.pack, response.model_id, response.dimension) == ("starter", model.pack.model_id, 512)
    assert response.execution_provider == "CPUExecutionProvider"
    assert 0.55 < response.calibration.same_person_similarity < 0.66
    assert response.calibration.duplicate_similarity > response.calibration.same_person_similarity
    assert "MIT" in response.license and "Apache-2.0" in response.license


async def test_process_serves_only_once_its_model_works(models_dir: Path) -> None:
    environment = {**os.environ, "TWIN_MODELS_DIR": str(models_dir), "TWIN_EMBEDDER_BIND": "127.0.0.1:0"}
    environment["TWIN_METRICS_BIND"] = "127.0.0.1:0"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "embedder", stdout=asyncio.subprocess.PIPE, env=environment
    )
    try:
        assert process.stdout is not None
        address = json.loads(await process.stdout.readline())["embedder"]
        async with grpc.aio.insecure_channel(address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            watch = health.Watch(health_pb2.HealthCheckRequest(service="twin.embedder.v1.EmbedderService"))
            states = []
            async for update in watch:
                states.append(update.status)
                if update.status == health_pb2.HealthCheckResponse.SERVING:
                    break
            assert states[0] == health_pb2.HealthCheckResponse.NOT_SERVING
            watch.cancel()
            response = await pb_grpc.EmbedderServiceStub(channel).GetModel(pb.GetModelRequest())
            assert response.pack == "starter"
    finally:
        process.terminate()
        assert await process.wait() == 0


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("TWIN_MODELS_DIR", "/nowhere", "twin models pull starter"),
        ("TWIN_MODEL_PACK", "unknown", "twin models pull unknown"),
        ("TWIN_EMBEDDER_PROVIDER", "abacus", "TWIN_EMBEDDER_PROVIDER"),
        ("TWIN_MAX_IMAGE_PIXELS", "-1", "TWIN_MAX_IMAGE_PIXELS"),
    ],
)
def test_start_stops_with_one_line(models_dir: Path, variable: str, value: str, said: str) -> None:
    environment = {**os.environ, "TWIN_MODELS_DIR": str(models_dir), "TWIN_EMBEDDER_BIND": "127.0.0.1:0"}
    environment |= {"TWIN_METRICS_BIND": "127.0.0.1:0", variable: value}
    done = subprocess.run(
        [sys.executable, "-m", "embedder"], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
