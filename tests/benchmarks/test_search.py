"""The search benchmark runs, at tiny sizes: what it measures here is of no interest."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import search
from benchmarks.galleries import MadeUpGallery
from benchmarks.search_data import load, prepare

_TINY = ("--faces=600", "--distribution=iso", "--probes=12", "--extra=20", "--repeats=1", "--seconds=0.05")


def test_the_true_neighbours_are_those_of_comparing_everything(tmp_path: Path) -> None:
    prepare(MadeUpGallery(700, "aniso"), 9, 5, tmp_path)
    task = load(tmp_path)
    expected = np.argsort(-(task.probes @ task.gallery.T), axis=1)[:, :10]
    assert np.array_equal(task.truth, expected)
    assert task.recall(expected) == (1.0, 1.0)
    worse = expected.copy()
    worse[9:, 5:] = -1
    assert task.recall(worse) == (1.0, 0.5)


def _run(tmp_path: Path, *names: str) -> dict[str, dict[str, Any]]:
    file = tmp_path / "results.json"
    code = search.main([*_TINY, f"--json={file}", f"--pictures={tmp_path}", "--only", *names])
    assert code == 0
    (result,) = json.loads(file.read_text())
    return {entry["name"]: entry for entry in result["entries"]}


def test_indexes_within_the_process_are_measured(tmp_path: Path) -> None:
    entries = _run(tmp_path, "flat", "ours", "hnsw")
    assert set(entries) == {"flat", "ours", "hnsw"}
    for entry in entries.values():
        for point in entry["shown"]:
            assert set(point["callers"]) == {"1", "16", "64"}
            assert min(point["recall"]) > 0.9
        assert entry["cold_start_s"] > 0
    assert [point["variant"] for point in entries["ours"]["shown"]] == ["fast", "exact"]
    assert len(entries["hnsw"]["tried"]) > len(entries["hnsw"]["shown"]) == 1
    assert entries["hnsw"]["removes_per_s"] is None
    assert (tmp_path / "recall-unseen-600.svg").exists()


def test_the_service_is_measured_beside_an_echo(tmp_path: Path) -> None:
    entries = _run(tmp_path, "service", "echo")
    assert [min(point["recall"]) for point in entries["service"]["shown"]] == [1.0, 1.0]
    assert entries["service"]["adds_per_s"] > 0 and entries["service"]["removes_per_s"] > 0
    assert entries["echo"]["shown"][0]["callers"]["64"]["queries_per_s"] > 0


def test_a_peer_that_is_not_installed_is_left_out_aloud(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    title, make, _ = search._CONTESTANTS["hnswlib"]
    monkeypatch.setitem(search._CONTESTANTS, "hnswlib", (title, make, "no_such_package"))
    assert set(_run(tmp_path, "flat", "hnswlib")) == {"flat"}
    assert "** hnswlib is left out" in capsys.readouterr().out


def test_a_contestant_that_fails_is_named_and_fails_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    title, _, package = search._CONTESTANTS["hnsw"]
    monkeypatch.setitem(search._CONTESTANTS, "hnsw", (title, _broken, package))
    assert search.main([*_TINY, "--only", "flat", "hnsw"]) == 1
    printed = capsys.readouterr().out
    assert "** FAISS HNSW32 failed" in printed and "out of order" in printed
    assert "FAISS IndexFlatIP, exact" in printed


def _broken(_setup: Any) -> Any:
    raise RuntimeError("out of order")
