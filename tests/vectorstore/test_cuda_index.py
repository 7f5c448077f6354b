"""The CUDA kinds against a plain index: on a fake device, and on a real one where there is one."""

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import pytest

from runtime.errors import DependencyUnavailable, StartupError
from runtime.readiness import Readiness
from runtime.tasks import TaskSupervisor
from tests.vectorstore.cuda_cases import KINDS, LEAST_ROWS, assert_equal_answers, filled, make, tend, units
from tests.vectorstore.fake_cuda import FakeDriver, FakeLibrary, fake_device
from tests.vectorstore.numpy_index import NumpyIndex
from vectorstore.index import cuda_device, cuda_index
from vectorstore.index.cuda_device import CudaDevice, cuda_memory_bytes
from vectorstore.index.cuda_driver import DeviceFull
from vectorstore.index.cuda_kinds import CUDA_KINDS, fits, make_cuda
from vectorstore.index.owner import OwnerLost


@pytest.fixture(autouse=True)
def device_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Galleries as small as the tests' would otherwise be compared on the host, and have a list for every other row."""
    monkeypatch.setattr(cuda_index, "_GATHER_ROWS", 0)
    monkeypatch.setattr("vectorstore.index.cuda_quantized._LIST_COUNT_SMALL", 16)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260101)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(2))
def test_answers_are_those_of_a_plain_index_through_random_changes(kind: str, seed: int, device: CudaDevice) -> None:
    rng = np.random.default_rng(seed)
    index, plain, next_id = make(kind, device), NumpyIndex(), 1

    def add() -> None:
        nonlocal next_id
        ids = np.arange(next_id, next_id + rng.integers(1, 120), dtype=np.int64)
        ids += np.sort(rng.integers(0, 5, len(ids)))
        next_id = int(ids[-1]) + 1
        vectors = units(rng, len(ids))
        index.add(ids, vectors)
        plain.add(ids, vectors)

    def remove() -> None:
        gone = rng.choice(np.arange(next_id + 5), rng.integers(0, next_id // 3 + 1), replace=False)
        assert index.remove(gone) == plain.remove(gone)

    for step in range(30):
        add()
        remove()
        if step % 7 == 3:
            add()
        work = index.upkeep()
        if work is not None:
            publish = work()
            add()
            remove()
            publish()
        if step % 4 == 0:
            live = index.live_ids()
            assert live.tolist() == sorted(plain.vectors)
            some = np.sort(rng.choice(live, len(live) // 3, replace=False))
            for query_count, k in ((1, 5), (3, 1), (7, 40), (2, 5000)):
                for allowed in (None, some, live[:0]):
                    assert_equal_answers(index, plain, units(rng, query_count), k, allowed)
    assert index.facts().face_count == len(plain.vectors)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 10, 500, 1900, 2049, 3000, 6000])
def test_any_number_of_neighbours_is_found(kind: str, k: int, device: CudaDevice, rng: np.random.Generator) -> None:
    """FAISS ends the process when it is to select more than 2,048 on a device."""
    index, plain = filled(kind, device, units(rng, 5000))
    assert_equal_answers(index, plain, units(rng, 3), k)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.0004, 0.003, 0.05, 0.5, 0.9, 0.9998])
