"""Decoding apart: the pixels are the same, and an image that crashes, hangs or fills its decoder is alone in that."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedder.align import align
from embedder.decoding.job import DecodeJob, Form
from embedder.decoding.pool import DecoderPool, DirectDecoder
from embedder.decoding.wire import Answer, BrokenDecoder, answer_line, read_answer
from embedder.engine import Model
from embedder.faces import Floats
from embedder.find import find_faces
from runtime.errors import NotReady, UnreadableImage
from runtime.images.decode import ImageLimits, check_header
from tests.embedder.conftest import read_pixels
from tests.runtime.images.images import encoded, picture

LIMITS = ImageLimits(20 * 2**20, 50_000_000)


def job(data: bytes, form: Form = Form.WHOLE, landmarks: Floats | None = None) -> DecodeJob:
    return DecodeJob(data, check_header(data, LIMITS), form, landmarks)


@pytest.fixture
def pool() -> Iterator[DecoderPool]:
    pool = DecoderPool(1, max_image_bytes=LIMITS.max_bytes, timeout_s=20)
    yield pool
    pool.close()


def test_pixels_are_those_of_decoding_here(pool: DecoderPool, solvay_photo: Path, gauss_photo: Path) -> None:
    for data in (solvay_photo.read_bytes(), gauss_photo.read_bytes(), encoded(picture(), "WEBP", orientation=6)):
        for form in (Form.WHOLE, Form.SMALL):
            assert np.array_equal(pool.run(job(data, form)), DirectDecoder().run(job(data, form)))


def test_faces_are_cut_from_every_pixel(pool: DecoderPool, model: Model, solvay_photo: Path) -> None:
    image = read_pixels(solvay_photo)
    landmarks = find_faces(model.pipeline.detector, image).landmarks
    crops = pool.run(job(solvay_photo.read_bytes(), Form.CROPS, landmarks))
    assert crops.shape == (29, 112, 112, 3)
    for crop, points in zip(crops, landmarks, strict=True):
        assert np.array_equal(crop, align(image, points))
    nobody = pool.run(job(solvay_photo.read_bytes(), Form.CROPS, landmarks[:0]))
    assert nobody.shape == (0, 112, 112, 3)


def test_unreadable_image_is_refused_and_its_decoder_stays(pool: DecoderPool, gauss_photo: Path) -> None:
    whole = encoded(picture(), "PNG")
    header = check_header(whole, LIMITS)
    before = pool.pids
    with pytest.raises(UnreadableImage) as caught:
        pool.run(DecodeJob(whole[:60] + bytes(len(whole) - 60), header, Form.WHOLE))
    assert caught.value.metadata["detected_type"] == "png"
    assert pool.run(job(whole)).shape == picture().shape
    assert pool.pids == before


def test_crashed_decoder_costs_its_own_image_alone(pool: DecoderPool) -> None:
    data = encoded(picture(), "PNG")
    [victim] = pool.pids
    os.kill(victim, signal.SIGSTOP)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(pool.run, job(data))
        second = threads.submit(pool.run, job(data))
        time.sleep(0.1)
        os.kill(victim, signal.SIGKILL)
        outcomes = [future.exception(timeout=60) for future in (first, second)]
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType", "UnreadableImage"]
    assert pool.run(job(data)).shape == picture().shape
    assert len(pool.pids) == 1 and pool.pids != [victim]


def test_decoder_that_ended_while_it_was_idle_is_replaced_and_blames_nobody(pool: DecoderPool) -> None:
    [victim] = pool.pids
    os.kill(victim, signal.SIGKILL)
    while Path(f"/proc/{victim}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    assert pool.run(job(encoded(picture(), "PNG"))).shape == picture().shape
    assert len(pool.pids) == 1 and pool.pids != [victim]


def test_place_that_cannot_be_filled_leaves_the_others_their_work(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = DecoderPool(2, max_image_bytes=LIMITS.max_bytes)
    try:
        data = encoded(picture(), "PNG")
        victim, healthy = pool.pids
        os.kill(victim, signal.SIGKILL)
        while Path(f"/proc/{victim}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            time.sleep(0.01)

        def refuse(*arguments: Any, **options: Any) -> Any:
            raise BlockingIOError("no more processes")

        monkeypatch.setattr("embedder.decoding.process.subprocess.Popen", refuse)
        open_files = len(list(Path("/proc/self/fd").iterdir()))
        outcomes = []
        for _ in range(20):
            try:
                outcomes.append(pool.run(job(data)).shape == picture().shape)
            except NotReady:
                outcomes.append(False)
        assert outcomes.count(True) >= 18
        # The dead one's are given back, and those of the attempts are not kept.
        assert len(list(Path("/proc/self/fd").iterdir())) <= open_files
        monkeypatch.undo()
        with ThreadPoolExecutor(4) as threads:
            results = list(threads.map(lambda _: pool.run(job(data)).shape, range(12)))
        assert results == [picture().shape] * 12
        assert healthy in pool.pids and len(pool.pids) == 2
    finally:
        pool.close()


def test_hanging_decoder_is_ended_and_replaced() -> None:
    pool = DecoderPool(1, max_image_bytes=LIMITS.max_bytes, timeout_s=0.5)
    try:
        data = encoded(picture(), "PNG")
        [hanging] = pool.pids
        os.kill(hanging, signal.SIGSTOP)
        with pytest.raises(UnreadableImage):
            pool.run(job(data))
        assert not Path(f"/proc/{hanging}").exists()
        assert _eventually_decodes(pool, data)
    finally:
        pool.close()


def _eventually_decodes(pool: DecoderPool, data: bytes) -> bool:
    for _ in range(20):
        try:
            return pool.run(job(data)).shape == picture().shape
        except UnreadableImage:  # Half a second is little on a busy machine.
            continue
    return False


def test_memory_of_a_decoder_is_bounded(pool: DecoderPool) -> None:
    """A header that slipped past the limits would have the decoder allocate more than it may have."""
    enormous = encoded(picture(16, 16), "PNG")
    small = check_header(enormous, LIMITS)
    count = 25_000
    landmarks = np.zeros((count, 5, 2), np.float32) + np.arange(5, dtype=np.float32)[None, :, None]
    with pytest.raises(UnreadableImage):
        pool.run(DecodeJob(enormous, small, Form.CROPS, landmarks))
    assert pool.run(job(encoded(picture(), "PNG"))).shape == picture().shape


def test_decoders_end_with_the_pool_and_calls_fail(pool: DecoderPool) -> None:
    pids = pool.pids
    stopped = threading.Event()
    os.kill(pids[0], signal.SIGSTOP)

    def run() -> BaseException | None:
        stopped.set()
        try:
            pool.run(job(encoded(picture(), "PNG")))
        except NotReady as error:
            return error
        return None

    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(run)
        stopped.wait(30)
        time.sleep(0.1)
        pool.close()
        assert isinstance(waiting.result(timeout=30), NotReady)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"rubbish",
        b"[]",
        b'{"shape": [1, 2], "problem": ""}',
        b'{"shape": [-1, -1, 3], "problem": ""}',
        b'{"shape": [99999, 99999, 3], "problem": ""}',
        b'{"shape": ["x"], "problem": ""}',
        b'{"shape": [Infinity], "problem": ""}',
        b"[" * 100_000,
        answer_line(Answer((5, 5, 3))),
    ],
)
def test_nothing_that_a_decoder_says_is_trusted(line: bytes) -> None:
    with pytest.raises(BrokenDecoder):
        read_answer(line, job(encoded(picture(48, 32), "PNG")))
