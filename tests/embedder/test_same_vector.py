"""One photo has one vector, however it comes: alone, in a batch, in a stream, enrolled, or too large to be whole."""

import asyncio
import uuid
from pathlib import Path

import numpy as np
import pytest
from twin.embedder.v1 import embedder_pb2 as pb
from twin.vectorstore.v1 import vectorstore_pb2 as vs

from embedder.align import align
from embedder.decoding.job import MAX_WHOLE_PIXELS, DecodeJob, Form, perform
from embedder.engine import Model
from embedder.faces import AnalyzedImage, Detections, FaceChoice, Floats, Pixels, Selection
from embedder.pipeline import DecodedPicture
from runtime.images.decode import ImageLimits, check_header
from runtime.images.opencv import cv2
from runtime.vectors import decode_vector
from tests.embedder.conftest import read_pixels
from tests.embedder.serving import each, embedder_server, fake_store, store_server, stored
from tests.runtime.images.images import encoded, stored_as

TOLERANCE = 1e-5


def vector(data: bytes) -> Floats:
    return decode_vector(data, 512)


@pytest.mark.parametrize("choice", [pb.FACE_CHOICE_ALL, pb.FACE_CHOICE_PRIMARY, pb.FACE_CHOICE_PRIMARY_ONLY])
async def test_every_call_gives_the_same_vectors(
    model: Model, solvay_photo: Path, six_faces_photo: Path, gauss_photo: Path, choice: pb.FaceChoice.ValueType
) -> None:
    photos = {path.name: path.read_bytes() for path in (solvay_photo, six_faces_photo, gauss_photo)}
    fake = fake_store(stored)
    async with store_server(fake) as store, embedder_server(model, store=store, queue_limit=64) as client:
        alone = {name: await client.Embed(pb.EmbedRequest(image=data, faces=choice)) for name, data in photos.items()}
        # Together, so that faces of different photos meet in one batch.
        names = [*photos] * 3
        together = await asyncio.gather(
            *[client.Embed(pb.EmbedRequest(image=photos[name], faces=choice)) for name in names]
        )
        requests = [
            pb.EmbedStreamRequest(image_id=name, image=pb.EmbedRequest(image=data, faces=choice))
            for name, data in photos.items()
        ]
        streamed = [answer async for answer in client.EmbedStream(each(*requests * 2))]
        enrolments = [
            pb.EnrollRequest(
                gallery="g",
                photo=vs.Photo(photo_id=str(uuid.uuid4()), original_filename=name),
                image=data,
                faces=choice,
            )
            for name, data in photos.items()
        ]
        enrolled = [answer async for answer in client.Enroll(each(*enrolments))]
    assert all(answer.WhichOneof("result") == "photo" for answer in enrolled), enrolled
    for name, response in [
        *zip(names, together, strict=True),
        *((answer.image_id, answer.response) for answer in streamed),
    ]:
        for face, expected in zip(response.faces, alone[name].faces, strict=True):
            assert face.HasField("embedding") == expected.HasField("embedding")
            if face.HasField("embedding"):
                assert_equal(face.embedding.float32_le, expected.embedding.float32_le)
    for request in fake.requests:
        embedded = [face for face in alone[request.photo.original_filename].faces if face.HasField("embedding")]
        for stored_face, expected in zip(request.photo.faces, embedded, strict=True):
            assert_equal(stored_face.face.embedding.float32_le, expected.embedding.float32_le)


def assert_equal(data: bytes, expected: bytes) -> None:
    assert np.abs(vector(data) - vector(expected)).max() <= TOLERANCE


def enlarged(image: Pixels, megapixels: float) -> Pixels:
    factor = (megapixels * 1e6 / (image.shape[0] * image.shape[1])) ** 0.5
    return np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC), np.uint8)


@pytest.mark.parametrize(("extension", "megapixels"), [(".jpg", 30.0), (".png", 20.0), (".webp", 20.0)])
def test_faces_of_photos_too_large_to_be_whole_come_from_every_pixel(
    model: Model, six_faces_photo: Path, extension: str, megapixels: float
) -> None:
    """Such a photo is looked at made smaller; a face's pixels are the photo's own, and its cosine loses nothing."""
    large = enlarged(read_pixels(six_faces_photo), megapixels)
    assert large.shape[0] * large.shape[1] > MAX_WHOLE_PIXELS
    options = {".png": [cv2.IMWRITE_PNG_COMPRESSION, 1], ".webp": [cv2.IMWRITE_WEBP_QUALITY, 80]}.get(extension, [])
    data = cv2.imencode(extension, large, options)[1].tobytes()
    decoded = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8)
    analyzed = model.pipeline.run(data, Selection(FaceChoice.ALL))
    assert (analyzed.width, analyzed.height) == (large.shape[1], large.shape[0])
    assert len(analyzed.faces) == 6
    expected = model.pipeline.recognizer.embed([align(decoded, face.landmarks) for face in analyzed.faces])
    for face, wanted in zip(analyzed.faces, expected, strict=True):
        assert face.vector is not None
        assert float(face.vector @ wanted) >= 0.9999


