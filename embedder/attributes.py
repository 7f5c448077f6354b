"""attributes: from a photo and a face in it to an estimate of the age and of how female and male the face looks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from embedder.align import ARCFACE_TEMPLATE, estimate_similarity, warp
from embedder.faces import Attributes, Box, Floats, Pixels
from embedder.networks import ChannelNormalization, Network, to_batch_by_channel
from runtime.images.opencv import cv2

STAGED_SIZE: Final = 64  # Pixels, both sides, of the crops for the pair of staged networks.
JOINT_SIZE: Final = 96  # Pixels, both sides, of the crops for InsightFace's genderage.onnx.
MAX_AGE_YEARS: Final = 100.0

_AT_ONCE: Final = 16
"""Crops in one call of a network; larger batches gain nothing on a CPU, and a crowd's would take much memory."""

# Where the five points lie in a staged crop: upright, three quarters of their size in the ArcFace crop in proportion to
# the side, their mean in the middle and at 0.6 of the height. The networks' publisher cuts 1.4 times the detector's box
# instead. Of 71 portraits labelled female or male that rule told 76 % right, this one 90 %; see docs/operator.md.
_STAGED_SPREAD: Final = 0.75
_STAGED_MIDDLE: Final = (0.5, 0.6)
# The face is warped to four samples a pixel in each direction, then averaged: a plain warp of a large face would alias.
_SAMPLES: Final = 4
_STAGED_TEMPLATE: Final[Floats] = (
    (ARCFACE_TEMPLATE - ARCFACE_TEMPLATE.mean(axis=0)) / 112 * _STAGED_SPREAD + np.array(_STAGED_MIDDLE)
).astype(np.float32) * (STAGED_SIZE * _SAMPLES)

# Without landmarks: side of the square crop in longer sides of the box. It told 87 % right.
_STAGED_MARGIN: Final = 1.3

_STAGES: Final = 3
_BINS: Final = 3
_STAGED_AGE_SPAN: Final = 101.0  # Years that the stages divide; `V` in the publisher's lib/fr_age.js.
_STAGED_GENDER_SPAN: Final = 1.0  # 0 female, 1 male; `V` in lib/fr_gender.js.

_JOINT_MARGIN: Final = 1.5  # Side of the crop in longer sides of the box: insightface, model_zoo/attribute.py.
_JOINT_AGE_UNIT_YEARS: Final = 100.0  # Same place.


@dataclass(frozen=True, slots=True)
class AttributeGraph:
    """One checked graph, what to call it in errors, and how to feed it. fixed_batch: it takes one crop at a time."""

    graph: bytes
    what: str
    normalization: ChannelNormalization
    fixed_batch: bool


@dataclass(frozen=True, slots=True)
class AttributeGraphs:
    """What a pack has for attributes: a staged network each for age and gender, or one network that is both."""

    age: AttributeGraph
    gender: AttributeGraph

    @property
    def joint(self) -> bool:
        """True when one network tells both."""
        return self.age == self.gender


class AttributeReader(Protocol):
    """Estimates attributes; any number of threads may use it at once."""

    def crop(self, image: Pixels, box: Box, landmarks: Floats | None = None) -> Pixels:
        """Cuts one face out as the networks want it.

        image (H, W, 3) uint8 BGR; box px, clipped to the image or not; landmarks (5, 2) float32 px, which some networks
        do better with. Returns (side, side, 3) uint8, black where the photo ends: a face partly or wholly outside is no
        error. Raises ValueError when all landmarks are at one point, as align does.
        """

    def read(self, crops: Sequence[Pixels]) -> list[Attributes]:
        """Estimates the attributes of crops that this reader cut; one result for each, in order.

        Raises ArithmeticError when a network answers with what is no number, or with numbers of another shape.
        """


def make_reader(graphs: AttributeGraphs, open_network: Callable[[bytes, str], Network]) -> AttributeReader:
    """Makes the reader for a pack's graphs. open_network(graph, what) loads each graph, and raises StartupError."""
    age = open_network(graphs.age.graph, graphs.age.what)
    if graphs.joint:
        return JointReader(age, graphs.age)
    return StagedReader(age, graphs.age, open_network(graphs.gender.graph, graphs.gender.what), graphs.gender)


class StagedReader:
    """Two networks that narrow a value down in stages, each run on a crop and on its mirror image.

    The mirror image costs a second run of a small network and steadies both estimates: they follow small shifts of the
    crop more than they should.
    """

    def __init__(self, age: Network, age_graph: AttributeGraph, gender: Network, gender_graph: AttributeGraph) -> None:
        self._age, self._age_graph = age, age_graph
        self._gender, self._gender_graph = gender, gender_graph

    def crop(self, image: Pixels, box: Box, landmarks: Floats | None = None) -> Pixels:
        """Warps the landmarks to where the networks do best, which turns a tilted head upright.

        Without landmarks it cuts a square around the box's middle; estimates of upright faces are a little worse then.
        """
        side = STAGED_SIZE * _SAMPLES
        if landmarks is None:
            large = _square(image, box, _STAGED_MARGIN, side)
        else:
            large = warp(image, estimate_similarity(landmarks, _STAGED_TEMPLATE), side)
        return np.asarray(cv2.resize(large, (STAGED_SIZE, STAGED_SIZE), interpolation=cv2.INTER_AREA), np.uint8)

    def read(self, crops: Sequence[Pixels]) -> list[Attributes]:
        """Estimates the attributes of crops (64, 64, 3) uint8 BGR."""
        both = [view for crop in crops for view in (crop, np.ascontiguousarray(crop[:, ::-1]))]
        ages = merge_stages(_run(self._age, self._age_graph, both), _STAGED_AGE_SPAN).reshape(-1, 2).mean(axis=1)
        male = merge_stages(_run(self._gender, self._gender_graph, both), _STAGED_GENDER_SPAN).reshape(-1, 2)
        return _attributes(ages, male.mean(axis=1))


