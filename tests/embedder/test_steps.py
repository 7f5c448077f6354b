"""detect, choose, align, embed and quality, each alone, on synthetic input."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedder.align import ARCFACE_TEMPLATE, align, estimate_similarity
from embedder.choose import choose_primary, prominence
from embedder.detect import Detector, DetectorSpec, suppress_overlaps
from embedder.embed import Recognizer, RecognizerSpec
from embedder.faces import Box, Detections, Floats, QualityIssue
from embedder.networks import Normalization
from embedder.quality import estimate_pose, judge

SCRFD_RULE = Normalization(127.5, 128.0, "RGB")
STRIDES = (8, 16, 32)


class OneFaceNetwork:
    """Answers as SCRFD would for one face at a fixed place of the input, with a score for each input size."""

    def __init__(self, scores_by_long_side: dict[int, float], *, flat: bool = False) -> None:
        self.scores_by_long_side = scores_by_long_side
        self.flat = flat
        self.shapes: list[tuple[int, ...]] = []

    def run(self, batch: Floats) -> list[Floats]:
        self.shapes.append(batch.shape)
        height, width = batch.shape[2:]
        outputs: list[list[Floats]] = [[], [], []]
        for stride in STRIDES:
            rows = (height // stride) * (width // stride) * 2
            score, box, points = (np.zeros((rows, k), np.float32) for k in (1, 4, 10))
            if stride == 16:
                # The anchors of column 3, row 2: centre (48, 32).
                place = (2 * (width // stride) + 3) * 2
                score[place] = self.scores_by_long_side.get(max(height, width), 0.0)
                box[place] = (1, 1, 2, 1)
                points[place] = np.tile([0.5, 0.25], 5) * np.arange(1, 11)
            for group, values in zip(outputs, (score, box, points), strict=True):
                group.append(values if self.flat else values[None])
        return [values for group in outputs for values in group]


def detector(network: OneFaceNetwork, fixed_size: tuple[int, int] | None = None) -> Detector:
    return Detector(network, DetectorSpec(SCRFD_RULE, 9, fixed_size), score_threshold=0.5)


@pytest.mark.parametrize("flat", [False, True])
def test_boxes_and_landmarks_are_scaled_for_each_axis(flat: bool) -> None:
    network = OneFaceNetwork({640: 0.9}, flat=flat)
    # 1,000 × 333 shrinks to 640 × 213, and no single factor is right for both sides.
    found = detector(network).detect(np.zeros((333, 1000, 3), np.uint8))
    assert network.shapes == [(1, 3, 224, 640)]
    x, y = 1000 / 640, 333 / 213
    assert found.boxes[0].tolist() == pytest.approx([32 * x, 16 * y, 80 * x, 48 * y], rel=1e-6)
    assert found.landmarks[0, 1].tolist() == pytest.approx([(48 + 24) * x, (32 + 16) * y], rel=1e-6)


def test_second_look_is_taken_only_without_a_sure_face() -> None:
    sure, unsure = OneFaceNetwork({640: 0.9, 256: 0.95}), OneFaceNetwork({640: 0.55, 256: 0.95})
    image = np.zeros((640, 640, 3), np.uint8)
    assert float(detector(sure).detect(image).scores[0]) == pytest.approx(0.9)
    assert len(sure.shapes) == 1
    assert float(detector(unsure).detect(image).scores[0]) == pytest.approx(0.95)
    assert [shape[3] for shape in unsure.shapes] == [640, 256]


def test_graph_of_one_size_gets_that_size() -> None:
    network = OneFaceNetwork({640: 0.9})
    found = detector(network, fixed_size=(640, 640)).detect(np.zeros((333, 1000, 3), np.uint8))
    assert network.shapes == [(1, 3, 640, 640)]
    assert len(found) == 1


def test_scene_without_a_face_gives_none() -> None:
    assert len(detector(OneFaceNetwork({})).detect(np.zeros((900, 4000, 3), np.uint8))) == 0


def test_only_the_surest_of_overlapping_boxes_stays() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 20, 30, 30]], np.float32)
    found = suppress_overlaps(
        Detections(boxes, np.zeros((3, 5, 2), np.float32), np.array([0.6, 0.9, 0.7], np.float32)), 0.4
    )
    assert found.scores.tolist() == pytest.approx([0.9, 0.7])
    assert found.boxes.tolist() == [[1, 0, 11, 10], [20, 20, 30, 30]]


sizes = st.integers(20, 5000)
fractions = st.floats(0.0, 1.0)


@given(sizes, sizes, fractions, fractions, st.floats(0.02, 0.4), st.floats(0.5, 1.0), st.floats(1.05, 2.0))
def test_larger_surer_and_more_central_faces_are_more_prominent(
    width: int, height: int, across: float, down: float, side: float, score: float, growth: float
) -> None:
    def box(share: float, nearness: float) -> Box:
        length = share * min(width, height)
        x = width / 2 + nearness * (across - 0.5) * (width - length)
        y = height / 2 + nearness * (down - 0.5) * (height - length)
        return Box(x - length / 2, y - length / 2, length, length)

    here = prominence(box(side, 1.0), score, width, height)
    assert 0.0 < here <= 1.0
    about_the_same_place = Box(
        box(side, 1.0).left - box(side, 1.0).width * (growth - 1) / 2,
        box(side, 1.0).top - box(side, 1.0).height * (growth - 1) / 2,
        box(side, 1.0).width * growth,
        box(side, 1.0).height * growth,
    )
    assert prominence(about_the_same_place, score, width, height) > here
    assert prominence(box(side, 0.5), score, width, height) >= here
    assert prominence(box(side, 1.0), score * 0.9, width, height) < here


@given(st.integers(2, 50), st.floats(0.1, 0.9))
def test_prominence_does_not_depend_on_the_resolution(factor: int, score: float) -> None:
    small, large = Box(10, 20, 30, 40), Box(10 * factor, 20 * factor, 30 * factor, 40 * factor)
    assert prominence(small, score, 200, 100) == pytest.approx(prominence(large, score, 200 * factor, 100 * factor))


def test_central_face_beats_a_slightly_larger_one_in_the_corner() -> None:
    corner, center = Box(0, 0, 110, 110), Box(450, 450, 100, 100)
    assert choose_primary([corner, center], [0.8, 0.8], 1000, 1000) == 1
    assert choose_primary([corner], [0.8], 1000, 1000) == 0


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


def test_pose_is_read_from_the_landmarks() -> None:
    yaw, roll = estimate_pose(ARCFACE_TEMPLATE)
    assert abs(yaw) < 5
    assert abs(roll) < 2
    angle = math.radians(30)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], np.float32)
    turned_yaw, turned_roll = estimate_pose((ARCFACE_TEMPLATE @ turn.T).astype(np.float32))
    assert turned_roll - roll == pytest.approx(30, abs=0.1)
    assert turned_yaw == pytest.approx(yaw, abs=0.1)
    nose_right = ARCFACE_TEMPLATE.copy()
    nose_right[2, 0] += 20
    assert estimate_pose(nose_right)[0] > 35


def test_each_fault_is_named() -> None:
    rng = np.random.default_rng(2)
    sharp = rng.integers(60, 200, (112, 112, 3), np.uint8)
    large = Box(0, 0, 150, 150)
    turned = ARCFACE_TEMPLATE.copy()
    turned[2, 0] += 40
    assert judge(sharp, large, ARCFACE_TEMPLATE, 0.9).issues == ()
    faults = {
        QualityIssue.TOO_SMALL: judge(sharp, Box(0, 0, 20, 90), ARCFACE_TEMPLATE, 0.9),
        QualityIssue.BLURRED: judge(np.full_like(sharp, 128), large, ARCFACE_TEMPLATE, 0.9),
        QualityIssue.TOO_DARK: judge(sharp // 8, large, ARCFACE_TEMPLATE, 0.9),
        QualityIssue.TOO_BRIGHT: judge(255 - sharp // 8, large, ARCFACE_TEMPLATE, 0.9),
        QualityIssue.TURNED_AWAY: judge(sharp, large, turned, 0.9),
        QualityIssue.LOW_CONFIDENCE: judge(sharp, large, ARCFACE_TEMPLATE, 0.52),
    }
    best = judge(sharp, large, ARCFACE_TEMPLATE, 0.9).score
    for issue, quality in faults.items():
        assert issue in quality.issues
        assert 0 <= quality.score < best
