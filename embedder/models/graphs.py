"""What a graph's inputs and outputs say about the network: detector, recognizer, or something else."""

from dataclasses import dataclass
from typing import Final

import onnx

from embedder.align import CROP_SIZE
from embedder.attributes import JOINT_SIZE, STAGED_SIZE
from embedder.sessions import refuse_external_data

_OUTPUTS_WITH_LANDMARKS: Final = (9, 15)  # Scores, boxes and landmarks at three or five strides (InsightFace's SCRFD).
_LEAST_DIMENSION: Final = 64
_FIRST_NODES: Final = 8
_FIRST_NORMALIZING_NODES: Final = 3  # insightface, model_zoo/attribute.py.
STAGED_OUTPUTS: Final = 9
"""Outputs of a staged network: probabilities, deltas and offsets of three stages each."""


@dataclass(frozen=True, slots=True)
class GraphShape:
    """Inputs and outputs of one graph. An axis of 0 is symbolic.

    subtracts_and_scales: the graph normalizes its own input, as the recognizers converted from MXNet do.
    starts_with_bn_data: it does so in a batch normalization of that name, as some of MXNet's do.
    """

    input_axes: tuple[int, ...]
    output_axes: tuple[tuple[int, ...], ...]
    subtracts_and_scales: bool
    starts_with_bn_data: bool = False

    @property
    def is_detector(self) -> bool:
        """True for SCRFD with landmarks."""
        return (
            len(self.input_axes) == 4 and self.input_axes[1] == 3 and len(self.output_axes) in _OUTPUTS_WITH_LANDMARKS
        )

    @property
    def is_recognizer(self) -> bool:
        """True for a network from an aligned crop to one vector."""
        return (
            self.input_axes[1:] == (3, CROP_SIZE, CROP_SIZE)
            and len(self.output_axes) == 1
            and self.dimension >= _LEAST_DIMENSION
        )

    @property
    def is_staged_attribute(self) -> bool:
        """True for a network that narrows an age or a gender down in three stages (SSR-Net)."""
        return self.input_axes[1:] == (3, STAGED_SIZE, STAGED_SIZE) and len(self.output_axes) == STAGED_OUTPUTS

    @property
    def is_joint_attribute(self) -> bool:
        """True for InsightFace's genderage.onnx: two numbers for gender and one for age."""
        return self.input_axes[1:] == (3, JOINT_SIZE, JOINT_SIZE) and len(self.output_axes) == 1 and self.dimension == 3

    @property
    def dimension(self) -> int:
        """Numbers in one vector; 0 where the graph does not say."""
        axes = self.output_axes[0]
        return axes[-1] if axes else 0

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        """(height, width) px of the only input that the graph takes, or None when it takes any."""
        height, width = self.input_axes[2:4]
        return (height, width) if height and width else None

    @property
    def fixed_batch(self) -> bool:
        """True when the graph takes one image at a time."""
        return self.input_axes[0] == 1

    @property
    def fixed_answers(self) -> bool:
        """True when the graph says that it answers for one image, whatever it takes: genderage.onnx does."""
        return any(axes[:1] == (1,) for axes in self.output_axes)


def read_graph(graph: bytes, what: str) -> GraphShape:
    """Reads the shape of a graph; raises StartupError, naming what, for bytes that are none."""
    refuse_external_data(graph, what)
    parsed = onnx.load_model_from_string(graph).graph
    constants = {initializer.name for initializer in parsed.initializer}
    inputs = [_axes(value) for value in parsed.input if value.name not in constants]
    # InsightFace's own rule: by the names of the first nodes.
    names = [node.name or node.op_type for node in parsed.node[:_FIRST_NODES]]
    subtracts = any(name.startswith(("Sub", "_minus")) for name in names)
    scales = any(name.startswith(("Mul", "_mul")) for name in names)
    return GraphShape(
        input_axes=inputs[0] if len(inputs) == 1 else (),
        output_axes=tuple(_axes(value) for value in parsed.output),
        subtracts_and_scales=subtracts and scales,
        starts_with_bn_data="bn_data" in names[:_FIRST_NORMALIZING_NODES],
    )


def _axes(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(int(axis.dim_value) for axis in value.type.tensor_type.shape.dim)