class JointReader:
    """InsightFace's genderage.onnx, fed as the insightface package feeds it (model_zoo/attribute.py)."""

    def __init__(self, network: Network, graph: AttributeGraph) -> None:
        self._network, self._graph = network, graph

    def crop(self, image: Pixels, box: Box, landmarks: Floats | None = None) -> Pixels:
        """Cuts a square around the box's middle, one and a half longer sides wide; landmarks are not used."""
        return _square(image, box, _JOINT_MARGIN, JOINT_SIZE)

    def read(self, crops: Sequence[Pixels]) -> list[Attributes]:
        """Estimates the attributes of crops (96, 96, 3) uint8 BGR.

        The network gives a number each for female and male, of which InsightFace takes the larger; here both go through
        a softmax. Its third number is the age in hundreds of years.
        """
        (rows,) = _run(self._network, self._graph, crops) or [np.zeros((0, 3))]
        if rows.shape[1:] != (3,):
            raise ArithmeticError(f"{self._graph.what} made {rows.shape[1:]} numbers instead of 3")
        male = 1.0 / (1.0 + np.exp(np.clip(rows[:, 0] - rows[:, 1], -500, 500)))
        return _attributes(rows[:, 2] * _JOINT_AGE_UNIT_YEARS, male)


def merge_stages(outputs: list[npt.NDArray[np.float64]], span: float) -> npt.NDArray[np.float64]:
    """Puts the outputs of a staged network together: (n,) values, mostly 0 to span, not limited to it.

    Stage k divides the bin width of the stage before it by 3 · (1 + delta_k), and adds the mean of its three bins'
    numbers, each moved by its offset and weighed by its probability. Outputs, in order: three (n, 3) of probabilities,
    three (n, 1) of deltas, three (n, 3) of offsets, the first stage first. Source: SSR-Net (Yang et al. 2018), eq. 3–6.
    """
    if not outputs:
        return np.zeros(0)
    probabilities, deltas, offsets = outputs[:_STAGES], outputs[_STAGES : 2 * _STAGES], outputs[2 * _STAGES :]
    width = np.full(len(outputs[0]), span)
    value = np.zeros(len(outputs[0]))
    for probability, delta, offset in zip(probabilities, deltas, offsets, strict=True):
        # A delta of -1 leaves no finite value, which the reader refuses.
        with np.errstate(divide="ignore", invalid="ignore"):
            width = width / (_BINS * (1.0 + delta[:, 0]))
            value += width * ((np.arange(_BINS) + offset) * probability).sum(axis=1)
    return value


def _square(image: Pixels, box: Box, margin: float, side: int) -> Pixels:
    """Brings the square of margin longer sides around the box's middle to (side, side, 3)."""
    scale = side / (margin * max(box.width, box.height, 1.0))
    center_x, center_y = box.left + box.width / 2, box.top + box.height / 2
    matrix = np.array([[scale, 0, side / 2 - scale * center_x], [0, scale, side / 2 - scale * center_y]], np.float64)
    return warp(image, matrix, side)


def _run(network: Network, graph: AttributeGraph, crops: Sequence[Pixels]) -> list[npt.NDArray[np.float64]]:
    """Runs all crops in bounded batches; returns each output as float64 with one row a crop, or [] for no crops."""
    step = 1 if graph.fixed_batch else _AT_ONCE
    parts = [
        network.run(to_batch_by_channel(crops[start : start + step], graph.normalization))
        for start in range(0, len(crops), step)
    ]
    outputs = [np.concatenate(output).astype(np.float64) for output in zip(*parts, strict=True)]
    if any(len(output) != len(crops) for output in outputs):
        raise ArithmeticError(f"{graph.what} answered for another number of crops")
    if not all(np.isfinite(output).all() for output in outputs):
        raise ArithmeticError(f"{graph.what} answered with what is no number")
    return outputs


def _attributes(ages: npt.NDArray[np.float64], male: npt.NDArray[np.float64]) -> list[Attributes]:
    if not (np.isfinite(ages).all() and np.isfinite(male).all()):
        raise ArithmeticError("an attribute network answered with what is no number")
    ages, male = np.clip(ages, 0.0, MAX_AGE_YEARS), np.clip(male, 0.0, 1.0)
    return [
        Attributes(age_years=age, female_score=1.0 - share, male_score=share)
        for age, share in zip(ages.tolist(), male.tolist(), strict=True)
    ]
