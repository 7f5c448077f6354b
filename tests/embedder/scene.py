"""A network that sees what a test tells it, and the finder's work in the calling thread."""

import numpy as np

from embedder.detect import Detector, DetectorSpec
from embedder.faces import Detections, Floats, Pixels
from embedder.find import Finder
from embedder.networks import Normalization
from embedder.steps import Stage, run_inline

SCRFD_RULE = Normalization(127.5, 128.0, "RGB")
STRIDES = (8, 16, 32)


class OneFaceNetwork:
    """Answers as SCRFD would for one face at a fixed place of the input, with a score for each input size.

    centered_from: looks from this one on, counted from 0, see it in the middle of 192 px, as a close look does.
    """

    def __init__(
        self, scores_by_long_side: dict[int, float], *, flat: bool = False, centered_from: int | None = None
    ) -> None:
        self.centered_from = centered_from
        self.scores_by_long_side = scores_by_long_side
        self.flat = flat
        self.shapes: list[tuple[int, ...]] = []

    def run(self, batch: Floats) -> list[Floats]:
        self.shapes.append(batch.shape)
        height, width = batch.shape[2:]
        outputs: list[list[Floats]] = [[], [], []]
        for stride in STRIDES:
            rows = (height // stride) * (width // stride) * 2
            score, box, points = (np.zeros((len(batch), rows, k), np.float32) for k in (1, 4, 10))
            if stride == 16:
                # The anchors of column 3, row 2: centre (48, 32).
                centered = self.centered_from is not None and len(self.shapes) > self.centered_from
                row, column = (6, 6) if centered else (2, 3)
                place = (row * (width // stride) + column) * 2
                score[:, place] = self.scores_by_long_side.get(max(height, width), 0.0)
                box[:, place] = (3.75, 2.5, 3.75, 2.5) if centered else (1, 1, 2, 1)
                points[:, place] = np.tile([0.5, 0.25], 5) * np.arange(1, 11)
            for group, values in zip(outputs, (score, box, points), strict=True):
                group.append(values[0] if self.flat else values)
        return [values for group in outputs for values in group]


class BrightSquareNetwork:
    """Sees a face wherever the middle of a stride-32 cell is bright, as sure as the cell is bright in red.

    Its landmarks are five points around the cell's centre, the first to the left of the second.
    """

    POINTS = np.array([[-0.2, -0.2], [0.2, -0.2], [0.0, 0.0], [-0.15, 0.2], [0.15, 0.2]], np.float32)

    def __init__(self) -> None:
        self.batches: list[int] = []

    def run(self, batch: Floats) -> list[Floats]:
        self.batches.append(len(batch))
        height, width = batch.shape[2:]
        outputs: list[list[Floats]] = [[], [], []]
        for stride in STRIDES:
            rows, columns = height // stride, width // stride
            score, box, points = (np.zeros((len(batch), rows * columns * 2, k), np.float32) for k in (1, 4, 10))
            if stride == 32:
                red = (batch[:, 0, ::32, ::32] + 1) / 2
                score[:, ::2, 0] = red.reshape(len(batch), -1)
                box[:] = 0.5
                points[:] = self.POINTS.ravel()
            for group, values in zip(outputs, (score, box, points), strict=True):
                group.append(values)
        return [values for group in outputs for values in group]


def detector_of(
    network: OneFaceNetwork | BrightSquareNetwork,
    fixed_size: tuple[int, int] | None = None,
    *,
    fixed_batch: bool = False,
) -> Detector:
    return Detector(network, DetectorSpec(SCRFD_RULE, 9, fixed_size, fixed_batch))


def found_by(detector: Detector, image: Pixels, *, primary_only: bool = False, square: bool = False) -> Detections:
    finder = Finder.of(detector, square=square)
    steps = finder.find_primary(image) if primary_only else finder.find(image)
    return run_inline(steps, {Stage.DETECT: detector.detect_mixed}, lambda: None)
