"""benchmarks/gpu_search.py works: with the processor's kinds and a fake device, and with a GPU where there is one."""

import dataclasses
import importlib
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.vectorstore.fake_cuda import fake_device
from vectorstore.index import cuda_index, cuda_kinds
from vectorstore.index.cuda_device import cuda_memory_bytes

SMALL = ["--faces", "3000", "--batches", "1,3", "--seconds", "0.05", "--callers", "4", "--distribution", "iso"]


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    # So that a gallery this small is searched on the device, and with codes.
    monkeypatch.setattr(cuda_index, "_GATHER_ROWS", 0)
    small = dataclasses.replace(cuda_kinds._KINDS["cuda-sq8"], least_rows=1000)
    monkeypatch.setitem(cuda_kinds._KINDS, "cuda-sq8", small)
    return importlib.import_module("benchmarks.gpu_search")


def test_every_kind_is_measured_on_the_processor(
    benchmark: ModuleType, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert benchmark.main(["--device", "cpu", *SMALL, "--json", str(tmp_path / "found.json")]) == 0
    report = capsys.readouterr().out
    assert "nothing here says anything about a GPU" in report
    assert report.count("0 wrong answers") == 2
    runs = json.loads((tmp_path / "found.json").read_text())["runs"]
    assert [run["kind"] for run in runs] == ["flat", "compressed"]
    assert {"fast 1", "fast 3", "exact 3", "filter 0.5"} <= runs[0]["batches"].keys()


def test_what_a_gpu_is_asked_for_works_without_one(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    device = fake_device(total_bytes=40_000_000)
    monkeypatch.setattr(benchmark, "open_device", lambda: device)
    try:
        assert benchmark.main(SMALL) == 0
        report = capsys.readouterr().out
        assert report.count("0 wrong answers") == 3
        assert report.count("memory limit: ") == 3
        assert report.count("device alone, 3 at once") == 3
        assert benchmark.main([*SMALL, "--faces", "20000", "--kinds", "cuda-flat-f32"]) == 0
        assert "left out: it does not fit" in capsys.readouterr().out
    finally:
        device.owner.stop()


@pytest.mark.gpu
def test_every_kind_is_measured_on_a_gpu(benchmark: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    if cuda_memory_bytes() is None:
        pytest.skip("needs a CUDA device and the extra vectorstore-gpu: FAISS finds none here")
    assert benchmark.main(SMALL) == 0
    assert capsys.readouterr().out.count("0 wrong answers") == 3


def test_wrong_neighbours_fail_the_run(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark, "_truth", lambda rows, probes: np.zeros((len(probes), 10), np.int64))
    assert benchmark.main(["--device", "cpu", *SMALL, "--kinds", "flat"]) == 1
    assert "FAILED" in capsys.readouterr().out
