"""Rewrites the starter networks once: any batch and size, and the same function in fewer milliseconds."""

from typing import Final

import numpy as np
import onnx
from onnx import helper, numpy_helper

from embedder.models.graphs import STAGED_OUTPUTS

_SMALLEST_NORMAL: Final = float(np.finfo(np.float32).tiny)


def rewrite_detector(source: bytes) -> bytes:
    """Makes SCRFD take any batch, height and width (multiples of 32); its outputs keep their three axes.

    The Reshape targets [1, -1, k] become [0, -1, k], so that the batch is kept; the Resize nodes double instead of
    going to sizes that were right for 640 × 640 alone.
    """
    model = onnx.load_model_from_string(source)
    graph = model.graph
    _zero_subnormals(graph)
    reshapes = {node.input[1] for node in graph.node if node.op_type == "Reshape"}
    for index, initializer in enumerate(graph.initializer):
        if initializer.name in reshapes:
            target = numpy_helper.to_array(initializer).copy()
            if target.shape != (3,) or list(target[:2]) != [1, -1]:
                raise ValueError("this is not the detector that the rewriting was made for")
            target[0] = 0
            graph.initializer[index].CopyFrom(numpy_helper.from_array(target, initializer.name))
    doubling = "twin_double"
    graph.initializer.append(numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), doubling))
    for node in graph.node:
        if node.op_type == "Resize":
            data, region = node.input[0], node.input[1]
            del node.input[:]
            node.input.extend([data, region, doubling])
    _free_axes(graph.input[0], ["batch", None, "height", "width"])
    for output in graph.output:
        _free_axes(output, ["batch", f"{output.name}_count", None])
    return _finished(model)


def rewrite_recognizer(source: bytes) -> bytes:
    """Makes the MobileFaceNet take any batch, and each PRelu two depthwise convolutions that ONNX Runtime fuses well.

    PRelu(x; a) = a·x + (1 − a)·max(x, 0), for each channel: a 1 × 1 depthwise convolution of x and one of Relu(x).
    """
    model = onnx.load_model_from_string(source)
    graph = model.graph
    _remove_constants_from_inputs(graph)
    constants = {initializer.name: initializer for initializer in graph.initializer}
    _zero_subnormals(graph)
    dimension = graph.output[0].type.tensor_type.shape.dim[1].dim_value
    for node in graph.node:
        if node.op_type == "Reshape":
            target = constants[node.input[1]]
            if numpy_helper.to_array(target).tolist() != [1, -1]:
                raise ValueError("this is not the recognizer that the rewriting was made for")
            target.CopyFrom(numpy_helper.from_array(np.array([-1, dimension], np.int64), target.name))
    _replace_prelus(graph)
    _free_axes(graph.input[0], ["batch", None, None, None])
    _free_axes(graph.output[0], ["batch", None])
    return _finished(model)


def rewrite_attribute(source: bytes) -> bytes:
    """Makes a staged network for age or gender take any batch.

    Reshape targets [1, -1] become [0, -1], so that the batch is kept; targets that the graph computes from the batch
    itself stay as they are.
    """
    model = onnx.load_model_from_string(source)
    graph = model.graph
    _remove_constants_from_inputs(graph)
    if len(graph.input) != 1 or len(graph.output) != STAGED_OUTPUTS:
        raise ValueError("this is not the attribute network that the rewriting was made for")
    _zero_subnormals(graph)
    constants = {initializer.name: initializer for initializer in graph.initializer}
    for node in graph.node:
        if node.op_type == "Reshape" and node.input[1] in constants:
            target = constants[node.input[1]]
            if numpy_helper.to_array(target).tolist() not in ([1, -1], [0, -1]):
                raise ValueError("this is not the attribute network that the rewriting was made for")
            target.CopyFrom(numpy_helper.from_array(np.array([0, -1], np.int64), target.name))
    _free_axes(graph.input[0], ["batch", None, None, None])
    for output in graph.output:
        _free_axes(output, ["batch", None])
    return _finished(model)


def _remove_constants_from_inputs(graph: onnx.GraphProto) -> None:
    """Old exporters list each weight as an input too, which keeps ONNX Runtime from folding it."""
    constants = {initializer.name for initializer in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    del graph.input[:]
    graph.input.extend(inputs)


def _replace_prelus(graph: onnx.GraphProto) -> None:
    constants = {initializer.name: initializer for initializer in graph.initializer}
    nodes = list(graph.node)
    del graph.node[:]
    for node in nodes:
        if node.op_type != "PRelu":
            graph.node.append(node)
            continue
        slope = numpy_helper.to_array(constants[node.input[1]]).astype(np.float32)
        channels = slope.shape[0]
        if slope.shape != (channels, 1, 1):
            raise ValueError("this is not the recognizer that the rewriting was made for")
        name, data = f"twin_{node.output[0]}", node.input[0]
        weights = slope.reshape(channels, 1, 1, 1)
        graph.initializer.append(numpy_helper.from_array(weights, f"{name}_slope"))
        graph.initializer.append(numpy_helper.from_array(np.float32(1) - weights, f"{name}_rest"))
        graph.node.extend(
            [
                helper.make_node("Relu", [data], [f"{name}_positive"]),
                _depthwise(data, f"{name}_slope", f"{name}_all", channels),
                _depthwise(f"{name}_positive", f"{name}_rest", f"{name}_lifted", channels),
                helper.make_node("Add", [f"{name}_all", f"{name}_lifted"], [node.output[0]]),
            ]
        )


def _depthwise(data: str, weights: str, output: str, channels: int) -> onnx.NodeProto:
    return helper.make_node("Conv", [data, weights], [output], kernel_shape=[1, 1], group=channels)


def _zero_subnormals(graph: onnx.GraphProto) -> None:
    """Sets weights below float32's normal range to zero: each costs a hundred cycles and changes nothing."""
    for index, initializer in enumerate(graph.initializer):
        if initializer.data_type != onnx.TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(initializer)
        subnormal = (np.abs(values) < _SMALLEST_NORMAL) & (values != 0)
        if subnormal.any():
            cleaned = np.where(subnormal, np.float32(0), values).astype(np.float32)
            graph.initializer[index].CopyFrom(numpy_helper.from_array(cleaned, initializer.name))


def _free_axes(value: onnx.ValueInfoProto, names: list[str | None]) -> None:
    """Gives the named axes of a graph's input or output a symbolic length."""
    for axis, name in zip(value.type.tensor_type.shape.dim, names, strict=True):
        if name is not None:
            axis.dim_param = name


def _finished(model: onnx.ModelProto) -> bytes:
    # Shapes that were inferred for the fixed sizes would contradict the new ones.
    del model.graph.value_info[:]
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)
