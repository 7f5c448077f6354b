"""What each figure of a face says, and where the limits for advice and for enrolment lie."""

import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twin.embedder.v1 import embedder_pb2 as pb
from twin.face.v1 import face_pb2

from embedder.align import ARCFACE_TEMPLATE
from embedder.engine import Model
from embedder.faces import Box, Floats, Quality, QualityIssue
from embedder.quality import ADVICE, STRICT, QualityLimits, estimate_pose, issues_of, judge, shortcomings_of
from runtime.vectors import decode_vector
from tests.embedder.serving import embedder_server
from tests.support import poor_photos

# A head in millimetres, x to the viewer's right, y down, z towards the camera, in the order of the landmarks.
HEAD = np.array([(-31.5, 0, 0), (31.5, 0, 0), (0, 38, 32), (-25, 68, 6), (25, 68, 6)], np.float64)
angles = st.floats(-179.0, 179.0)
GOOD = Quality(
    detection_score=0.9,
    score=0.9,
    sharpness=0.6,
    brightness=0.5,
    yaw_degrees=0,
    roll_degrees=0,
    size_pixels=112,
    issues=(),
)


def with_measure(name: str, value: float) -> Quality:
    """A good face but for one figure."""
    change: dict[str, Any] = {name: value}
    return replace(GOOD, **change)


def seen(yaw_degrees: float, roll_degrees: float, pixels_per_mm: float = 1.0) -> Floats:
    """The head's landmarks, turned to the viewer's right and then rolled clockwise, from far away."""
    yaw, roll = math.radians(yaw_degrees), math.radians(roll_degrees)
    x, y, z = HEAD.T
    turned = np.stack([x * math.cos(yaw) + z * math.sin(yaw), y], axis=1)
    rotation = np.array([[math.cos(roll), -math.sin(roll)], [math.sin(roll), math.cos(roll)]])
    points: Floats = (turned @ rotation.T * pixels_per_mm + 400).astype(np.float32)
    return points


@given(st.floats(-45.0, 45.0), angles, st.floats(0.3, 8.0))
def test_roll_is_read_to_a_degree_at_any_turn_of_the_head(yaw: float, roll: float, scale: float) -> None:
    _, estimated = estimate_pose(seen(yaw, roll, scale))
    assert abs((estimated - roll + 180) % 360 - 180) < 1


@given(st.floats(-45.0, 45.0), angles, st.floats(0.3, 8.0))
def test_yaw_is_read_to_ten_degrees_at_any_roll(yaw: float, roll: float, scale: float) -> None:
    estimated, _ = estimate_pose(seen(yaw, roll, scale))
    assert estimated == pytest.approx(yaw, abs=10)
    if abs(yaw) > 3:
        assert estimated * yaw > 0, "positive to the viewer's right"


@given(st.floats(50.0, 85.0), st.sampled_from([-1, 1]))
def test_a_head_that_is_turned_far_is_never_read_as_facing_the_camera(turn: float, side: int) -> None:
    estimated, _ = estimate_pose(seen(side * turn, 0))
    assert side * estimated > ADVICE.max_yaw_degrees


def test_a_face_whose_eyes_are_one_point_is_seen_from_the_side() -> None:
    assert estimate_pose(np.zeros((5, 2), np.float32)) == (90.0, 0.0)


def test_the_template_faces_the_camera() -> None:
    yaw, roll = estimate_pose(ARCFACE_TEMPLATE)
    assert abs(yaw) < 5
    assert abs(roll) < 2


