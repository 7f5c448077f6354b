"""ONNX Runtime sessions: made once, strictly on the provider that was asked for, warmed."""

from typing import Final

import onnx
import onnxruntime

from embedder.faces import Floats
from runtime.errors import StartupError

CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"
_INSTALL: Final = {CPU: "embedder-cpu", CUDA: "embedder-gpu"}
_ERRORS_ONLY: Final = 3


class OnnxNetwork:
    """A network run by ONNX Runtime; any number of threads may call it at once."""

    def __init__(self, graph: bytes, provider: str, *, what: str) -> None:
        """Loads a graph from bytes. what names it in errors.

        Raises StartupError when the provider is not there or the graph cannot be loaded.
        """
        if provider not in onnxruntime.get_available_providers():
            raise StartupError(
                f"{provider} was asked for and this ONNX Runtime does not have it;"
                f" install the extra {_INSTALL.get(provider, 'for it')}"
            )
        refuse_external_data(graph, what)
        options = onnxruntime.SessionOptions()
        # As many threads as cores each run whole photos; a pool inside the session would only make them wait.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = _ERRORS_ONLY
        try:
            self._session = onnxruntime.InferenceSession(graph, options, providers=[provider])
        except Exception as error:  # ONNX Runtime raises its own classes, without a common base.
            raise StartupError(f"{what} cannot be loaded by ONNX Runtime") from error
        self._session.disable_fallback()
        used = self._session.get_providers()[0]
        if used != provider:
            raise StartupError(f"{provider} was asked for and ONNX Runtime took {used}; check the driver")
        self._input_name: str = self._session.get_inputs()[0].name
        self.provider = used

    def run(self, batch: Floats) -> list[Floats]:
        """Runs a batch (n, 3, H, W) float32; returns the outputs in the graph's order."""
        outputs: list[Floats] = self._session.run(None, {self._input_name: batch})
        return outputs


def refuse_external_data(graph: bytes, what: str) -> None:
    """Raises StartupError when the graph is none, or would read weights from further files on this machine."""
    try:
        model = onnx.load_model_from_string(graph)
    except Exception as error:  # protobuf's DecodeError is not exported by a stable name.
        raise StartupError(f"{what} is no ONNX graph") from error
    if not model.graph.node:
        raise StartupError(f"{what} is no ONNX graph")
    if any(_is_external(tensor) for tensor in _tensors(model.graph)):
        raise StartupError(f"{what} keeps weights in other files, which is refused; merge them into the graph")


def _tensors(graph: onnx.GraphProto) -> list[onnx.TensorProto]:
    tensors = list(graph.initializer)
    for node in graph.node:
        for attribute in node.attribute:
            tensors += [attribute.t, *attribute.tensors]
            for subgraph in (attribute.g, *attribute.graphs):
                if subgraph.node:
                    tensors += _tensors(subgraph)
    return tensors


def _is_external(tensor: onnx.TensorProto) -> bool:
    return tensor.data_location == onnx.TensorProto.EXTERNAL or len(tensor.external_data) > 0
