"""The parts around an index: its choice, the sample and the percentiles, the lock, the grouping by person."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from runtime.errors import StartupError
from tests.vectorstore.index_conformance import units
from vectorstore.collapse import PersonCollapser
from vectorstore.index.choose import IndexMaker
from vectorstore.index.cpu import CpuIndex, CpuPlan
from vectorstore.index.locks import SharedLock
from vectorstore.index.mapped import MappedFiles
from vectorstore.index.rows import RowTable
from vectorstore.sample import SAMPLE_SIZE, GallerySample
from vectorstore.scores import Percentiles

Rng = np.random.Generator


def _flat(folder: Path, dimension: int = 8) -> CpuIndex:
    return CpuIndex(dimension, CpuPlan(None, same_person_similarity=0.5, mapped=MappedFiles(folder)))


def test_an_unknown_kind_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="TWIN_INDEX='hnsw'"):
        IndexMaker("hnsw", tmp_path, 1)


def test_a_mask_of_ids_is_the_same_for_close_and_for_scattered_ones(rng: Rng) -> None:
    rows = RowTable()
    ids = np.unique(rng.integers(0, 50_000, 3000))
    rows.append(ids)
    rows.remove(ids[::7])
    living = set(ids.tolist()) - set(ids[::7].tolist())
    for span, count in ((50_000, 2000), (50_000, 3), (300, 200), (10**12, 50)):
        asked = np.unique(np.concatenate([rng.integers(0, span, count), rng.choice(ids, 10)]))
        expected = [face_id in living and face_id in set(asked.tolist()) for face_id in ids.tolist()]
        assert rows.mask_of(asked).tolist() == expected


def _percentile(cosine: float, sample: GallerySample, query: np.ndarray[tuple[int], np.dtype[np.float32]]) -> float:
    nothing = np.empty(0, np.float32)
    return Percentiles(nothing, 0, lambda: sample.sorted_cosines(query)).of_all([cosine])[0]


def test_the_sample_stays_true_under_adds_and_deletes(tmp_path: Path) -> None:
    """Against the whole gallery, as many come and go: right within 0.01 for matches, and almost always anywhere."""
    rng = np.random.default_rng(5)
    index, sample, next_id = _flat(tmp_path), GallerySample(8), 0
    errors = []
    for _ in range(12):
        ids = np.arange(next_id, next_id + 9000, dtype=np.int64)
        # Newcomers differ from those before: a sample that keeps too many old ones would be wrong.
        vectors = units(rng, 9000, 8) + np.float32(0.1) * next_id / 30_000
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        next_id += 9000
        for start in range(0, 9000, 450):
            piece = slice(start, start + 450)
            index.add(ids[piece], vectors[piece])
            sample.add(ids[piece], vectors[piece])
        gone = rng.choice(index.live_ids(), 4500, replace=False)
        sample.remove(gone, index.remove(gone), index)
        live = index.live_ids()
        assert 0.75 * min(SAMPLE_SIZE, len(live)) <= len(sample) <= SAMPLE_SIZE
        for query in units(rng, 10, 8):
            exact = np.sort(index.reconstruct(live) @ query)
            for share in (0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.99, 0.999):
                error = abs(_percentile(float(exact[int(share * len(exact))]), sample, query) - share)
                errors.append(error)
                if share >= 0.95:
                    assert error <= 0.01
    assert np.quantile(errors, 0.99) <= 0.01


def test_a_small_gallery_is_its_own_sample(tmp_path: Path, rng: Rng) -> None:
    index, sample = _flat(tmp_path), GallerySample(8)
    for start in range(0, 600, 100):
        ids, vectors = np.arange(start, start + 100, dtype=np.int64), units(rng, 100, 8)
        index.add(ids, vectors)
        sample.add(ids, vectors)
        gone = rng.choice(index.live_ids(), 30, replace=False)
        sample.remove(gone, index.remove(gone), index)
        query = units(rng, 1, 8)[0]
        np.testing.assert_allclose(
            sample.sorted_cosines(query), np.sort(index.reconstruct(index.live_ids()) @ query), atol=1e-4
        )


def test_what_is_among_the_nearest_is_counted_and_not_sampled(rng: Rng) -> None:
    cosines = np.sort(rng.uniform(-1, 1, 1000).astype(np.float32))[::-1]

    def no_sample() -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        raise AssertionError("the sample was asked")

    percentiles = Percentiles(cosines[:50], 1000, no_sample)
    assert percentiles.of_all(cosines[:50].tolist()) == pytest.approx([1 - (place + 1) / 1000 for place in range(50)])
    assert percentiles.of_all([1.0]) == pytest.approx([1.0], abs=0.001)
    assert percentiles.of_all([]) == []
    whole = Percentiles(cosines, 1000, no_sample)
    assert whole.of_all([-1.0, float(cosines[499])]) == pytest.approx([0.0, 0.5])


def test_readers_share_the_lock_and_a_writer_has_it_alone() -> None:
    lock, inside, most, wrong = SharedLock(), [0, 0], [0], [0]
    guard = threading.Lock()

    def read() -> None:
        for _ in range(200):
            with lock.reading():
                with guard:
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                    wrong[0] += inside[1]
                time.sleep(0.0002)
                with guard:
                    inside[0] -= 1

    def write() -> None:
        for _ in range(100):
            with lock.writing():
                inside[1] += 1
                wrong[0] += inside[0] + inside[1] - 1
                inside[1] -= 1

    threads = [threading.Thread(target=work) for work in (read, read, read, write, write)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong[0] == 0
    assert most[0] > 1


def test_what_is_less_alike_than_all_that_were_found_is_looked_up_in_the_sample(rng: Rng) -> None:
    cosines = np.sort(rng.uniform(-1, 1, 1000).astype(np.float32))[::-1]
    percentiles = Percentiles(cosines[:50], 1000, lambda: np.sort(cosines))
    assert percentiles.of_all([float(cosines[10]), float(cosines[700])]) == pytest.approx([0.989, 0.299], abs=2e-3)


def test_people_are_grouped_the_same_whatever_pieces_they_come_in(rng: Rng) -> None:
    centres = units(rng, 30, 16)
    vectors = centres[rng.integers(0, 30, 400)] + 0.1 * rng.normal(size=(400, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    codes = np.where(rng.random(400) < 0.2, rng.integers(1, 6, 400), 0).astype(np.int32)
    cosines = np.sort(rng.random(400).astype(np.float32))[::-1]
    whole = PersonCollapser(100, 0.6, 16)
    whole.feed(np.arange(400), cosines, vectors, codes)
    pieces = PersonCollapser(100, 0.6, 16)
    for start in range(0, 400, 50):
        piece = slice(start, start + 50)
        pieces.feed(np.arange(400)[piece], cosines[piece], vectors[piece], codes[piece])
    assert [group[0] for group in whole.groups] == [group[0] for group in pieces.groups]
    one_by_one = PersonCollapser(100, 0.6, 16)
    for place in range(400):
        piece = slice(place, place + 1)
        one_by_one.feed(np.arange(400)[piece], cosines[piece], vectors[piece], codes[piece])
    assert [group[0] for group in whole.groups] == [group[0] for group in one_by_one.groups]
