"""Which looks are taken at a photo, and that what they show lies where it is, on synthetic input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedder.detect import suppress_overlaps
from embedder.faces import Box, Detections, Floats
from embedder.looks import Look, close_up, padded, shrunk_to, turned, turned_back
from tests.embedder.scene import BrightSquareNetwork, OneFaceNetwork, detector_of, found_by

LANDSCAPE = np.zeros((333, 1000, 3), np.uint8)


@pytest.mark.parametrize("flat", [False, True])
def test_boxes_and_landmarks_are_scaled_for_each_axis(flat: bool) -> None:
    network = OneFaceNetwork({640: 0.9}, flat=flat)
    # 1,000 × 333 shrinks to 640 × 213, and no single factor is right for both sides.
    found = found_by(detector_of(network, fixed_batch=flat), LANDSCAPE)
    assert network.shapes == [(1, 3, 224, 640), (1, 3, 64, 128)]
    x, y = 1000 / 640, 333 / 213
    assert found.boxes[0].tolist() == pytest.approx([32 * x, 16 * y, 80 * x, 48 * y], rel=1e-6)
    assert found.landmarks[0, 0].tolist() == pytest.approx([(48 + 8) * x, (32 + 8) * y], rel=1e-6)


def test_further_looks_are_taken_only_without_a_sure_face() -> None:
    image = np.zeros((640, 640, 3), np.uint8)
    sure, small = OneFaceNetwork({640: 0.9, 256: 0.95}), OneFaceNetwork({640: 0.55, 256: 0.95})
    assert found_by(detector_of(sure), image).scores[0] == pytest.approx(0.9)
    assert [shape[3] for shape in sure.shapes] == [640, 128]
    assert found_by(detector_of(small), image).scores[0] == pytest.approx(0.95)
    assert [shape[3] for shape in small.shapes] == [640, 128, 256]


def test_photo_that_shows_nobody_is_turned_at_both_sizes() -> None:
    nobody = OneFaceNetwork({})
    assert len(found_by(detector_of(nobody), np.zeros((640, 640, 3), np.uint8))) == 0
    assert nobody.shapes == [(1, 3, 640, 640), (1, 3, 128, 128), (1, 3, 256, 256), (3, 3, 256, 256), (3, 3, 640, 640)]


def test_photo_of_an_unsure_face_is_turned_at_the_small_size_alone() -> None:
    unsure = OneFaceNetwork({640: 0.6})
    found_by(detector_of(unsure), np.zeros((640, 640, 3), np.uint8))
    assert unsure.shapes == [(1, 3, 640, 640), (1, 3, 128, 128), (1, 3, 256, 256), (3, 3, 256, 256)]


def test_unsure_faces_stay_when_no_turn_shows_more() -> None:
    unsure = OneFaceNetwork({640: 0.6})
    found = found_by(detector_of(unsure), np.zeros((640, 640, 3), np.uint8))
    assert found.scores.tolist() == pytest.approx([0.6])


def test_graph_of_one_size_gets_that_size() -> None:
    network = OneFaceNetwork({640: 0.9})
    assert len(found_by(detector_of(network, (640, 640)), LANDSCAPE)) == 1
    assert {shape[2:] for shape in network.shapes} == {(640, 640)}


def test_square_pictures_are_of_one_shape() -> None:
    network = OneFaceNetwork({640: 0.9})
    found = found_by(detector_of(network), LANDSCAPE, square=True)
    assert network.shapes == [(1, 3, 640, 640), (1, 3, 128, 128)]
    assert found.boxes[0, 0] == pytest.approx(32 * 1000 / 640)


def bright_at(height: int, width: int, x: int, y: int) -> np.ndarray:
    """A photo that is bright in one place, large enough for a network that looks at every 32nd pixel."""
    image = np.zeros((height, width, 3), np.uint8)
    image[max(y - 40, 0) : y + 40, max(x - 40, 0) : x + 40, 2] = 250
    return image


@pytest.mark.parametrize("shape", [(1200, 1600), (1600, 1200), (900, 900)])
def test_primary_is_found_coarsely_and_then_closely(shape: tuple[int, int]) -> None:
    network = OneFaceNetwork({192: 0.9}, centered_from=1)
    image = np.zeros((*shape, 3), np.uint8)
    found = found_by(detector_of(network), image, primary_only=True)
    assert [max(batch[2:]) for batch in network.shapes] == [192, 192]
    scale = max(shape) / 192
    # The close look agrees with the coarse one, and its landmarks are those of the picture's middle.
    assert len(found) == 1
    assert np.abs(found.boxes[0] - np.array([32, 16, 80, 48]) * scale).max() < 0.5 * scale
    close = 1.6 * 48 / 192
    expected = [(56 + 8 * close) * scale, (32 + 8 * close) * scale]
    assert found.landmarks[0, 0].tolist() == pytest.approx(expected, rel=0.01)


def test_close_look_that_shows_somebody_else_is_not_believed() -> None:
    network = OneFaceNetwork({192: 0.9, 640: 0.8})
    found = found_by(detector_of(network), np.zeros((800, 800, 3), np.uint8), primary_only=True)
    assert [shape[3] for shape in network.shapes] == [192, 192, 640, 128]
    assert found.scores.tolist() == pytest.approx([0.8])


@pytest.mark.parametrize(
    ("scores", "sides"),
    [({192: 0.6, 640: 0.9}, [192, 192, 640, 128]), ({640: 0.9}, [192, 640, 128])],
    ids=["unsure", "nothing"],
)
def test_primary_falls_back_to_every_look(scores: dict[int, float], sides: list[int]) -> None:
    network = OneFaceNetwork(scores)
    found = found_by(detector_of(network), np.zeros((800, 800, 3), np.uint8), primary_only=True)
    assert [shape[3] for shape in network.shapes] == sides
    assert found.scores.tolist() == pytest.approx([0.9])


@given(
    turns=st.integers(1, 3),
    height=st.integers(2, 90),
    width=st.integers(2, 90),
    data=st.data(),
)
def test_a_pixel_is_found_again_after_a_turn(turns: int, height: int, width: int, data: st.DataObject) -> None:
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    image = np.zeros((height, width, 3), np.uint8)
    image[y, x] = 255
    seen = np.argwhere(turned(image, turns)[..., 0])[0][::-1].astype(np.float32)
    box = np.concatenate([seen, seen + 1])[None].astype(np.float32)
    found = Detections(box, np.tile(seen, (1, 5, 1)).astype(np.float32), np.ones(1, np.float32))
    upright = turned_back(found, turns, height, width)
    assert upright.landmarks[0, 0].tolist() == [x, y]
    left, top, right, bottom = upright.boxes[0]
    assert right - left == 1 and bottom - top == 1
    assert left <= x <= right and top <= y <= bottom


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_landmarks_of_a_turned_photo_are_those_of_the_upright_one_turned(turns: int) -> None:
    rng = np.random.default_rng(5)
    points = rng.uniform(0, 300, (2, 5, 2)).astype(np.float32)
    boxes = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)
    found = Detections(boxes, points, np.array([0.9, 0.8], np.float32))
    back = turned_back(found, turns, 480, 640)
    # Turning on to a whole turn brings everything back to where it was.
    height, width = (480, 640) if turns == 2 else (640, 480)
    again = turned_back(back, 4 - turns, height, width)
    assert np.abs(again.landmarks - points).max() < 1e-3
    assert np.abs(again.boxes - boxes).max() < 1e-3


def test_close_up_beyond_the_edge_is_black_there_and_maps_back() -> None:
    image = np.full((100, 100, 3), 200, np.uint8)
    look = close_up(image, Box(-10, 60, 40, 50), 2.0, 100)
    assert look.canvas.shape == (100, 100, 3)
    assert look.canvas[0, 0].tolist() == [0, 0, 0] and look.canvas[50, 60].tolist() == [200, 200, 200]
    at = Detections(
        np.array([[0, 0, 100, 100]], np.float32), np.full((1, 5, 2), 50, np.float32), np.ones(1, np.float32)
    )
    photo = look.to_photo(at)
    assert photo.landmarks[0, 0].tolist() == pytest.approx([10, 85], abs=1)
    assert photo.boxes[0].tolist() == pytest.approx([-40, 35, 60, 135], abs=1)


def test_pictures_of_many_photos_are_looked_at_together() -> None:
    network = BrightSquareNetwork()
    detector = detector_of(network)
    photos = [bright_at(640, 640, 64 * place, 320) for place in range(2, 6)]
    looks = [padded(shrunk_to(photo, 640), 640, 640) for photo in photos]
    together = detector.detect([look.canvas for look in looks])
    assert network.batches == [4]
    for look, found in zip(looks, together, strict=True):
        [alone] = detector.detect([look.canvas])
        assert np.allclose(alone.boxes, found.boxes) and np.allclose(alone.scores, found.scores)
    assert len({tuple(found.boxes[0]) for found in together}) == 4


def test_look_brings_both_axes_back() -> None:
    look = Look(np.zeros((2, 2, 3), np.uint8), (2.0, 3.0), (10.0, 20.0))
    one = Detections(np.array([[1, 1, 2, 2]], np.float32), np.ones((1, 5, 2), np.float32), np.ones(1, np.float32))
    assert look.to_photo(one).boxes[0].tolist() == [12, 23, 14, 26]


def test_only_the_surest_of_overlapping_boxes_stays() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 20, 30, 30]], np.float32)
    found = suppress_overlaps(
        Detections(boxes, np.zeros((3, 5, 2), np.float32), np.array([0.6, 0.9, 0.7], np.float32)), 0.4
    )
    assert found.scores.tolist() == pytest.approx([0.9, 0.7])
    assert found.boxes.tolist() == [[1, 0, 11, 10], [20, 20, 30, 30]]


class FrameNetwork(OneFaceNetwork):
    """Beside what it sees at 640, sees a face over most of the picture at 128."""

    def run(self, batch: Floats) -> list[Floats]:
        outputs = super().run(batch)
        height, width = batch.shape[2:]
        if max(height, width) == 128:
            # The anchor in the middle of the coarsest stride's, 1.5 strides to each side.
            place = ((height // 32 // 2) * (width // 32) + width // 32 // 2) * 2
            outputs[2][:, place] = 0.9
            outputs[5][:, place] = 1.5
            outputs[8][:, place] = np.array([-0.5, -0.5, 0.5, -0.5, 0, 0, -0.4, 0.5, 0.4, 0.5])
        return outputs


def test_face_that_fills_the_frame_is_not_hidden_by_somebody_elses() -> None:
    image = np.zeros((1000, 1000, 3), np.uint8)
    found = found_by(detector_of(FrameNetwork({640: 0.9})), image)
    sides = np.sort((found.boxes[:, 2:] - found.boxes[:, :2]).max(axis=1))
    assert len(found) == 2
    assert sides[0] == pytest.approx(48 * 1000 / 640, rel=0.01) and sides[1] == pytest.approx(750, rel=0.01)


def test_primary_among_several_is_looked_for_among_all() -> None:
    """A coarse look that shows two faces cannot tell which is the more prominent."""

    class Two(OneFaceNetwork):
        def run(self, batch: Floats) -> list[Floats]:
            outputs = super().run(batch)
            if max(batch.shape[2:]) == 192 and len(self.shapes) == 1:
                outputs[1][:, 0] = 0.8
                outputs[4][:, 0] = 2.0
                outputs[7][:, 0] = np.arange(10) / 10
            return outputs

    network = Two({192: 0.9, 640: 0.85})
    found = found_by(detector_of(network), np.zeros((800, 800, 3), np.uint8), primary_only=True)
    assert [shape[3] for shape in network.shapes] == [192, 640, 128]
    assert len(found) == 1
