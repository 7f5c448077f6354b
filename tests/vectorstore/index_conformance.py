"""What every kind of index must do, whatever it is made of: one suite, run by each kind's own test file.

A kind is given as a ``Kind``; inexact answers are held to a recall, exact ones to equality with a plain index.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tests.vectorstore.numpy_index import NumpyIndex
from vectorstore.index.base import Arrays, Ids, Neighbours, VectorIndex, Vectors
from vectorstore.index.locks import SharedLock

Rng = np.random.Generator
DIMENSION = 64


@dataclass(frozen=True)
class Kind:
    """How to make an index of DIMENSION, and how to bring one back from what it saved."""

    name: str
    empty: Callable[[], VectorIndex]
    restore: Callable[[Arrays], VectorIndex] | None
    # Whether a search that is not asked to be exact is exact all the same.
    always_exact: bool
    # Absolute error of cosines.
    tolerance: float = 1e-4


def units(rng: Rng, count: int, dimension: int = DIMENSION) -> Vectors:
    """Returns unit vectors (count, dimension) float32, evenly on the sphere."""
    vectors = rng.normal(size=(count, dimension)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def people(rng: Rng, count: int, photos_each: int = 5, cosine: float = 0.66) -> tuple[Vectors, Vectors]:
    """Returns photos (count × photos_each, DIMENSION) and their people's centres (count, DIMENSION)."""
    centres = units(rng, count)
    noise = units(rng, count * photos_each)
    photos = np.sqrt(cosine) * np.repeat(centres, photos_each, axis=0) + np.sqrt(1 - cosine) * noise
    return (photos / np.linalg.norm(photos, axis=1, keepdims=True)).astype(np.float32), centres


def add_some(
    index: VectorIndex, plain: NumpyIndex, rng: Rng, next_id: int, *, most: int, dimension: int = DIMENSION
) -> int:
    """Adds vectors, fewer than the most, to both, under ids with gaps between them; returns the id after theirs."""
    ids = np.arange(next_id, next_id + rng.integers(1, most), dtype=np.int64)
    ids += np.sort(rng.integers(0, 5, len(ids)))
    vectors = units(rng, len(ids), dimension)
    index.add(ids, vectors)
    plain.add(ids, vectors)
    return int(ids[-1]) + 1


def keep_up(index: VectorIndex) -> int:
    """Does all upkeep that there is; returns how many pieces that were."""
    count = 0
    while (work := index.upkeep()) is not None:
        work()()
        count += 1
        assert count < 100, "upkeep never ends"
    return count


def saved_and_restored(kind: Kind, index: VectorIndex) -> VectorIndex:
    """Returns the index as a snapshot would bring it back: from read-only arrays."""
    assert kind.restore is not None
    arrays = {name: array.whole() for name, array in index.to_arrays().items()}
    for array in arrays.values():
        array.flags.writeable = False
    return kind.restore(arrays)


def recall(found: Sequence[Neighbours], expected: Sequence[Neighbours]) -> float:
    """Returns the share of the expected ids that were found."""
    hits = sum(len(np.intersect1d(ids, wanted)) for (ids, _), (wanted, _) in zip(found, expected, strict=True))
    wanted_count = sum(len(wanted) for wanted, _ in expected)
    return hits / wanted_count if wanted_count else 1.0


