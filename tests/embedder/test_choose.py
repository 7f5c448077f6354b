"""Which face a photo is of: what makes one more likely, and what makes no difference."""

from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedder.choose import choose_primary, prominence
from embedder.faces import Box


@dataclass(frozen=True, slots=True)
class Photo:
    """Faces as the detector gives them, and the size of the photo in pixels."""

    width: int
    height: int
    boxes: list[Box]
    scores: list[float]

    def primary(self) -> int:
        return choose_primary(self.boxes, self.scores, self.width, self.height)

    def weights(self) -> list[float]:
        return [
            prominence(box, score, self.width, self.height) for box, score in zip(self.boxes, self.scores, strict=True)
        ]


sides = st.integers(20, 5000)
scores = st.floats(0.5, 1.0)


def box_at(width: int, height: int, across: float, down: float, side: float) -> Box:
    """A square box that lies in the photo; across and down 0 to 1 over where it can lie, side relative to the photo."""
    length = side * min(width, height)
    return Box(across * (width - length), down * (height - length), length, length)


def grown(box: Box, factor: float) -> Box:
    """The box about the same centre."""
    width, height = box.width * factor, box.height * factor
    return Box(box.left - (width - box.width) / 2, box.top - (height - box.height) / 2, width, height)


@st.composite
def places(draw: st.DrawFn) -> tuple[int, int, Box]:
    """A photo's size and a face in it."""
    width, height = draw(sides), draw(sides)
    across, down = draw(st.floats(0.0, 1.0)), draw(st.floats(0.0, 1.0))
    return width, height, box_at(width, height, across, down, draw(st.floats(0.02, 0.4)))


@st.composite
def photos(draw: st.DrawFn) -> Photo:
    width, height = draw(sides), draw(sides)
    face_count = draw(st.integers(1, 8))
    fractions = st.floats(0.0, 1.0)
    boxes = [
        box_at(width, height, draw(fractions), draw(fractions), draw(st.floats(0.02, 0.4))) for _ in range(face_count)
    ]
    return Photo(width, height, boxes, [draw(scores) for _ in boxes])


@given(photos())
def test_one_of_the_faces_is_chosen_and_none_weighs_more(photo: Photo) -> None:
    weights = photo.weights()
    assert all(0.0 < weight <= 1.0 for weight in weights)
    assert 0 <= photo.primary() < len(photo.boxes)
    assert weights[photo.primary()] == max(weights)


@given(places(), scores, st.floats(1.05, 2.0))
def test_the_larger_of_two_faces_in_one_place_is_chosen(
    place: tuple[int, int, Box], score: float, growth: float
) -> None:
    width, height, box = place
    assert choose_primary([box, grown(box, growth)], [score, score], width, height) == 1


@given(places(), scores, st.floats(0.0, 0.9))
def test_the_more_central_of_two_equal_faces_is_chosen(
    place: tuple[int, int, Box], score: float, nearness: float
) -> None:
    width, height, box = place
    center_x, center_y = (width - box.width) / 2, (height - box.height) / 2
    offset_x, offset_y = box.left - center_x, box.top - center_y
    if abs(offset_x) + abs(offset_y) < 0.01:
        return  # It is in the centre: nothing is nearer.
    nearer = Box(center_x + nearness * offset_x, center_y + nearness * offset_y, box.width, box.height)
    assert choose_primary([box, nearer], [score, score], width, height) == 1


@given(places(), scores, st.floats(0.5, 0.99))
def test_the_surer_of_two_faces_in_one_place_is_chosen(place: tuple[int, int, Box], score: float, doubt: float) -> None:
    width, height, box = place
    assert choose_primary([box, box], [score * doubt, score], width, height) == 1


@given(photos(), st.sampled_from([0.25, 0.5, 2, 4, 16]))
def test_the_resolution_of_the_photo_changes_nothing(photo: Photo, factor: float) -> None:
    # Powers of two, since they round nothing: near ties stay what they are.
    boxes = [Box(box.left * factor, box.top * factor, box.width * factor, box.height * factor) for box in photo.boxes]
    # Sizes in pixels are whole numbers; the rule takes any.
    scaled = Photo(photo.width * factor, photo.height * factor, boxes, photo.scores)  # type: ignore[arg-type]
    assert scaled.primary() == photo.primary()
    assert scaled.weights() == photo.weights()


@given(photos(), st.booleans())
def test_a_mirrored_photo_is_of_the_same_face(photo: Photo, upside_down: bool) -> None:
    if upside_down:
        boxes = [Box(box.left, photo.height - box.top - box.height, box.width, box.height) for box in photo.boxes]
    else:
        boxes = [Box(photo.width - box.left - box.width, box.top, box.width, box.height) for box in photo.boxes]
    mirrored = Photo(photo.width, photo.height, boxes, photo.scores)
    assert mirrored.weights() == pytest.approx(photo.weights())
    assert photo.weights()[mirrored.primary()] == pytest.approx(max(photo.weights()))


@given(photos(), st.randoms(use_true_random=False))
def test_the_order_of_the_faces_decides_between_equals_alone(photo: Photo, random: Random) -> None:
    order = list(range(len(photo.boxes)))
    random.shuffle(order)
    shuffled = Photo(
        photo.width, photo.height, [photo.boxes[row] for row in order], [photo.scores[row] for row in order]
    )
    weights = photo.weights()
    assert weights[order[shuffled.primary()]] == weights[photo.primary()]
    if weights.count(max(weights)) == 1:
        assert order[shuffled.primary()] == photo.primary()


def test_the_first_of_equals_is_chosen() -> None:
    box = Box(40, 40, 20, 20)
    assert choose_primary([box, box, box], [0.8, 0.8, 0.8], 100, 100) == 0


def test_a_central_face_beats_a_slightly_larger_one_in_the_corner() -> None:
    corner, center = Box(0, 0, 110, 110), Box(450, 450, 100, 100)
    assert choose_primary([corner, center], [0.8, 0.8], 1000, 1000) == 1


def test_a_much_larger_face_in_the_corner_beats_a_central_one() -> None:
    corner, center = Box(0, 0, 220, 220), Box(450, 450, 100, 100)
    assert choose_primary([corner, center], [0.8, 0.8], 1000, 1000) == 0