def test_each_fault_is_named() -> None:
    rng = np.random.default_rng(2)
    sharp = rng.integers(60, 200, (112, 112, 3), np.uint8)
    large = Box(0, 0, 150, 150)
    turned = ARCFACE_TEMPLATE.copy()
    turned[2, 0] += 40
    assert judge(sharp, large, ARCFACE_TEMPLATE, 0.9).issues == ()
    faults = {
        QualityIssue.TOO_SMALL: judge(sharp, Box(0, 0, 18, 90), ARCFACE_TEMPLATE, 0.9),
        QualityIssue.BLURRED: judge(np.full_like(sharp, 128), large, ARCFACE_TEMPLATE, 0.9),
        QualityIssue.TOO_DARK: judge(sharp // 16, large, ARCFACE_TEMPLATE, 0.9),
        QualityIssue.TOO_BRIGHT: judge(255 - sharp // 16, large, ARCFACE_TEMPLATE, 0.9),
        QualityIssue.TURNED_AWAY: judge(sharp, large, turned, 0.9),
        QualityIssue.LOW_CONFIDENCE: judge(sharp, large, ARCFACE_TEMPLATE, 0.52),
    }
    best = judge(sharp, large, ARCFACE_TEMPLATE, 0.9).score
    for issue, quality in faults.items():
        assert issue in quality.issues
        assert issue in issues_of(quality, STRICT)
        assert 0 <= quality.score < best


def test_a_face_is_judged_by_the_limits_that_are_given() -> None:
    crop = np.random.default_rng(2).integers(60, 200, (112, 112, 3), np.uint8)
    small = Box(0, 0, 30, 30)
    assert judge(crop, small, ARCFACE_TEMPLATE, 0.9).issues == (QualityIssue.TOO_SMALL,)
    assert judge(crop, small, ARCFACE_TEMPLATE, 0.9, STRICT).issues == ()
    assert judge(crop, small, ARCFACE_TEMPLATE, 0.9, replace(ADVICE, min_size_pixels=30.0)).issues == ()


@pytest.mark.parametrize("limits", [ADVICE, STRICT], ids=["advice", "strict"])
def test_a_face_at_a_limit_passes_and_a_hair_beyond_it_fails(limits: QualityLimits) -> None:
    for measure, issue, limit, direction in (
        ("size_pixels", QualityIssue.TOO_SMALL, limits.min_size_pixels, -math.inf),
        ("sharpness", QualityIssue.BLURRED, limits.min_sharpness, -math.inf),
        ("brightness", QualityIssue.TOO_DARK, limits.min_brightness, -math.inf),
        ("brightness", QualityIssue.TOO_BRIGHT, limits.max_brightness, math.inf),
        ("yaw_degrees", QualityIssue.TURNED_AWAY, limits.max_yaw_degrees, math.inf),
        ("yaw_degrees", QualityIssue.TURNED_AWAY, -limits.max_yaw_degrees, -math.inf),
        ("detection_score", QualityIssue.LOW_CONFIDENCE, limits.min_detection_score, -math.inf),
    ):
        assert issues_of(with_measure(measure, limit), limits) == ()
        failing = with_measure(measure, math.nextafter(limit, direction))
        assert issues_of(failing, limits) == (issue,)
        (words,) = shortcomings_of(failing, limits)
        measured, needed = words.rsplit(", and ", 1)
        # Rounding never makes a measure look as if it met its limit.
        number = f"{abs(limit):g}"
        assert number in needed.split() and number not in measured.split()


measures = st.builds(
    Quality,
    detection_score=st.floats(0, 1),
    score=st.floats(0, 1),
    sharpness=st.floats(0, 1),
    brightness=st.floats(0, 1),
    yaw_degrees=st.floats(-90, 90),
    roll_degrees=st.floats(-180, 180),
    size_pixels=st.floats(0, 5000),
    issues=st.just(()),
)


@given(measures)
def test_no_face_is_refused_for_what_a_search_does_not_warn_of(quality: Quality) -> None:
    assert set(issues_of(quality, STRICT)) <= set(issues_of(quality, ADVICE))
    assert len(shortcomings_of(quality, STRICT)) == len(issues_of(quality, STRICT))


def test_every_limit_has_a_default_in_both_sets() -> None:
    for field in fields(QualityLimits):
        assert getattr(STRICT, field.name) != getattr(ADVICE, field.name), field.name


def test_words_say_what_was_measured_and_what_is_needed() -> None:
    poor = replace(GOOD, size_pixels=18.04, sharpness=0.0123, yaw_degrees=-71.2)
    assert shortcomings_of(poor, replace(STRICT, min_size_pixels=24, max_yaw_degrees=65)) == (
        "it is 18 px across, and at least 24 px are needed",
        f"it is blurred, with a sharpness of 0.012, and at least {STRICT.min_sharpness:g} is needed",
        "it is turned 72 degrees away, and at most 65 are allowed",
    )


def strict_issues(face: face_pb2.Face) -> set[QualityIssue]:
    """What enrolment would say of a face that was answered."""
    quality = face.quality
    return set(
        issues_of(
            Quality(
                detection_score=face.detection_score,
                score=quality.score,
                sharpness=quality.sharpness,
                brightness=quality.brightness,
                yaw_degrees=quality.yaw_degrees,
                roll_degrees=quality.roll_degrees,
                size_pixels=quality.size_pixels,
                issues=(),
            ),
            STRICT,
        )
    )


async def faces_of(model: Model, *images: bytes) -> list[list[face_pb2.Face]]:
    async with embedder_server(model) as client:
        requests = [pb.EmbedRequest(image=image, faces=pb.FACE_CHOICE_ALL) for image in images]
        return [list((await client.Embed(request)).faces) for request in requests]


async def test_real_photographs_can_be_enrolled(
    model: Model,
    solvay_photo: Path,
    gauss_photo: Path,
    newton_photo: Path,
    six_faces_photo: Path,
    astronaut_photo: Path,
) -> None:
    expected = {solvay_photo: 29, six_faces_photo: 6, gauss_photo: 1, newton_photo: 1, astronaut_photo: 1}
    found = await faces_of(model, *[photo.read_bytes() for photo in expected])
    assert [len(faces) for faces in found] == list(expected.values())
    for faces in found:
        assert [strict_issues(face) for face in faces] == [set()] * len(faces)


@pytest.mark.parametrize("name", ["gauss_photo", "newton_photo", "astronaut_photo"])
async def test_what_is_refused_is_useless_and_what_is_useful_is_not_refused(
    model: Model, name: str, request: pytest.FixtureRequest
) -> None:
    photo: Path = request.getfixturevalue(name)
    ((before,),) = await faces_of(model, photo.read_bytes())
    size = before.quality.size_pixels
    useful = {
        "24 px": poor_photos.shrunk(photo, 24 / size),
        "a little out of focus": poor_photos.blurred(photo, 0.02 * size),
        "a third of the light": poor_photos.exposed(photo, 0.3),
        "behind a veil": poor_photos.veiled(photo, 0.6),
        "JPEG of quality 10": poor_photos.squeezed(photo, 10),
    }
    useless = {
        QualityIssue.TOO_SMALL: poor_photos.shrunk(photo, 12 / size),
        QualityIssue.BLURRED: poor_photos.blurred(photo, 0.07 * size),
        QualityIssue.TOO_DARK: poor_photos.exposed(photo, 0.05),
        QualityIssue.TOO_BRIGHT: poor_photos.veiled(photo, 0.93),
    }
    for fault, faces in zip(useful, await faces_of(model, *useful.values()), strict=True):
        assert strict_issues(faces[0]) == set(), fault
        assert cosine(faces[0], before) > 0.6, fault
    for issue, faces in zip(useless, await faces_of(model, *useless.values()), strict=True):
        assert issue in strict_issues(faces[0])
        assert cosine(faces[0], before) < 0.5, issue


def cosine(first: face_pb2.Face, second: face_pb2.Face) -> float:
    return float(decode_vector(first.embedding.float32_le, 512) @ decode_vector(second.embedding.float32_le, 512))
