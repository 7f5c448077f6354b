"""benchmarks/gpu_embed.py works: with the processor everywhere, with a GPU where there is one."""

import importlib
from pathlib import Path
from types import ModuleType

import onnxruntime
import pytest

from embedder.sessions import CPU, Provider

SMALL = ["--batches", "1", "--photos", "2", "--threads", "2", "--repeats", "1"]


@pytest.fixture
def benchmark() -> ModuleType:
    return importlib.import_module("benchmarks.gpu_embed")


def test_every_way_is_measured_on_the_processor(benchmark: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["--provider", "cpu", *SMALL]) == 0
    report = capsys.readouterr().out
    assert "nothing here says anything about a GPU" in report
    for way in ("from decoded pixels", "from JPEG bytes", benchmark.PLAIN, benchmark.BOUND):
        assert report.count(f"  {way} ") == 2, way
    assert "lowest cosine with the processor's vectors, 31 faces: 1.000000" in report


def test_what_a_gpu_alone_meets_works_on_the_processor(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Square pictures, plans made beforehand, batches across photos, and one of three that is filled up to four."""
    planned = Provider(CPU.name, 3, square=True, planned=True)
    monkeypatch.setattr("embedder.engine.provider_of", lambda setting, **_: CPU if setting == "cpu" else planned)
    monkeypatch.setattr(benchmark, "_ROUNDS", 1)
    assert benchmark.main(["--provider", "cuda", *SMALL, "--batches", "3", "--photos", "3"]) == 0
    report = capsys.readouterr().out
    assert "max_batch 3, 3 photos of one face" in report
    assert "lowest cosine with the processor's vectors, 32 faces: 1.000000" in report


@pytest.mark.gpu
@pytest.mark.parametrize("batch", ["1", "32"])
def test_every_way_is_measured_on_a_gpu(benchmark: ModuleType, capsys: pytest.CaptureFixture[str], batch: str) -> None:
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("needs a CUDA device and the extra embedder-gpu: no CUDAExecutionProvider here")
    assert benchmark.main(["--provider", "cuda", *SMALL, "--batches", batch]) == 0
    assert "lowest cosine" in capsys.readouterr().out


@pytest.mark.parametrize("cosine", [0.9989, float("nan")])
def test_vectors_unlike_the_processors_fail_the_run(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cosine: float
) -> None:
    monkeypatch.setattr(benchmark, "_material", lambda model, count: benchmark.Material([], {}, [], None))
    monkeypatch.setattr(benchmark, "_try_batch", lambda *_: cosine)
    assert benchmark.main(["--provider", "cpu", *SMALL]) == 1
    assert "FAILED: a cosine is under 0.999" in capsys.readouterr().out


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this ONNX Runtime has CUDA"
)
def test_missing_provider_fails_the_run_in_one_line(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark, "_material", lambda model, count: benchmark.Material([], {}, [], None))
    assert benchmark.main(["--provider", "cuda", *SMALL]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "embedder-gpu" in line


def test_gpu_memory_is_what_nvidia_smi_says_of_the_first_visible_one(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(
        '#!/bin/sh\n[ "$1" = --id=3 ] || exit 6\n'
        'case "$2" in *memory.used) echo "1234 MiB";; *) echo "NVIDIA H200, 143771 MiB, 580.1";; esac\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,4")
    assert benchmark.gpu_memory_mib() == 1234
    assert benchmark.device() == "NVIDIA H200, 143771 MiB, 580.1"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    assert benchmark.gpu_memory_mib() is None
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert benchmark.device().startswith("no GPU seen")
