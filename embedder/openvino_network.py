"""Networks run by OpenVINO: in float32 the numbers of ONNX Runtime, on some processors in less time."""

import sys
import threading
from collections import OrderedDict
from typing import Any, Final

from embedder.faces import Floats
from runtime.errors import StartupError

_MAX_PLANS: Final = 64
"""Shapes that are kept compiled: one takes a tenth of a second and a few megabytes."""


class OpenVinoNetwork:
    """A network run by OpenVINO on the processor; any number of threads may call it at once.

    OpenVINO runs a graph of free axes a little slower than one of fixed ones, so each shape that comes is compiled.
    """

    def __init__(self, graph: bytes, *, what: str, half_precision: bool = False, thread_count: int = 1) -> None:
        """Loads a graph from bytes.

        half_precision: bfloat16 or float16, where the processor has it. thread_count: threads of one call. Raises
        StartupError when OpenVINO is not installed or cannot load the graph.
        """
        # Importing OpenVINO would report that to its maker, and give the machine an id under the home folder. It does
        # without its telemetry package where that cannot be imported.
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
        try:
            import openvino
        except ImportError as error:
            raise StartupError(
                "OpenVINO was asked for and is not installed; install the extra embedder-openvino"
            ) from error
        self._openvino: Any = openvino
        self._core = openvino.Core()
        self._graph = graph
        self._options = {
            "INFERENCE_NUM_THREADS": thread_count,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
            "INFERENCE_PRECISION_HINT": "bf16" if half_precision else "f32",
        }
        self._plans: OrderedDict[tuple[int, ...], Any] = OrderedDict()
        self._lock = threading.Lock()
        self._requests = threading.local()
        try:
            self._core.read_model(graph)
        except RuntimeError as error:
            raise StartupError(f"{what} cannot be loaded by OpenVINO") from error

    def run(self, batch: Floats) -> list[Floats]:
        """Runs a batch (n, 3, H, W) float32; returns the outputs in the graph's order."""
        compiled = self._plan(batch.shape)
        request = self._request(batch.shape, compiled)
        outputs = request.infer({0: batch}, share_inputs=True)
        return [outputs[number].copy() for number in range(len(compiled.outputs))]

    def _plan(self, shape: tuple[int, ...]) -> Any:
        with self._lock:
            compiled = self._plans.get(shape)
            if compiled is None:
                model = self._core.read_model(self._graph)
                model.reshape({model.input(0): self._openvino.PartialShape(list(shape))})
                compiled = self._plans[shape] = self._core.compile_model(model, "CPU", self._options)
                if len(self._plans) > _MAX_PLANS:
                    self._plans.popitem(last=False)
            self._plans.move_to_end(shape)
            return compiled

    def _request(self, shape: tuple[int, ...], compiled: Any) -> Any:
        """Returns this thread's own request for a plan: two threads must not share one."""
        kept: OrderedDict[tuple[int, ...], tuple[Any, Any]] = self._requests.__dict__.setdefault("kept", OrderedDict())
        known, request = kept.get(shape, (None, None))
        if known is not compiled:
            request = compiled.create_infer_request()
            kept[shape] = (compiled, request)
            if len(kept) > _MAX_PLANS:
                kept.popitem(last=False)
        kept.move_to_end(shape)
        return request
