"""Networks that run: made once, strictly on the provider that was asked for, and never quietly on another."""

import contextlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import onnx
import onnxruntime

from embedder.faces import Floats
from embedder.networks import Network
from runtime.errors import StartupError

_CPU_NAME: Final = "CPUExecutionProvider"
_CUDA_NAME: Final = "CUDAExecutionProvider"
_TENSORRT_NAME: Final = "TensorrtExecutionProvider"
_OPENVINO_NAME: Final = "OpenVINO"
_INSTALL: Final = {_CPU_NAME: "embedder-cpu", _CUDA_NAME: "embedder-gpu", _TENSORRT_NAME: "embedder-gpu"}
_CHECK: Final = {
    _CUDA_NAME: "; check the driver, CUDA and cuDNN",
    _TENSORRT_NAME: "; check the driver, CUDA, cuDNN and TensorRT",
}
_ERRORS_ONLY: Final = 3
_MIB: Final = 2**20
PLANNED_BATCHES: Final = (1, 2, 4, 8, 16, 32, 64)
"""Batch sizes where a provider makes a plan for each shape; a batch between two is filled up to the larger."""

_CPU_BATCH: Final = 4
"""Faces of one group photo that a core embeds at once: a fourteenth faster than one by one; eight are no faster."""


@dataclass(frozen=True, slots=True)
class Provider:
    """What runs the networks, and what that means for the work that it is given.

    max_batch: items of one stage that are run at once; square: pictures of one shape for the detector; planned: a
    network makes a plan for each shape, so batches come in a few sizes; options go to ONNX Runtime as they are.
    """

    name: str
    max_batch: int = 1
    square: bool = False
    planned: bool = False
    options: tuple[tuple[str, str], ...] = ()
    half_precision: bool = False


CPU: Final = Provider(_CPU_NAME, _CPU_BATCH)


def provider_of(setting: str, *, gpu_memory_mib: int = 0, max_batch: int = 0, half_precision: bool = False) -> Provider:
    """Returns the provider that a setting names. max_batch of 0: what suits the provider.

    gpu_memory_mib bounds each network's arena on the device; TensorRT bounds only what an engine works in by it.
    half_precision is OpenVINO's and TensorRT's.
    """
    device = (("gpu_mem_limit", str(gpu_memory_mib * _MIB)), ("arena_extend_strategy", "kSameAsRequested"))
    match setting:
        case "cuda":
            exact = (("use_tf32", "0"), ("cudnn_conv_algo_search", "HEURISTIC"))
            return Provider(_CUDA_NAME, max_batch or 32, square=True, planned=True, options=(*device, *exact))
        case "tensorrt":
            options = (("trt_max_workspace_size", str(gpu_memory_mib * _MIB)), ("trt_fp16_enable", str(half_precision)))
            return Provider(_TENSORRT_NAME, max_batch or 32, square=True, planned=True, options=options)
        case "openvino":
            return Provider(_OPENVINO_NAME, max_batch or _CPU_BATCH, half_precision=half_precision)
        case _:
            return replace(CPU, max_batch=max_batch or CPU.max_batch)


def open_network(graph: bytes, provider: Provider, *, what: str, thread_count: int = 1) -> Network:
    """Makes a network of a graph. what names it in errors; thread_count is for one call, on a processor.

    Raises StartupError when the provider is not there or the graph cannot be loaded, and when ONNX Runtime would run it
    on another provider.
    """
    refuse_external_data(graph, what)
    if provider.name == _OPENVINO_NAME:
        from embedder.openvino_network import OpenVinoNetwork

        return OpenVinoNetwork(graph, what=what, half_precision=provider.half_precision, thread_count=thread_count)
    network = OnnxNetwork(graph, provider, what=what, thread_count=thread_count)
    return _Planned(network.run, network.batch_limit) if provider.planned else network


class OnnxNetwork:
    """A network run by ONNX Runtime; any number of threads may call it at once."""

    def __init__(self, graph: bytes, provider: Provider, *, what: str, thread_count: int = 1) -> None:
        """Loads a graph from bytes; raises StartupError."""
        if provider.name not in onnxruntime.get_available_providers():
            raise StartupError(
                f"{provider.name} was asked for and this ONNX Runtime does not have it;"
                f" install the extra {_INSTALL.get(provider.name, 'for it')}"
            )
        refuse_external_data(graph, what)
        options = onnxruntime.SessionOptions()
        # As many threads as cores each run whole photos; a pool inside the session would only make them wait.
        options.intra_op_num_threads = thread_count
        # Threads that wait by spinning would take the cores from those that work.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = _ERRORS_ONLY
        if provider.name in _CHECK:
            _load_device_libraries()
        try:
            self._session = onnxruntime.InferenceSession(
                graph, options, providers=[(provider.name, dict(provider.options))], enable_fallback=0
            )
        except Exception as error:  # ONNX Runtime raises its own classes, without a common base.
            raise StartupError(
                f"{what} cannot be loaded by ONNX Runtime on {provider.name}{_CHECK.get(provider.name, '')}"
            ) from error
        self._session.disable_fallback()
        used = self._session.get_providers()[0]
        if used != provider.name:
            raise StartupError(
                f"{provider.name} was asked for and ONNX Runtime took {used}{_CHECK.get(provider.name, '')}"
            )
        first_input = self._session.get_inputs()[0]
        self._input_name: str = first_input.name
        self.batch_limit = first_input.shape[0] if isinstance(first_input.shape[0], int) else 0
        self.provider = used

    def run(self, batch: Floats) -> list[Floats]:
        """Runs a batch (n, 3, H, W) float32; returns the outputs in the graph's order."""
        outputs: list[Floats] = self._session.run(None, {self._input_name: batch})
        return outputs


def _load_device_libraries() -> None:
    """Loads CUDA and cuDNN from their Python packages, where ONNX Runtime does not look, or from the system.

    It prints what it misses on standard output, which is the service's own; what is needed fails the session then.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        onnxruntime.preload_dlls(directory="")


class _Planned:
    """Fills batches up to a few sizes, so that a provider makes a few plans and not one for each number of faces."""

    def __init__(self, run: Callable[[Floats], list[Floats]], batch_limit: int) -> None:
        self._run = run
        self._batch_limit = batch_limit

    def run(self, batch: Floats) -> list[Floats]:
        """Runs a batch (n, 3, H, W) float32; outputs have n rows on their first axis, or n parts of it."""
        count = len(batch)
        size = count if self._batch_limit else planned_size(count)
        filled = (
            batch if size == count else np.concatenate([batch, np.zeros((size - count, *batch.shape[1:]), np.float32)])
        )
        return [output[: output.shape[0] * count // size] for output in self._run(filled)]


def planned_size(count: int, sizes: Sequence[int] = PLANNED_BATCHES) -> int:
    """Returns the smallest planned batch that holds count items; beyond the largest, a multiple of it."""
    largest = sizes[-1]
    return next((size for size in sizes if size >= count), -(-count // largest) * largest)


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
