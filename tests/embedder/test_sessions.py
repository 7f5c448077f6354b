"""What runs the networks: the same numbers on every provider that this machine has, and never another one quietly."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from embedder.align import align
from embedder.detect import Detector
from embedder.embed import Recognizer
from embedder.engine import Model
from embedder.faces import Floats, Pixels
from embedder.find import find_faces
from embedder.networks import to_batch
from embedder.sessions import CPU, OnnxNetwork, Provider, open_network, planned_size, provider_of
from runtime.errors import StartupError
from tests.embedder.conftest import read_pixels

DEVICES = {"cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
LEAST_COSINE = {"cpu": 0.9999, "openvino": 0.9999, "cuda": 0.999, "tensorrt": 0.999}


@pytest.fixture(params=["cpu", "openvino", *(pytest.param(name, marks=pytest.mark.gpu) for name in DEVICES)])
def setting(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name in DEVICES and DEVICES[name] not in onnxruntime.get_available_providers():
        pytest.skip(f"needs a CUDA device and the extra embedder-gpu: no {DEVICES[name]} here")
    return name


@pytest.fixture
def provider(setting: str) -> Provider:
    return provider_of(setting, gpu_memory_mib=4096)


def crops_of(model: Model, image: Pixels) -> list[Pixels]:
    return [align(image, points) for points in find_faces(model.pipeline.detector, image).landmarks]


def test_vectors_are_those_of_the_processor(
    model: Model, setting: str, provider: Provider, solvay_photo: Path, six_faces_photo: Path
) -> None:
    crops = [*crops_of(model, read_pixels(solvay_photo)), *crops_of(model, read_pixels(six_faces_photo))]
    assert len(crops) == 35
    network = open_network(model.pack.recognizer_graph, provider, what="recognizer")
    recognizer = Recognizer(network, model.pack.recognizer_spec)
    expected = model.pipeline.recognizer.embed(crops)
    alone = np.concatenate([recognizer.embed([crop]) for crop in crops])
    together = np.concatenate([recognizer.embed(crops[start : start + 7]) for start in range(0, 35, 7)])
    for vectors in (alone, together):
        assert (vectors * expected).sum(axis=1).min() >= LEAST_COSINE[setting]
    assert np.abs(alone - together).max() < 1e-3 if setting in DEVICES else np.abs(alone - together).max() < 1e-5


def test_faces_are_those_of_the_processor(model: Model, provider: Provider, solvay_photo: Path) -> None:
    image = read_pixels(solvay_photo)
    network = open_network(model.pack.detector_graph, provider, what="detector")
    ours = find_faces(Detector(network, model.pack.detector_spec), image)
    expected = find_faces(model.pipeline.detector, image)
    assert len(ours) == len(expected) == 29
    order, expected_order = np.argsort(ours.boxes[:, 0]), np.argsort(expected.boxes[:, 0])
    one_network_pixel = max(image.shape) / 640
    assert np.abs(ours.boxes[order] - expected.boxes[expected_order]).max() < 0.1 * one_network_pixel
    assert np.abs(ours.landmarks[order] - expected.landmarks[expected_order]).max() < 0.1 * one_network_pixel


def test_calls_from_many_threads_keep_their_own_answers(model: Model, provider: Provider) -> None:
    network = open_network(model.pack.recognizer_graph, provider, what="recognizer")
    rng = np.random.default_rng(11)
    batches = [rng.standard_normal((1 + number % 3, 3, 112, 112), dtype=np.float32) for number in range(24)]
    expected = [network.run(batch)[0] for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda batch: network.run(batch)[0], batches))
    for answer, wanted in zip(answers, expected, strict=True):
        assert np.allclose(answer, wanted, atol=1e-4)


@pytest.mark.parametrize(("name", "execution_provider"), DEVICES.items())
def test_provider_that_is_not_there_stops_the_start(model: Model, name: str, execution_provider: str) -> None:
    if execution_provider in onnxruntime.get_available_providers():
        pytest.skip(f"this ONNX Runtime has {execution_provider}")
    with pytest.raises(StartupError, match="embedder-gpu"):
        open_network(model.pack.recognizer_graph, provider_of(name, gpu_memory_mib=1024), what="recognizer")


def test_runtime_that_takes_another_provider_stops_the_start(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it does when a driver is missing: ONNX Runtime then goes on with the processor."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [DEVICES["cuda"], CPU.name])
    real = onnxruntime.InferenceSession
    monkeypatch.setattr(
        onnxruntime,
        "InferenceSession",
        lambda graph, options, providers, enable_fallback: real(graph, options, providers=[CPU.name]),
    )
    with pytest.raises(StartupError, match=r"CUDAExecutionProvider was asked for and ONNX Runtime took CPU"):
        OnnxNetwork(model.pack.recognizer_graph, provider_of("cuda", gpu_memory_mib=1024), what="recognizer")


def test_what_a_device_misses_stays_off_standard_output(
    model: Model, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """There the service says where it listens; ONNX Runtime prints there what it cannot load, and that it goes on."""
    asked: list[dict[str, str]] = []

    def preload(**options: str) -> None:
        asked.append(options)
        print("Failed to load libcublas.so.13")

    def fails(graph: bytes, options: object, providers: object, enable_fallback: int) -> None:
        assert enable_fallback == 0
        raise RuntimeError("libnvinfer.so.10")

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [*DEVICES.values(), CPU.name])
    monkeypatch.setattr(onnxruntime, "preload_dlls", preload)
    monkeypatch.setattr(onnxruntime, "InferenceSession", fails)
    for name in DEVICES:
        with pytest.raises(StartupError, match="check the driver, CUDA"):
            OnnxNetwork(model.pack.recognizer_graph, provider_of(name, gpu_memory_mib=1024), what="recognizer")
    assert asked == [{"directory": ""}] * 2
    assert capsys.readouterr().out == ""


def test_missing_openvino_stops_the_start(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(StartupError, match="embedder-openvino"):
        open_network(model.pack.recognizer_graph, provider_of("openvino"), what="recognizer")


def test_device_memory_is_bounded_and_numbers_are_exact() -> None:
    options = dict(provider_of("cuda", gpu_memory_mib=2048).options)
    assert options["gpu_mem_limit"] == str(2048 * 2**20)
    assert options["use_tf32"] == "0"
    assert dict(provider_of("tensorrt", gpu_memory_mib=2048).options)["trt_fp16_enable"] == "False"


def test_batches_come_in_few_sizes_where_each_has_its_plan(monkeypatch: pytest.MonkeyPatch, model: Model) -> None:
    shapes: list[int] = []

    class Counting(OnnxNetwork):
        def run(self, batch: Floats) -> list[Floats]:
            shapes.append(len(batch))
            return super().run(batch)

    monkeypatch.setattr("embedder.sessions.OnnxNetwork", Counting)
    planned = Provider(CPU.name, 32, square=True, planned=True)
    detector = Detector(open_network(model.pack.detector_graph, planned, what="detector"), model.pack.detector_spec)
    rng = np.random.default_rng(2)
    canvases = [rng.integers(0, 256, (128, 128, 3), np.uint8) for _ in range(5)]
    assert len(detector.detect(canvases)) == 5
    recognizer = Recognizer(
        open_network(model.pack.recognizer_graph, planned, what="recognizer"), model.pack.recognizer_spec
    )
    crops = [rng.integers(0, 256, (112, 112, 3), np.uint8) for _ in range(3)]
    assert np.allclose(recognizer.embed(crops), model.pipeline.recognizer.embed(crops), atol=1e-5)
    assert shapes == [8, 4]
    assert [planned_size(count) for count in (1, 2, 3, 9, 64, 65, 129)] == [1, 2, 4, 16, 64, 128, 192]


def test_half_precision_is_off_unless_asked_for(model: Model, solvay_photo: Path) -> None:
    crops = crops_of(model, read_pixels(solvay_photo))[:4]
    batch = to_batch(crops, model.pack.recognizer_spec.normalization)
    exact = open_network(model.pack.recognizer_graph, provider_of("openvino"), what="r").run(batch)[0]
    half = open_network(model.pack.recognizer_graph, provider_of("openvino", half_precision=True), what="r").run(batch)[
        0
    ]
    wanted = open_network(model.pack.recognizer_graph, CPU, what="r").run(batch)[0]
    assert _least_cosine(exact, wanted) > 0.99999
    assert _least_cosine(half, wanted) > 0.995


def _least_cosine(first: Floats, second: Floats) -> float:
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return float(((first * second).sum(axis=1) / norms).min())
