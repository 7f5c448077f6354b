"""detect: SCRFD, from an upright image to boxes, five landmarks and scores."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from embedder.faces import Detections, Floats, Pixels
from embedder.networks import Network, Normalization, to_batch
from runtime.images.opencv import cv2

LONG_SIDE: Final = 640
"""Pixels to which the longer side is brought; 320 loses 4 of the 29 faces of a large group photo."""

SMALL_SIDE: Final = 256
"""The second look's longer side: a face that fills the frame is too large for the anchors at 640."""

SURE_SCORE: Final = 0.7
"""A face at or over this at 640 makes the second look needless: it costs a sixth more and moves the landmarks."""

NMS_OVERLAP: Final = 0.4  # InsightFace's nms_thresh.
_MAX_CANDIDATES: Final = 5_000
# SCRFD's heads by the number of outputs with landmarks: strides, and anchors at each place (InsightFace's SCRFD).
_HEADS: Final = {9: ((8, 16, 32), 2), 15: ((8, 16, 32, 64, 128), 1)}


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """What is particular to one detector file. fixed_size is (height, width) px where the graph takes no other."""

    normalization: Normalization
    output_count: int
    fixed_size: tuple[int, int] | None = None


class Detector:
    """Finds the faces of one image."""

    def __init__(self, network: Network, spec: DetectorSpec, *, score_threshold: float) -> None:
        self._network = network
        self._spec = spec
        self._score_threshold = score_threshold
        self._strides, self._anchor_count = _HEADS[spec.output_count]

    def detect(self, image: Pixels) -> Detections:
        """Finds every face at or over the threshold. image (H, W, 3) uint8 BGR. Returns them the surest first.

        Candidates of both looks, where a second one was needed, are merged before one suppression of overlaps.
        """
        candidates = self.look(image, LONG_SIDE)
        if not len(candidates) or float(candidates.scores.max()) < SURE_SCORE:
            candidates = _joined(candidates, self.look(image, SMALL_SIDE))
        return suppress_overlaps(candidates, NMS_OVERLAP)

    def look(self, image: Pixels, long_side: int) -> Detections:
        """Runs the network once, the longer side brought to long_side px; returns candidates, overlaps included.

        Each axis has its own exact scale: one rounded scale for both, as InsightFace has it, moves landmarks by up to
        a pixel of the network's input and the vectors with them.
        """
        height, width = image.shape[:2]
        if self._spec.fixed_size is not None:
            long_side = min(long_side, *self._spec.fixed_size)
        scale = long_side / max(height, width)
        small_height, small_width = max(round(height * scale), 1), max(round(width * scale), 1)
        canvas_height, canvas_width = self._spec.fixed_size or (self._padded(small_height), self._padded(small_width))
        canvas = np.zeros((canvas_height, canvas_width, 3), np.uint8)
        canvas[:small_height, :small_width] = cv2.resize(image, (small_width, small_height))
        found = self._decode(
            self._network.run(to_batch([canvas], self._spec.normalization)), canvas_height, canvas_width
        )
        per_axis = np.array([width / small_width, height / small_height], np.float32)
        return Detections(
            boxes=found.boxes * np.tile(per_axis, 2),
            landmarks=found.landmarks * per_axis,
            scores=found.scores,
        )

    def _padded(self, length: int) -> int:
        """Rounds up to the coarsest stride, and no further: empty margin costs as much as picture."""
        coarsest = self._strides[-1]
        return -(-length // coarsest) * coarsest

    def _decode(self, outputs: list[Floats], height: int, width: int) -> Detections:
        """Turns distances from anchor centres into boxes and points, px of the network's input.

        Outputs come as scores, boxes, landmarks, each for every stride; (1, n, k) or (n, k), n in row-major order with
        the anchors of one place side by side. Source: SCRFD (Guo et al. 2021) as InsightFace lays it out.
        """
        levels = len(self._strides)
        boxes, landmarks, scores = [], [], []
        for level, stride in enumerate(self._strides):
            level_scores = outputs[level].reshape(-1)
            sure = np.flatnonzero(level_scores >= self._score_threshold)
            if sure.size == 0:
                continue
            centers = anchor_centers(height // stride, width // stride, stride, self._anchor_count)[sure]
            sides = outputs[level + levels].reshape(-1, 4)[sure] * stride
            points = outputs[level + 2 * levels].reshape(-1, 5, 2)[sure] * stride
            boxes.append(np.hstack([centers - sides[:, :2], centers + sides[:, 2:]]))
            landmarks.append(centers[:, None, :] + points)
            scores.append(level_scores[sure])
        if not scores:
            return no_detections()
        return _well_formed(Detections(np.concatenate(boxes), np.concatenate(landmarks), np.concatenate(scores)))


def no_detections() -> Detections:
    """Returns what a look at an empty scene finds."""
    return Detections(np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32))


@lru_cache(maxsize=64)
def anchor_centers(rows: int, columns: int, stride: int, anchor_count: int) -> Floats:
    """Returns (rows × columns × anchor_count, 2) float32 x, y px; read-only, since it is shared."""
    y, x = np.mgrid[:rows, :columns]
    centers = np.stack([x, y], axis=-1).reshape(-1, 2).astype(np.float32) * stride
    centers = np.repeat(centers, anchor_count, axis=0)
    centers.flags.writeable = False
    return centers


def suppress_overlaps(candidates: Detections, max_overlap: float) -> Detections:
    """Keeps the surest of each group of boxes whose intersection over union passes max_overlap; the surest first."""
    order = np.argsort(-candidates.scores, kind="stable")[:_MAX_CANDIDATES]
    boxes = candidates.boxes[order].astype(np.float64)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept: list[int] = []
    remaining: npt.NDArray[np.intp] = np.arange(order.size)
    while remaining.size:
        best, others = remaining[0], remaining[1:]
        kept.append(int(best))
        corner = np.maximum(boxes[best, :2], boxes[others, :2])
        opposite = np.minimum(boxes[best, 2:], boxes[others, 2:])
        shared = np.clip(opposite - corner, 0.0, None).prod(axis=1)
        remaining = others[shared <= max_overlap * (areas[best] + areas[others] - shared)]
    chosen = order[kept]
    return Detections(candidates.boxes[chosen], candidates.landmarks[chosen], candidates.scores[chosen])


def _joined(first: Detections, second: Detections) -> Detections:
    return Detections(
        np.concatenate([first.boxes, second.boxes]),
        np.concatenate([first.landmarks, second.landmarks]),
        np.concatenate([first.scores, second.scores]),
    )


def _well_formed(found: Detections) -> Detections:
    """Drops candidates without an area, or whose landmarks fall on one point: nothing can be aligned by them."""
    spread = np.ptp(found.landmarks, axis=1).max(axis=1)
    sides = found.boxes[:, 2:] - found.boxes[:, :2]
    finite = np.isfinite(found.boxes).all(axis=1) & np.isfinite(found.landmarks).all(axis=(1, 2))
    good = finite & (sides > 1e-3).all(axis=1) & (spread > 1e-3)
    return Detections(found.boxes[good], found.landmarks[good], found.scores[good])