def test_filters_are_exact_at_any_selectivity(
    kind: str, share: float, device: CudaDevice, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, plain = filled(kind, device, units(rng, 5000))
    gone = rng.choice(index.live_ids(), 700, replace=False)
    assert index.remove(gone) == plain.remove(gone) == 700
    queries = units(rng, 4)
    live = index.live_ids()
    allowed = np.sort(rng.choice(live, max(1, int(share * len(live))), replace=False))
    # The nearest are just those that are not allowed: however many are fetched, they do not count.
    nearest = plain.search(queries[:1], 3000)[0][0]
    hidden = np.setdiff1d(live, nearest)
    for gather_rows in (4096, 0):
        monkeypatch.setattr(cuda_index, "_GATHER_ROWS", gather_rows)
        for k in (1, 12, 2500):
            assert_equal_answers(index, plain, queries, k, allowed)
            assert_equal_answers(index, plain, queries, k, hidden)


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_exact_with_any_number_of_tombstones(
    kind: str, device: CudaDevice, rng: np.random.Generator
) -> None:
    index, plain = filled(kind, device, units(rng, 6000))
    queries = units(rng, 3)
    # The nearest go first: the worst that tombstones can do.
    for count in (50, 2000, 3000, 900):
        gone = plain.search(queries[:1], count)[0][0]
        assert index.remove(gone) == plain.remove(gone) == count
        for k in (1, 30, 400):
            assert_equal_answers(index, plain, queries, k)
    assert index.remove(index.live_ids()) == 50
    assert [len(ids) for ids, _ in index.search(queries, 5)] == [0, 0, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_the_device_cannot_tell_apart_are_told_apart(
    kind: str, device: CudaDevice, rng: np.random.Generator
) -> None:
    """Thousands of rows whose cosines differ by less than the device rounds: nothing but all of them will do."""
    centre = units(rng, 1, 64)[0]
    vectors = centre + 2e-4 * units(rng, 4000, 64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index, _ = filled(kind, device, vectors)
    query = units(rng, 1, 64)
    cosines = vectors.astype(np.float64) @ query[0].astype(np.float64)
    ids, found = index.search(query, 10, exact=True)[0]
    np.testing.assert_allclose(found, np.sort(cosines)[::-1][:10], atol=2e-7)
    np.testing.assert_allclose(cosines[ids - 10], found, atol=2e-7)


def test_a_compressed_search_that_is_not_proved_finds_nearly_all(device: CudaDevice, rng: np.random.Generator) -> None:
    index, plain = filled("cuda-sq8", device, units(rng, 8000, 64))
    queries = units(rng, 100, 64)
    right = found = 0
    for mine, best in zip(index.search(queries, 10), plain.search(queries, 10), strict=True):
        right += len(best[0])
        found += len(np.intersect1d(mine[0], best[0]))
    assert found / right >= 0.99


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_saved_is_restored_by_every_kind_and_later_changes_are_not_in_it(
    kind: str, device: CudaDevice, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, plain = filled(kind, device, units(rng, 700))
    index.remove(np.arange(100, 150, dtype=np.int64))
    plain.remove(np.arange(100, 150, dtype=np.int64))
    saved = index.to_arrays()
    index.add(np.array([9000], dtype=np.int64), units(rng, 1))
    index.remove(np.arange(200, 400, dtype=np.int64))
    arrays = {name: array.whole() for name, array in saved.items()}
    for array in arrays.values():
        array.flags.writeable = False
    monkeypatch.setattr("vectorstore.index.cuda_kinds.LEAST_ROWS", LEAST_ROWS)
    for other in CUDA_KINDS:
        restored = make_cuda(other, 16, arrays=arrays, device=device)
        assert restored.live_ids().tolist() == sorted(plain.vectors)
        assert_equal_answers(restored, plain, units(rng, 3), 10)
        np.testing.assert_array_equal(
            restored.reconstruct(np.array([160, 20], dtype=np.int64)), [plain.vectors[160], plain.vectors[20]]
        )


def test_arrays_that_are_no_index_are_refused(rng: np.random.Generator) -> None:
    device = fake_device()
    try:
        ids, vectors = np.array([4, 3], dtype=np.int64), units(rng, 2)
        wrong: list[dict[str, npt.NDArray[Any]]] = [
            {"ids": ids, "vectors": vectors},
            {"ids": np.sort(ids)[:1], "vectors": vectors},
            {"ids": np.sort(ids), "vectors": vectors.astype(np.float64)},
            {"vectors": vectors},
        ]
        for arrays in wrong:
            with pytest.raises((KeyError, ValueError)):
                make_cuda("cuda-flat-f16", 16, arrays=arrays, device=device)
    finally:
        device.owner.stop()


@pytest.mark.parametrize("kind", KINDS)
def test_ids_that_do_not_rise_are_refused_and_change_nothing(
    kind: str, device: CudaDevice, rng: np.random.Generator
) -> None:
    index, plain = filled(kind, device, units(rng, 400))
    for ids in ([409], [3], [500, 499], [500, 500]):
        with pytest.raises(ValueError, match="ascending"):
            index.add(np.array(ids, dtype=np.int64), units(rng, len(ids)))
    with pytest.raises(ValueError, match="vectors must be"):
        index.add(np.array([500], dtype=np.int64), units(rng, 2))
    assert_equal_answers(index, plain, units(rng, 2), 400)


@pytest.mark.parametrize("kind", KINDS)
def test_reconstructing_a_removed_id_is_a_key_error(kind: str, device: CudaDevice, rng: np.random.Generator) -> None:
    vectors = units(rng, 400)
    index, _ = filled(kind, device, vectors)
    np.testing.assert_array_equal(index.reconstruct(np.array([12, 10], dtype=np.int64)), vectors[[2, 0]])
    index.remove(np.array([11], dtype=np.int64))
    with pytest.raises(KeyError):
        index.reconstruct(np.array([10, 11], dtype=np.int64))


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


def test_a_gallery_that_does_not_fit_stops_the_start(rng: np.random.Generator) -> None:
    device = fake_device(total_bytes=40_000)
    try:
        arrays: dict[str, npt.NDArray[Any]] = {"ids": np.arange(2000, dtype=np.int64), "vectors": units(rng, 2000)}
        with pytest.raises(StartupError, match=r"2,000 faces as cuda-flat-f16 take .* use TWIN_INDEX"):
            make_cuda("cuda-flat-f16", 16, arrays=arrays, device=device)
    finally:
        device.owner.stop()


@pytest.mark.parametrize("kind", KINDS)
def test_searches_from_many_threads_are_answered_together_and_right(kind: str, rng: np.random.Generator) -> None:
    device = fake_device()
    library = device.library
    assert isinstance(library, FakeLibrary)
    begin, reached = threading.Event(), threading.Event()

    def hold() -> None:
        reached.set()
        assert begin.wait(10)

    try:
        index, plain = filled(kind, device, units(rng, 3000))
        queries = units(rng, 24)
        with ThreadPoolExecutor(25) as pool:
            holding = pool.submit(device.owner.run, hold)
            assert reached.wait(10)
            library.scans.clear()
            searches = [pool.submit(index.search, queries[n : n + 1], 5 + n, exact=True) for n in range(24)]
            while len(device.owner._waiting) < 24:
                assert not searches[0].done()
            begin.set()
            holding.result(10)
            for number, search in enumerate(searches):
                ids = search.result(10)[0][0]
                assert ids.tolist() == plain.search(queries[number : number + 1], 5 + number)[0][0].tolist()
        assert library.scans[0] == 24
    finally:
        begin.set()
        device.owner.stop()


def test_a_lost_device_fails_its_searches_and_is_not_asked_again(rng: np.random.Generator) -> None:
    device = fake_device()
    library = device.library
    assert isinstance(library, FakeLibrary)
    index, _ = filled("cuda-flat-f16", device, units(rng, 500))
    library.error = RuntimeError("CUDA error 700 an illegal memory access was encountered")
    with pytest.raises(DependencyUnavailable, match="a fake device"):
        index.search(units(rng, 1), 5)
    library.error = None
    with pytest.raises(DependencyUnavailable):
        index.search(units(rng, 1), 5)
    assert not device.owner.is_alive


async def test_a_device_that_is_lost_after_it_was_opened_late_turns_health(monkeypatch: pytest.MonkeyPatch) -> None:
    readiness = Readiness()
    tasks = TaskSupervisor(readiness)
    task = tasks.spawn(cuda_device.watch_devices(0.01), "CUDA devices")
    readiness.mark_ready()
    device = fake_device()
    monkeypatch.setitem(cuda_device._devices, 0, device)
    await asyncio.sleep(0.05)
    assert readiness.is_ready

    def lose() -> None:
        raise OwnerLost("it fell off the bus")

    with pytest.raises(DependencyUnavailable):
        await asyncio.to_thread(device.run, lose)
    await asyncio.wait([task], timeout=10)
    assert readiness.has_failed


def test_an_error_that_is_not_the_device_s_is_only_its_own_callers(rng: np.random.Generator) -> None:
    device = fake_device()
    library = device.library
    assert isinstance(library, FakeLibrary)
    try:
        index, plain = filled("cuda-flat-f16", device, units(rng, 500))
        library.error = RuntimeError("Error in something else")
        with pytest.raises(RuntimeError, match="something else"):
            index.search(units(rng, 1), 5)
        library.error = None
        assert_equal_answers(index, plain, units(rng, 1), 5)
    finally:
        device.owner.stop()


def test_an_upload_that_is_cut_off_loses_the_device(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of FAISS's lists then have their rows and some have not: nothing that it answers can be relied on."""
    device = fake_device()
    driver = device.driver
    assert isinstance(driver, FakeDriver)
    index, _ = filled("cuda-sq8", device, units(rng, 400))

    def fail(size: int) -> int:
        raise DeviceFull(f"no room for {size} bytes, whatever was said before")

    monkeypatch.setattr(driver, "memory", lambda: (2**30, 2**30))
    monkeypatch.setattr(driver, "allocate", fail)
    with pytest.raises(DependencyUnavailable):
        index.add(np.array([999], dtype=np.int64), units(rng, 1))
    assert isinstance(device.owner._end.exception(), OwnerLost)


def test_without_a_device_the_kinds_say_what_to_do() -> None:
    if hasattr(faiss, "StandardGpuResources"):
        pytest.skip("this FAISS has the CUDA kinds")
    assert cuda_memory_bytes() is None
    assert not fits("cuda-flat-f16", 512, 1)
    with pytest.raises(StartupError, match="vectorstore-gpu"):
        make_cuda("cuda-sq8", 512)