def assert_answers(kind: Kind, index: VectorIndex, plain: NumpyIndex, rng: Rng) -> None:
    """Compares with the plain index: exact searches for equality, others for their own order, ids and recall."""
    live = index.live_ids()
    assert live.tolist() == sorted(plain.vectors)
    some = np.sort(rng.choice(live, len(live) // 3, replace=False)) if len(live) else live
    few = some[:7]
    unknown = np.array([10**12, 10**12 + 5])
    for query_count, k in ((1, 10), (3, 1), (7, 40), (2, 5000)):
        queries = units(rng, query_count)
        for allowed in (None, some, few, live[:0], unknown):
            expected = plain.search(queries, k, allowed)
            _assert_exact(kind, index.search(queries, k, allowed, exact=True), expected)
            found = index.search(queries, k, allowed)
            if kind.always_exact:
                _assert_exact(kind, found, expected)
            else:
                _assert_sound(kind, found, expected, plain, queries, allowed)


def _assert_exact(kind: Kind, found: Sequence[Neighbours], expected: Sequence[Neighbours]) -> None:
    assert len(found) == len(expected)
    for (ids, cosines), (wanted_ids, wanted_cosines) in zip(found, expected, strict=True):
        assert len(ids) == len(wanted_ids)
        np.testing.assert_allclose(cosines, wanted_cosines, atol=kind.tolerance)
        # Equally alike faces, within rounding, may change places.
        for place in np.flatnonzero(ids != wanted_ids):
            twin = np.flatnonzero(wanted_ids == ids[place])
            cosine = wanted_cosines[twin[0]] if len(twin) else wanted_cosines[-1]
            assert abs(cosine - wanted_cosines[place]) <= kind.tolerance


def _assert_sound(
    kind: Kind,
    found: Sequence[Neighbours],
    expected: Sequence[Neighbours],
    plain: NumpyIndex,
    queries: Vectors,
    allowed: Ids | None,
) -> None:
    permitted = None if allowed is None else set(allowed.tolist())
    for query, (ids, cosines), (wanted_ids, _) in zip(queries, found, expected, strict=True):
        assert len(ids) == len(wanted_ids)
        assert len(set(ids.tolist())) == len(ids)
        assert (np.diff(cosines) <= 0).all()
        if permitted is not None:
            assert permitted.issuperset(ids.tolist())
        true = np.array([plain.vectors[face_id] @ query for face_id in ids.tolist()], dtype=np.float32)
        np.testing.assert_allclose(cosines, true, atol=kind.tolerance)
    assert recall(found, expected) >= 0.9


class IndexConformance:
    """Subclasses give the fixture ``kind``."""

    def test_it_answers_like_a_plain_index_through_random_changes(self, kind: Kind, rng: Rng) -> None:
        index, plain, next_id = kind.empty(), NumpyIndex(), 1
        for step in range(24):
            next_id = add_some(index, plain, rng, next_id, most=700)
            gone = rng.choice(np.arange(next_id + 5), rng.integers(0, next_id // 6 + 1), replace=False)
            assert index.remove(gone) == plain.remove(gone)
            if step % 3 == 2:
                keep_up(index)
            if step % 10 == 9 and kind.restore is not None:
                index = saved_and_restored(kind, index)
            if step % 4 == 0:
                assert_answers(kind, index, plain, rng)
        assert_answers(kind, index, plain, rng)

    def test_an_empty_index_finds_nothing(self, kind: Kind, rng: Rng) -> None:
        index = kind.empty()
        for allowed in (None, np.array([1, 2], dtype=np.int64)):
            for exact in (False, True):
                for ids, cosines in index.search(units(rng, 3), 5, allowed, exact=exact):
                    assert len(ids) == len(cosines) == 0
        assert index.remove(np.array([1], dtype=np.int64)) == 0
        assert index.live_ids().tolist() == []
        assert keep_up(index) == 0
        assert index.facts().face_count == 0

    def test_an_index_emptied_by_removals_finds_nothing_and_can_be_filled_again(self, kind: Kind, rng: Rng) -> None:
        index = kind.empty()
        index.add(np.arange(3000, dtype=np.int64), units(rng, 3000))
        keep_up(index)
        assert index.remove(np.arange(3000, dtype=np.int64)) == 3000
        assert len(index.search(units(rng, 1), 5)[0][0]) == 0
        keep_up(index)
        assert index.facts().tombstone_count == 0
        assert len(index.search(units(rng, 1), 5)[0][0]) == 0
        vectors = units(rng, 50)
        index.add(np.arange(5000, 5050, dtype=np.int64), vectors)
        assert index.search(vectors[7:8], 1)[0][0].tolist() == [5007]

    def test_a_removed_face_comes_back_only_under_a_new_id(self, kind: Kind, rng: Rng) -> None:
        index = kind.empty()
        vectors = units(rng, 4000)
        index.add(np.arange(4000, dtype=np.int64), vectors)
        keep_up(index)
        index.remove(np.array([77], dtype=np.int64))
        assert 77 not in index.search(vectors[77:78], 10)[0][0]
        with pytest.raises(ValueError, match="ascending"):
            index.add(np.array([77], dtype=np.int64), vectors[77:78])
        index.add(np.array([4000], dtype=np.int64), vectors[77:78])
        ids, cosines = index.search(vectors[77:78], 10)[0]
        assert ids[0] == 4000
        assert cosines[0] == pytest.approx(1.0, abs=kind.tolerance)
        assert index.remove(np.array([77], dtype=np.int64)) == 0

    def test_ids_that_do_not_rise_and_other_shapes_are_refused_and_change_nothing(self, kind: Kind, rng: Rng) -> None:
        index = kind.empty()
        index.add(np.array([5, 7], dtype=np.int64), units(rng, 2))
        for ids in ([7], [3], [9, 8], [9, 9]):
            with pytest.raises(ValueError, match="ascending"):
                index.add(np.array(ids, dtype=np.int64), units(rng, len(ids)))
        with pytest.raises(ValueError, match="vectors must be"):
            index.add(np.array([9], dtype=np.int64), units(rng, 1, DIMENSION * 2))
        with pytest.raises(ValueError, match="vectors must be"):
            index.add(np.array([9, 10], dtype=np.int64), units(rng, 1))
        assert index.live_ids().tolist() == [5, 7]
        assert index.facts().face_count == 2

    def test_reconstructing_gives_the_vectors_back_and_a_removed_id_is_a_key_error(self, kind: Kind, rng: Rng) -> None:
        index = kind.empty()
        vectors = units(rng, 3000)
        index.add(np.arange(3000, dtype=np.int64), vectors)
        keep_up(index)
        wanted = np.array([2999, 1, 1500], dtype=np.int64)
        np.testing.assert_allclose(index.reconstruct(wanted), vectors[wanted], atol=kind.tolerance)
        index.remove(np.array([1], dtype=np.int64))
        for missing in (1, 3000, -1):
            with pytest.raises(KeyError):
                index.reconstruct(np.array([2999, missing], dtype=np.int64))

    def test_photos_of_known_people_and_of_strangers_find_their_nearest(self, kind: Kind, rng: Rng) -> None:
        photos, centres = people(rng, 4000)
        index, plain = kind.empty(), NumpyIndex()
        for start in range(0, len(photos), 5000):
            ids = np.arange(start, start + 5000, dtype=np.int64)
            index.add(ids, photos[start : start + 5000])
            plain.add(ids, photos[start : start + 5000])
        keep_up(index)
        strangers, _ = people(rng, 200, 1)
        mates = 0.8 * centres[:200] + 0.6 * units(rng, 200)
        mates /= np.linalg.norm(mates, axis=1, keepdims=True)
        for queries in (mates.astype(np.float32), strangers):
            expected = plain.search(queries, 10)
            assert recall(index.search(queries, 10), expected) >= 0.99
            assert recall(index.search(queries, 10, exact=True), expected) >= 0.9999

    def test_a_confined_search_is_as_good_at_any_selectivity(self, kind: Kind, rng: Rng) -> None:
        photos, _ = people(rng, 3000)
        ids = np.arange(len(photos), dtype=np.int64)
        index, plain = kind.empty(), NumpyIndex()
        index.add(ids, photos)
        plain.add(ids, photos)
        keep_up(index)
        gone = np.sort(rng.choice(ids, 2000, replace=False))
        index.remove(gone)
        plain.remove(gone)
        queries = units(rng, 40)
        for share in (0.0002, 0.002, 0.02, 0.2, 0.6, 0.97):
            allowed = np.sort(rng.choice(ids, max(1, int(share * len(ids))), replace=False))
            expected = plain.search(queries, 10, allowed)
            assert recall(index.search(queries, 10, allowed), expected) >= 0.99, share
            _assert_exact(kind, index.search(queries, 10, allowed, exact=True), expected)

    def test_facts_tell_the_truth_and_compaction_gives_memory_back(self, kind: Kind, rng: Rng) -> None:
        index = kind.empty()
        index.add(np.arange(8000, dtype=np.int64), units(rng, 8000))
        keep_up(index)
        before = index.facts()
        assert (before.face_count, before.tombstone_count) == (8000, 0)
        assert 0.0 < before.recall_unseen <= 1.0
        index.remove(np.arange(0, 8000, 2, dtype=np.int64))
        assert index.facts().face_count == 4000
        assert keep_up(index) > 0
        after = index.facts()
        assert (after.face_count, after.tombstone_count) == (4000, 0)
        assert after.memory_bytes + after.mapped_bytes < before.memory_bytes + before.mapped_bytes

    def test_what_changes_while_upkeep_is_prepared_is_in_what_it_publishes(self, kind: Kind, rng: Rng) -> None:
        index, plain = kind.empty(), NumpyIndex()
        vectors = units(rng, 12_000)

        def add(start: int, stop: int) -> None:
            ids = np.arange(start, stop, dtype=np.int64)
            index.add(ids, vectors[start:stop])
            plain.add(ids, vectors[start:stop])

        def remove(ids: Ids) -> None:
            assert index.remove(ids) == plain.remove(ids)

        add(0, 6000)
        next_id = 6000
        for more, gone in ((0, 1200), (2500, 2200), (500, 4000), (2000, 100)):
            work = index.upkeep()
            publish = work() if work is not None else None
            if more:
                add(next_id, next_id + more)
                next_id += more
            remove(rng.choice(sorted(plain.vectors), gone, replace=False))
            if publish is not None:
                publish()
            assert_answers(kind, index, plain, rng)
        keep_up(index)
        assert_answers(kind, index, plain, rng)

    def test_a_saved_index_is_unmoved_by_what_comes_after_and_holds_nothing_removed(self, kind: Kind, rng: Rng) -> None:
        if kind.restore is None:
            pytest.skip(f"{kind.name} keeps itself and is not saved")
        index, plain = kind.empty(), NumpyIndex()
        vectors = units(rng, 9000)
        index.add(np.arange(6000, dtype=np.int64), vectors[:6000])
        keep_up(index)
        index.add(np.arange(6000, 7000, dtype=np.int64), vectors[6000:7000])
        index.remove(np.arange(100, 300, dtype=np.int64))
        kept = np.setdiff1d(np.arange(7000, dtype=np.int64), np.arange(100, 300))
        plain.add(kept, vectors[kept])
        arrays = index.to_arrays()
        # Only now, as a snapshot is written while changes go on.
        index.add(np.arange(7000, 9000, dtype=np.int64), vectors[7000:])
        index.remove(np.arange(5000, 8000, dtype=np.int64))
        keep_up(index)
        written = {name: array.whole() for name, array in arrays.items()}
        content = b"".join(array.tobytes() for array in written.values())
        assert vectors[150].tobytes() not in content
        assert vectors[350].tobytes() in content
        restored = kind.restore(written)
        assert_answers(kind, restored, plain, rng)
        for name in arrays:
            broken = {key: array for key, array in written.items() if key != name}
            with pytest.raises((KeyError, ValueError)):
                kind.restore(broken)

    def test_searches_beside_changes_and_upkeep_are_never_wrong(self, kind: Kind, rng: Rng) -> None:
        """As the service does it: one lock, one writer, one thread of upkeep, several readers; planted faces."""
        index, lock = kind.empty(), SharedLock()
        planted = units(rng, 64)
        index.add(np.arange(64, dtype=np.int64), planted)
        wrong: list[str] = []
        end = threading.Event()

        def write() -> None:
            own, next_id = np.random.default_rng(1), 64
            alive: list[int] = []
            for _ in range(60):
                count = int(own.integers(50, 400))
                with lock.writing():
                    index.add(np.arange(next_id, next_id + count, dtype=np.int64), units(own, count))
                alive += range(next_id, next_id + count)
                next_id += count
                doomed = set(own.choice(alive, len(alive) // 3, replace=False).tolist())
                with lock.writing():
                    index.remove(np.array(sorted(doomed), dtype=np.int64))
                alive = [face_id for face_id in alive if face_id not in doomed]
            end.set()

        def keep() -> None:
            while not end.is_set():
                with lock.reading():
                    work = index.upkeep()
                if work is not None:
                    publish = work()
                    with lock.writing():
                        publish()
                end.wait(0.001)

        def look(seed: int) -> None:
            own = np.random.default_rng(seed)
            while not end.is_set():
                place = int(own.integers(64))
                exact = bool(own.integers(2))
                with lock.reading():
                    live = index.live_ids()
                    ids, cosines = index.search(planted[place : place + 1], 5, exact=exact)[0]
                if not len(ids) or ids[0] != place or abs(cosines[0] - 1) > kind.tolerance:
                    wrong.append(f"planted {place}: {ids}, {cosines}")
                if not np.isin(ids, live).all():
                    wrong.append("a removed face")

        with _failures_of_threads(wrong) as guarded:
            threads = [
                threading.Thread(target=guarded(work, *arguments))
                for work, *arguments in ((write,), (keep,), (look, 1), (look, 2), (look, 3))
            ]
            for thread in threads:
                thread.start()
            threads[0].join(240)
            end.set()
            for thread in threads:
                thread.join(60)
        assert wrong == []
        assert len(index.live_ids()) > 64


@contextmanager
def _failures_of_threads(wrong: list[str]) -> Iterator[Callable[..., Callable[[], None]]]:
    def guarded(work: Callable[..., Any], *arguments: Any) -> Callable[[], None]:
        def run() -> None:
            try:
                work(*arguments)
            except BaseException as error:
                wrong.append(repr(error))
                raise

        return run

    yield guarded
