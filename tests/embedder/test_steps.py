"""align and embed, each alone, on synthetic input."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedder.align import ARCFACE_TEMPLATE, align, estimate_similarity
from embedder.embed import Recognizer, RecognizerSpec
from embedder.faces import Floats
from embedder.networks import Normalization

SCRFD_RULE = Normalization(127.5, 128.0, "RGB")


@given(st.floats(-math.pi, math.pi), st.floats(0.05, 20), st.floats(-900, 900), st.floats(-900, 900))
def test_similarity_is_recovered(angle: float, scale: float, x: float, y: float) -> None:
    linear = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    source = ARCFACE_TEMPLATE.astype(np.float64)
    target = source @ linear.T + [x, y]
    matrix = estimate_similarity(source, target)  # type: ignore[arg-type]
    assert np.allclose(matrix[:, :2], linear, atol=1e-6 * max(scale, 1))
    assert np.allclose(source @ matrix[:, :2].T + matrix[:, 2], target, atol=1e-5 * max(scale, 1))


def test_mirrored_points_are_never_met_by_a_reflection() -> None:
    mirrored = ARCFACE_TEMPLATE * np.array([-1, 1], np.float32)
    assert np.linalg.det(estimate_similarity(mirrored, ARCFACE_TEMPLATE)[:, :2]) > 0


def test_points_on_one_place_cannot_be_aligned() -> None:
    with pytest.raises(ValueError, match="one point"):
        estimate_similarity(np.ones((5, 2), np.float32), ARCFACE_TEMPLATE)


def test_very_long_photo_gives_the_same_crop() -> None:
    rng = np.random.default_rng(1)
    scene = rng.integers(0, 256, (200, 300, 3), np.uint8)
    landmarks = ARCFACE_TEMPLATE * 1.3 + np.array([60, 20], np.float32)
    long = np.zeros((200, 40_000, 3), np.uint8)
    long[:, 35_000:35_300] = scene
    expected = align(scene, landmarks)
    assert np.abs(align(long, landmarks + np.array([35_000, 0], np.float32)).astype(int) - expected).max() <= 2


def test_vectors_have_unit_length_and_keep_their_order() -> None:
    class Mean:
        def run(self, batch: Floats) -> list[Floats]:
            means = batch.mean(axis=(2, 3))
            return [np.concatenate([means, means**2, np.ones((len(batch), 2), np.float32)], axis=1)]

    crops = [np.full((112, 112, 3), value, np.uint8) for value in (10, 120, 250)]
    rule = Normalization(127.5, 127.5, "BGR")
    together = Recognizer(Mean(), RecognizerSpec(rule, 8)).embed(crops)
    alone = Recognizer(Mean(), RecognizerSpec(rule, 8, fixed_batch=True)).embed(crops)
    assert together.shape == (3, 8)
    assert together.dtype == np.float32
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    assert np.allclose(together, alone)


def test_vector_without_a_direction_is_an_error() -> None:
    class Broken:
        def __init__(self, value: float) -> None:
            self.value = value

        def run(self, batch: Floats) -> list[Floats]:
            return [np.full((len(batch), 8), self.value, np.float32)]

    for value in (0.0, math.nan, math.inf):
        recognizer = Recognizer(Broken(value), RecognizerSpec(SCRFD_RULE, 8))
        with pytest.raises(ArithmeticError):
            recognizer.embed([np.zeros((112, 112, 3), np.uint8)])


def test_flip_averaging_makes_a_face_and_its_mirror_image_one() -> None:
    class Columns:
        def run(self, batch: Floats) -> list[Floats]:
            return [batch.mean(axis=(1, 2))]

    rng = np.random.default_rng(4)
    crop = rng.integers(0, 256, (112, 112, 3), np.uint8)
    mirrored = np.ascontiguousarray(crop[:, ::-1])
    rule = Normalization(127.5, 127.5, "BGR")
    plain = Recognizer(Columns(), RecognizerSpec(rule, 112)).embed([crop, mirrored])
    both = Recognizer(Columns(), RecognizerSpec(rule, 112, flip_averaging=True)).embed([crop, mirrored])
    assert float(plain[0] @ plain[1]) < 0.9
    assert float(both[0] @ both[1]) == pytest.approx(1.0, abs=1e-5)
    assert np.linalg.norm(both[0]) == pytest.approx(1.0, abs=1e-6)
