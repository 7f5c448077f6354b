"""detect: SCRFD, from pictures of the network's size to boxes, five landmarks and scores."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from embedder.faces import Detections, Floats, Pixels
from embedder.networks import Network, Normalization, to_batch

_MAX_CANDIDATES: Final = 5_000
# SCRFD's heads by the number of outputs with landmarks: strides, and anchors at each place (InsightFace's SCRFD).
_HEADS: Final = {9: ((8, 16, 32), 2), 15: ((8, 16, 32, 64, 128), 1)}


@dataclass(frozen=True, slots=True)
class DetectorThresholds:
    """What counts as a face, 0 to 1; a pack's manifest may set each.

    score: the least that is reported. sure: at and over it, nobody looks a second time. overlap: the intersection over
    union over which two boxes are one face.
    """

    score: float = 0.5  # InsightFace's det_thresh.
    sure: float = 0.7
    overlap: float = 0.4  # InsightFace's nms_thresh.


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """What is particular to one detector file.

    fixed_size is (height, width) px where the graph takes no other; fixed_batch: it takes one picture at a time.
    """

    normalization: Normalization
    output_count: int
    fixed_size: tuple[int, int] | None = None
    fixed_batch: bool = True
    thresholds: DetectorThresholds = field(default_factory=DetectorThresholds)


class Detector:
    """Runs the network and reads its outputs."""

    def __init__(self, network: Network, spec: DetectorSpec) -> None:
        self._network = network
        self._spec = spec
        self._strides, self._anchor_count = _HEADS[spec.output_count]

    @property
    def thresholds(self) -> DetectorThresholds:
        """What counts as a face."""
        return self._spec.thresholds

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        """(height, width) px of the only pictures that the network takes, or None."""
        return self._spec.fixed_size

    @property
    def coarsest_stride(self) -> int:
        """Pixels; both sides of a picture are multiples of it."""
        return self._strides[-1]

    def detect(self, canvases: Sequence[Pixels]) -> list[Detections]:
        """Finds candidates, overlaps included, in pictures of one size; px of the picture, unordered."""
        if self._spec.fixed_batch and len(canvases) > 1:
            return [found for canvas in canvases for found in self.detect([canvas])]
        height, width = canvases[0].shape[:2]
        outputs = self._network.run(to_batch(canvases, self._spec.normalization))
        # (n, rows, k), or (rows, k) from graphs that take one picture at a time.
        by_picture = [output.reshape(len(canvases), -1, output.shape[-1]) for output in outputs]
        return [
            self._decode([output[number] for output in by_picture], height, width) for number in range(len(canvases))
        ]

    def detect_mixed(self, canvases: Sequence[Pixels]) -> list[Detections]:
        """Finds candidates in pictures of any sizes, those of one size together; in the order of the pictures."""
        places: dict[tuple[int, ...], list[int]] = {}
        for place, canvas in enumerate(canvases):
            places.setdefault(canvas.shape, []).append(place)
        found: dict[int, Detections] = {}
        for group in places.values():
            found.update(zip(group, self.detect([canvases[place] for place in group]), strict=True))
        return [found[place] for place in range(len(canvases))]

    def _decode(self, outputs: list[Floats], height: int, width: int) -> Detections:
        """Turns distances from anchor centres into boxes and points, px of the network's input.

        Outputs come as scores, boxes, landmarks, each for every stride; (n, k), n in row-major order with the anchors
        of one place side by side. Source: SCRFD (Guo et al. 2021) as InsightFace lays it out.
        """
        levels = len(self._strides)
        boxes, landmarks, scores = [], [], []
        for level, stride in enumerate(self._strides):
            level_scores = outputs[level].reshape(-1)
            sure = np.flatnonzero(level_scores >= self._spec.thresholds.score)
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
    kept: list[int] = []
    remaining: npt.NDArray[np.intp] = np.arange(order.size)
    while remaining.size:
        best, others = remaining[0], remaining[1:]
        kept.append(int(best))
        remaining = others[overlaps(boxes[best], boxes[others]) <= max_overlap]
    chosen = order[kept]
    return Detections(candidates.boxes[chosen], candidates.landmarks[chosen], candidates.scores[chosen])


def overlaps(box: npt.NDArray[np.float64], others: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns the intersection over union of a box (4,) with each of others (n, 4): (n,) 0..1."""
    corner = np.maximum(box[:2], others[:, :2])
    opposite = np.minimum(box[2:], others[:, 2:])
    shared = np.clip(opposite - corner, 0.0, None).prod(axis=1)
    area = float(np.prod(box[2:] - box[:2]))
    union = area + (others[:, 2:] - others[:, :2]).prod(axis=1) - shared
    share: npt.NDArray[np.float64] = shared / union
    return share


def _well_formed(found: Detections) -> Detections:
    """Drops candidates without an area, or whose landmarks fall on one point: nothing can be aligned by them."""
    spread = np.ptp(found.landmarks, axis=1).max(axis=1)
    sides = found.boxes[:, 2:] - found.boxes[:, :2]
    finite = np.isfinite(found.boxes).all(axis=1) & np.isfinite(found.landmarks).all(axis=(1, 2))
    good = finite & (sides > 1e-3).all(axis=1) & (spread > 1e-3)
    return Detections(found.boxes[good], found.landmarks[good], found.scores[good])
