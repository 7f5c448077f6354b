"""The exact index, its files, the sample and the lock, each alone."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from runtime.errors import StartupError
from tests.vectorstore.numpy_index import NumpyIndex
from vectorstore.collapse import PersonCollapser
from vectorstore.index.choose import choose_index
from vectorstore.index.flat import FlatIndex
from vectorstore.index.locks import SharedLock
from vectorstore.index.sealed_file import DamagedFile, read_sealed, write_sealed
from vectorstore.sample import SAMPLE_SIZE, GallerySample
from vectorstore.scores import percentile_of

Rng = np.random.Generator


def _units(rng: Rng, count: int, dimension: int = 16) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    vectors = rng.normal(size=(count, dimension)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def _assert_equal_answers(index: FlatIndex, plain: NumpyIndex, rng: Rng) -> None:
    live = index.live_ids()
    assert live.tolist() == sorted(plain.vectors)
    for query_count, k in ((1, 5), (3, 1), (7, 40), (2, 5000)):
        queries = _units(rng, query_count)
        some = np.sort(rng.choice(live, len(live) // 3, replace=False)) if len(live) else live
        for allowed in (None, some, live[:0]):
            for found, expected in zip(
                index.search(queries, k, allowed), plain.search(queries, k, allowed), strict=True
            ):
                assert found[0].tolist() == expected[0].tolist()
                np.testing.assert_allclose(found[1], expected[1], atol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_the_flat_index_answers_like_a_plain_one_through_random_changes(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    index, plain, next_id = FlatIndex(16), NumpyIndex(), 1
    for step in range(40):
        ids = np.arange(next_id, next_id + rng.integers(1, 120), dtype=np.int64)
        ids += np.sort(rng.integers(0, 5, len(ids)))
        next_id = int(ids[-1]) + 1
        vectors = _units(rng, len(ids))
        index.add(ids, vectors)
        plain.add(ids, vectors)
        gone = rng.choice(np.arange(next_id + 5), rng.integers(0, next_id // 2 + 1), replace=False)
        assert index.remove(gone) == plain.remove(gone)
        if index.wants_compaction() or step % 13 == 12:
            index = index.compacted()
            assert index.facts().tombstone_count == 0
        if step % 17 == 16:
            index.save(tmp_path / "index")
            index = FlatIndex.load(tmp_path / "index")
        if step % 5 == 0:
            _assert_equal_answers(index, plain, rng)
    _assert_equal_answers(index, plain, rng)


def test_removed_rows_ask_for_compaction_once_they_are_many(rng: Rng) -> None:
    index = FlatIndex(16)
    index.add(np.arange(5000, dtype=np.int64), _units(rng, 5000))
    index.remove(np.arange(1000, dtype=np.int64))
    assert not index.wants_compaction()
    index.remove(np.arange(1000, 1100, dtype=np.int64))
    assert index.wants_compaction()
    assert index.compacted().facts().memory_bytes < index.facts().memory_bytes


def test_ids_that_do_not_rise_are_refused_and_change_nothing(rng: Rng) -> None:
    index = FlatIndex(16)
    index.add(np.array([5, 7], dtype=np.int64), _units(rng, 2))
    for ids in ([7], [3], [9, 8], [9, 9]):
        with pytest.raises(ValueError, match="ascending"):
            index.add(np.array(ids, dtype=np.int64), _units(rng, len(ids)))
    assert index.live_ids().tolist() == [5, 7]


def test_reconstructing_a_removed_id_is_a_key_error(rng: Rng) -> None:
    index = FlatIndex(16)
    vectors = _units(rng, 3)
    index.add(np.array([1, 2, 3], dtype=np.int64), vectors)
    np.testing.assert_array_equal(index.reconstruct(np.array([3, 1], dtype=np.int64)), vectors[[2, 0]])
    index.remove(np.array([2], dtype=np.int64))
    with pytest.raises(KeyError):
        index.reconstruct(np.array([1, 2], dtype=np.int64))


def test_an_unknown_kind_stops_the_start() -> None:
    with pytest.raises(StartupError, match="TWIN_INDEX='hnsw'"):
        choose_index("hnsw")


def test_every_flipped_byte_and_every_truncation_is_detected(tmp_path: Path, rng: Rng) -> None:
    path = tmp_path / "index"
    index = FlatIndex(16)
    index.add(np.arange(40, dtype=np.int64), _units(rng, 40))
    index.save(path)
    content = path.read_bytes()
    for place in rng.choice(len(content), min(1000, len(content)), replace=False):
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.integers(0, 8)
        path.write_bytes(damaged)
        with pytest.raises(DamagedFile):
            FlatIndex.load(path)
    for length in rng.choice(len(content), 64, replace=False):
        path.write_bytes(content[:length])
        with pytest.raises(DamagedFile):
            FlatIndex.load(path)
    path.write_bytes(content)
    assert FlatIndex.load(path).live_ids().tolist() == list(range(40))
    path.unlink()
    with pytest.raises(DamagedFile):
        FlatIndex.load(path)


def test_a_sealed_file_of_something_else_is_no_index(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_sealed(path, {"ids": np.array([2, 1]), "vectors": np.zeros((2, 4), np.float32)})
    with pytest.raises(DamagedFile):
        FlatIndex.load(path)
    write_sealed(path, {"numbers": np.arange(3)})
    assert read_sealed(path)["numbers"].tolist() == [0, 1, 2]
    with pytest.raises(DamagedFile):
        FlatIndex.load(path)


def test_the_sample_stays_true_under_adds_and_deletes() -> None:
    """Against the whole gallery: for good matches the share is right within 0.01, as many come and go."""
    rng = np.random.default_rng(5)
    index, sample, next_id = FlatIndex(8), GallerySample(8), 0
    for _ in range(12):
        ids = np.arange(next_id, next_id + 3000, dtype=np.int64)
        # Newcomers differ from those before: a sample that keeps too many old ones would be wrong.
        vectors = _units(rng, 3000, 8) + np.float32(0.1) * next_id / 10_000
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        next_id += 3000
        index.add(ids, vectors)
        sample.add(ids, vectors)
        gone = rng.choice(index.live_ids(), 1500, replace=False)
        sample.remove(gone, index.remove(gone), index)
        live = index.live_ids()
        assert 0.75 * min(SAMPLE_SIZE, len(live)) <= len(sample) <= SAMPLE_SIZE
        query = _units(rng, 1, 8)[0]
        exact = np.sort(index.reconstruct(live) @ query)
        kept = sample.sorted_cosines(query)
        for share in (0.95, 0.99, 0.999):
            cosine = float(exact[int(share * len(exact))])
            assert abs(percentile_of(cosine, kept) - share) <= 0.01
        for share in (0.1, 0.5):
            cosine = float(exact[int(share * len(exact))])
            assert abs(percentile_of(cosine, kept) - share) <= 0.04


def test_a_small_gallery_is_its_own_sample(rng: Rng) -> None:
    index, sample = FlatIndex(8), GallerySample(8)
    for start in range(0, 600, 100):
        ids, vectors = np.arange(start, start + 100, dtype=np.int64), _units(rng, 100, 8)
        index.add(ids, vectors)
        sample.add(ids, vectors)
        gone = rng.choice(index.live_ids(), 30, replace=False)
        sample.remove(gone, index.remove(gone), index)
        query = _units(rng, 1, 8)[0]
        np.testing.assert_allclose(
            sample.sorted_cosines(query), np.sort(index.reconstruct(index.live_ids()) @ query), atol=1e-6
        )


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


def test_people_are_grouped_the_same_whatever_pieces_they_come_in(rng: Rng) -> None:
    centres = _units(rng, 30, 16)
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
