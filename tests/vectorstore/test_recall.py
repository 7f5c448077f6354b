"""How many candidates are compared, and that all are where candidates do not find what they must."""

from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt
import pytest

from tests.vectorstore.index_conformance import DIMENSION, keep_up, people, recall, units
from tests.vectorstore.numpy_index import NumpyIndex
from vectorstore.index.base import Vectors
from vectorstore.index.cpu import COMPRESSED_KIND, CpuIndex, CpuPlan
from vectorstore.index.mapped import MappedFiles
from vectorstore.index.recall import MAX_CANDIDATES, RerankCurve, RowLists, measure

Rng = np.random.Generator


@pytest.fixture(autouse=True)
def one_thread_each() -> None:
    faiss.omp_set_num_threads(1)


def _filled(folder: Path, vectors: Vectors, same_person_similarity: float) -> tuple[CpuIndex, NumpyIndex]:
    index = CpuIndex(DIMENSION, CpuPlan(2048, same_person_similarity, mapped=MappedFiles(folder)))
    plain, ids = NumpyIndex(), np.arange(len(vectors), dtype=np.int64)
    index.add(ids, vectors)
    plain.add(ids, vectors)
    keep_up(index)
    assert index.facts().kind == COMPRESSED_KIND
    return index, plain


def test_strangers_are_measured_where_a_person_has_more_photos_than_neighbours_are_looked_at(
    tmp_path: Path, rng: Rng
) -> None:
    photos, _ = people(rng, 12, 400, cosine=0.8)
    index, plain = _filled(tmp_path, photos, 0.5)
    facts = index.facts()
    assert facts.recall_unseen >= 0.99
    assert facts.rerank_count > 0
    strangers = units(rng, 200)
    assert recall(index.search(strangers, 10), plain.search(strangers, 10)) >= 0.99


def test_all_are_compared_in_a_gallery_of_one_person_since_nobody_knows_what_strangers_need(
    tmp_path: Path, rng: Rng
) -> None:
    photos, _ = people(rng, 1, 5000, cosine=0.8)
    index, plain = _filled(tmp_path, photos, 0.5)
    facts = index.facts()
    assert (facts.recall_unseen, facts.rerank_count) == (0.0, 0)
    queries = units(rng, 50)
    assert recall(index.search(queries, 10), plain.search(queries, 10)) >= 0.9999


def test_all_are_compared_where_the_most_candidates_do_not_find_enough(tmp_path: Path, rng: Rng) -> None:
    """Vectors that differ by less than a step of the codes; and nobody is anybody's other photo."""
    centre = units(rng, 1)
    photos = centre + np.float32(1e-3) * units(rng, 12_000)
    photos = (photos / np.linalg.norm(photos, axis=1, keepdims=True)).astype(np.float32)
    index, plain = _filled(tmp_path, photos, 2.0)
    facts = index.facts()
    assert 0.0 < facts.recall_unseen < 0.99
    assert facts.rerank_count == 0
    queries = units(rng, 50)
    assert recall(index.search(queries, 10), plain.search(queries, 10)) >= 0.9999


def _curve(rank_of: npt.NDArray[np.int64], cosines: npt.NDArray[np.float32]) -> RerankCurve:
    """Measures 64 queries whose n-th nearest the codes put at place rank_of[n]; cosines: of the nearest to them."""

    def true_neighbours(queries: Vectors, count: int) -> tuple[RowLists, npt.NDArray[np.float32]]:
        rows = np.tile(np.arange(min(count, len(rank_of))), (len(queries), 1))
        return rows, np.tile(cosines[: rows.shape[1]], (len(queries), 1))

    def by_codes(queries: Vectors, count: int) -> RowLists:
        order = np.full(count, 10_000)
        order[rank_of] = np.arange(len(rank_of))
        return np.tile(order, (len(queries), 1))

    vectors = np.zeros((64, 4), np.float32)
    return measure(vectors, np.full(64, 20_000), 0.5, true_neighbours, by_codes)


def test_where_more_neighbours_take_more_than_in_proportion_so_many_are_compared() -> None:
    ranks = np.concatenate([np.arange(10), 10 + 30 * np.arange(1, 55)])
    curve = _curve(ranks, np.zeros(len(ranks), np.float32))
    assert curve.candidates(10) < 40
    assert curve.candidates(50) > ranks[49]
    # What was not measured is not believed to go on like that.
    assert curve.candidates(100) <= 2 * curve.candidates(50) + 1
    assert curve.is_enough


def test_recall_is_not_taken_for_granted_where_it_cannot_be_measured() -> None:
    ranks = np.arange(100)
    measured = _curve(ranks, np.zeros(100, np.float32))
    assert (measured.recall_seen, measured.recall_unseen) == (1.0, 1.0)
    all_the_same = _curve(ranks, np.ones(100, np.float32))
    assert (all_the_same.recall_seen, all_the_same.recall_unseen) == (1.0, 0.0)
    assert not all_the_same.is_enough
    few_others = _curve(ranks, np.concatenate([np.ones(70), np.zeros(30)]).astype(np.float32))
    assert few_others.is_enough
    assert few_others.candidates(50) == pytest.approx(5 * few_others.for_ten, abs=1)
    assert _curve(np.arange(MAX_CANDIDATES - 100, MAX_CANDIDATES), np.zeros(100, np.float32)).is_enough
