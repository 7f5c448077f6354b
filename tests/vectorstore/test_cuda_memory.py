"""The device's memory: in chunks, given back, without what was removed, and full."""

import dataclasses
import gc
import threading
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from runtime.errors import StartupError
from tests.vectorstore.cuda_cases import KINDS, assert_equal_answers, filled, make, tend, units
from tests.vectorstore.fake_cuda import FakeDriver, FakeLibrary, fake_device
from tests.vectorstore.numpy_index import NumpyIndex
from vectorstore.index import cuda_kinds
from vectorstore.index.cuda_kinds import make_cuda

pytestmark = pytest.mark.usefixtures("device_is_asked")


def test_rows_are_kept_in_many_chunks(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vectorstore.index.cuda_dense._CHUNK_ROWS", 100)
    monkeypatch.setattr("vectorstore.index.cuda_dense._UPLOAD_ROWS", 37)
    device = fake_device()
    try:
        index, plain = make("cuda-flat-f32", device), NumpyIndex()
        for start in range(0, 3000, 60):
            ids, vectors = np.arange(start, start + 60, dtype=np.int64), units(rng, 60)
            index.add(ids, vectors)
            plain.add(ids, vectors)
            gone = rng.choice(index.live_ids(), 20, replace=False)
            assert index.remove(gone) == plain.remove(gone) == 20
            assert_equal_answers(index, plain, units(rng, 2), 15)
        assert_equal_answers(index, plain, units(rng, 2), 3000)
        gone = rng.choice(index.live_ids(), 1950, replace=False)
        assert index.remove(gone) == plain.remove(gone) == 1950
        assert_equal_answers(index, plain, units(rng, 2), 15)
        driver = device.driver
        assert isinstance(driver, FakeDriver)
        assert driver.used_bytes() < 1000 * 16 * 4
    finally:
        device.owner.stop()


def test_a_removed_vector_is_nowhere_on_the_device(rng: np.random.Generator) -> None:
    device = fake_device()
    driver = device.driver
    assert isinstance(driver, FakeDriver)

    def is_there(vector: np.ndarray) -> bool:
        return any(vector.tobytes() in memory.tobytes() for memory in driver.allocations.values())

    try:
        vectors = units(rng, 50)
        index = make("cuda-flat-f32", device)
        index.add(np.arange(50, dtype=np.int64), vectors)
        assert all(is_there(vector) for vector in vectors)
        gone = np.array([3, 48, 49, 20], dtype=np.int64)
        index.remove(gone)
        assert [number for number in range(50) if not is_there(vectors[number])] == sorted(gone)
    finally:
        device.owner.stop()


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_that_nobody_has_any_more_takes_no_memory_of_the_device(kind: str, rng: np.random.Generator) -> None:
    """As when its gallery is dropped; and it is the owner who gives the memory back."""
    device = fake_device()
    driver = device.driver
    assert isinstance(driver, FakeDriver)
    try:
        index, _ = filled(kind, device, units(rng, 500))
        assert driver.used_bytes() > 0
        del index
        gc.collect()
        owner = device.run(threading.get_ident)
        assert driver.used_bytes() == 0
        assert isinstance(device.library, FakeLibrary)
        assert set(device.library.ended_in) <= {owner}
    finally:
        device.owner.stop()


@pytest.mark.parametrize("kind", KINDS)
def test_faces_that_find_no_room_on_the_device_are_searched_on_the_host(kind: str, rng: np.random.Generator) -> None:
    device = fake_device(total_bytes=40_000)
    try:
        index, plain = make(kind, device), NumpyIndex()
        for start in range(0, 4000, 400):
            ids, vectors = np.arange(start, start + 400, dtype=np.int64), units(rng, 400)
            index.add(ids, vectors)
            plain.add(ids, vectors)
            tend(index)
            gone = rng.choice(index.live_ids(), 60, replace=False)
            assert index.remove(gone) == plain.remove(gone) == 60
            assert_equal_answers(index, plain, units(rng, 3), 20)
            assert_equal_answers(index, plain, units(rng, 3), 20, index.live_ids()[::2])
        assert index._store is not None
        assert 0 < len(index._store) < 3000
    finally:
        device.owner.stop()


def test_a_device_that_others_have_filled_is_used_once_there_is_room(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = dataclasses.replace(cuda_kinds._KINDS["cuda-sq8"], least_rows=300, sample_rows=300)
    monkeypatch.setitem(cuda_kinds._KINDS, "cuda-sq8", small)
    device = fake_device(total_bytes=40_000)
    try:
        others, _ = filled("cuda-flat-f32", device, units(rng, 100))
        index, plain = make_cuda("cuda-sq8", 16, device=device), NumpyIndex()
        ids, vectors = np.arange(400, dtype=np.int64), units(rng, 400)
        index.add(ids, vectors)
        plain.add(ids, vectors)
        assert index.upkeep() is None
        assert_equal_answers(index, plain, units(rng, 3), 20)
        others.release()
        tend(index)
        assert index._store is not None
        assert len(index._store) == 400
        assert_equal_answers(index, plain, units(rng, 3), 20)
    finally:
        device.owner.stop()


def test_a_gallery_that_does_not_fit_stops_the_start(rng: np.random.Generator) -> None:
    device = fake_device(total_bytes=40_000)
    try:
        arrays: dict[str, npt.NDArray[Any]] = {"ids": np.arange(2000, dtype=np.int64), "vectors": units(rng, 2000)}
        with pytest.raises(StartupError, match=r"2,000 faces as cuda-flat-f16 take .* use TWIN_INDEX"):
            make_cuda("cuda-flat-f16", 16, arrays=arrays, device=device)
    finally:
        device.owner.stop()
