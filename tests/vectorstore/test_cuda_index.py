"""What the CUDA kinds answer, held against a plain index: on a fake device, and on a real one where there is one."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.vectorstore.cuda_cases import DIMENSION, KINDS, LEAST_ROWS, assert_equal_answers, filled, make, tend, units
from tests.vectorstore.fake_cuda import fake_device
from tests.vectorstore.index_conformance import add_some
from tests.vectorstore.numpy_index import NumpyIndex
from vectorstore.index import cuda_index
from vectorstore.index.cuda_candidates import Search, best_rows
from vectorstore.index.cuda_device import CudaDevice
from vectorstore.index.cuda_kinds import CUDA_KINDS, make_cuda
from vectorstore.index.exact import Best

pytestmark = pytest.mark.usefixtures("device_is_asked")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(2))
def test_answers_are_those_of_a_plain_index_through_random_changes(kind: str, seed: int, device: CudaDevice) -> None:
    rng = np.random.default_rng(seed)
    index, plain, next_id = make(kind, device), NumpyIndex(), 1

    def add() -> None:
        nonlocal next_id
        next_id = add_some(index, plain, rng, next_id, most=120, dimension=DIMENSION)

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


def test_a_compressed_search_is_proved_until_something_is_measured(
    device: CudaDevice, rng: np.random.Generator, device_is_asked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    proved: list[bool] = []

    def noted(search: Search, *arguments: Any) -> list[Best]:
        proved.append(search.curve is None)
        return best_rows(search, *arguments)

    monkeypatch.setattr(cuda_index, "best_rows", noted)
    index = make("cuda-sq8", device)
    index.adopt(np.arange(2000, dtype=np.int64), units(rng, 2000))
    index.search(units(rng, 1), 10)
    assert index.facts().rerank_count == 0
    tend(index)
    index.search(units(rng, 1), 10)
    assert index.facts().rerank_count > 0
    assert proved == [True, False]


def test_a_compressed_search_that_is_not_proved_finds_nearly_all(device: CudaDevice, rng: np.random.Generator) -> None:
    index, plain = filled("cuda-sq8", device, units(rng, 8000, 64))
    assert index.facts().rerank_count > 0
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