def test_large_photo_shows_the_faces_of_the_small_one(model: Model, six_faces_photo: Path) -> None:
    image = read_pixels(six_faces_photo)
    large = enlarged(image, 30.0)
    whole = model.pipeline.run(six_faces_photo.read_bytes(), Selection(FaceChoice.ALL))
    analyzed = model.pipeline.run(cv2.imencode(".jpg", large)[1].tobytes(), Selection(FaceChoice.ALL))
    factor = large.shape[1] / image.shape[1]
    for face, small in zip(by_place(analyzed), by_place(whole), strict=True):
        assert face.box.left / factor == pytest.approx(small.box.left, abs=3)
        assert face.vector is not None and small.vector is not None
        assert float(face.vector @ small.vector) > 0.9


def by_place(analyzed: AnalyzedImage) -> list:  # type: ignore[type-arg]
    return sorted(analyzed.faces, key=lambda face: face.box.left)


def test_crowd_of_two_hundred_is_complete(model: Model, solvay_photo: Path) -> None:
    """Two hundred real faces in rows, 60 px each: every one of them is found, and each has its own vector."""
    crowd = read_pixels(solvay_photo)
    faces = model.pipeline.run(solvay_photo.read_bytes(), Selection(FaceChoice.DETECT_ONLY)).faces
    tile, columns, count = 128, 20, 200
    canvas = np.full((tile * count // columns, tile * columns, 3), 90, np.uint8)
    for place in range(count):
        box = faces[place % len(faces)].box
        side = round(2 * max(box.width, box.height))
        left, top = round(box.left + box.width / 2 - side / 2), round(box.top + box.height / 2 - side / 2)
        part = crowd[max(top, 0) : top + side, max(left, 0) : left + side]
        row, column = divmod(place, columns)
        canvas[row * tile : (row + 1) * tile, column * tile : (column + 1) * tile] = cv2.resize(part, (tile, tile))
    analyzed = model.pipeline.run(cv2.imencode(".png", canvas)[1].tobytes(), Selection(FaceChoice.ALL))
    cells = {
        (int((face.box.top + face.box.height / 2) // tile), int((face.box.left + face.box.width / 2) // tile))
        for face in analyzed.faces
    }
    assert len(cells) == count
    assert all(face.vector is not None for face in analyzed.faces)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("surplus", [0, 1, 5, 7])
def test_point_of_a_small_picture_is_the_point_of_the_photo(orientation: int, surplus: int) -> None:
    """Eight bright lines, as far from the edge as the factor is coarse, lie where the pipeline says that they lie."""
    width, height = 8 * 700 + surplus, 8 * 400 + surplus
    photo = np.zeros((height, width, 3), np.uint8)
    x, y = width - 41, height - 57
    photo[:, x - 8 : x + 9] = 255
    photo[y - 8 : y + 9] = 255
    data = encoded(stored_as(photo, orientation), "JPEG", orientation=orientation, quality=95)
    header = check_header(data, ImageLimits(20 * 2**20, 50_000_000))
    small = perform(DecodeJob(data, header, Form.SMALL))
    picture = DecodedPicture(data, header, small, width, height)
    gray = small.mean(axis=2)
    column, row = (_middle(gray.min(axis=axis)) for axis in (0, 1))
    at = Detections(
        np.array([[column, row, column + 1, row + 1]], np.float32),
        np.full((1, 5, 2), (column, row), np.float32),
        np.ones(1, np.float32),
    )
    assert picture.to_photo(at).landmarks[0, 0].tolist() == pytest.approx([x, y], abs=0.75)


def _middle(profile: np.ndarray) -> float:
    """Returns where a bright line lies, by its centre of gravity; profile is dark elsewhere."""
    weights = np.clip(profile - 60, 0, None)
    return float((weights * np.arange(len(profile))).sum() / weights.sum())
