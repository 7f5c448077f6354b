"""The kinds on the processor: the conformance suite, and what is theirs alone."""

from pathlib import Path

import faiss
import numpy as np
import pytest

from tests.vectorstore.index_conformance import DIMENSION, IndexConformance, Kind, keep_up, people, units
from vectorstore.index.base import Arrays
from vectorstore.index.blocks import BLOCK_ROWS, InMemory, VectorBlocks
from vectorstore.index.compressed import Candidates, rerank, to_fixed
from vectorstore.index.cpu import COMPRESSED_KIND, FLAT_KIND, CpuIndex, CpuPlan
from vectorstore.index.mapped import MappedFiles
from vectorstore.index.segment import BLOCK_ROWS as CODE_BLOCK_ROWS
from vectorstore.index.segment import Codebook, Segment

Rng = np.random.Generator


@pytest.fixture(autouse=True)
def one_thread_each() -> None:
    """As in the service: FAISS's own threads would fight over the cores with those of this test."""
    faiss.omp_set_num_threads(1)


def _kind(name: str, folder: Path, compress_from: int | None) -> Kind:
    plan = CpuPlan(compress_from, same_person_similarity=0.5, mapped=MappedFiles(folder))
    return Kind(
        name=name,
        empty=lambda: CpuIndex(DIMENSION, plan),
        restore=lambda arrays: CpuIndex.from_arrays(arrays, DIMENSION, plan),
        always_exact=compress_from is None,
    )


class TestFlat(IndexConformance):
    @pytest.fixture
    def kind(self, tmp_path: Path) -> Kind:
        return _kind("flat", tmp_path, None)


class TestCompressed(IndexConformance):
    @pytest.fixture
    def kind(self, tmp_path: Path) -> Kind:
        return _kind("compressed", tmp_path, 2048)


class TestAuto(IndexConformance):
    """Small enough a threshold that it is crossed in both directions."""

    @pytest.fixture
    def kind(self, tmp_path: Path) -> Kind:
        return _kind("auto", tmp_path, 5000)


def _compressed(folder: Path) -> CpuIndex:
    return CpuIndex(DIMENSION, CpuPlan(2048, same_person_similarity=0.5, mapped=MappedFiles(folder)))


def test_a_gallery_that_grows_is_compressed_and_its_vectors_leave_memory(tmp_path: Path, rng: Rng) -> None:
    index = _compressed(tmp_path)
    index.add(np.arange(2000, dtype=np.int64), units(rng, 2000))
    assert keep_up(index) == 0
    assert index.facts().kind == FLAT_KIND
    index.add(np.arange(2000, 6000, dtype=np.int64), units(rng, 4000))
    assert keep_up(index) > 0
    facts = index.facts()
    assert facts.kind == COMPRESSED_KIND
    assert facts.mapped_bytes == 6000 * DIMENSION * 4
    # 16 bits a value, half a byte for two values, and what the rows take.
    assert facts.memory_bytes < 6000 * (DIMENSION * 2 + DIMENSION / 4 + 40)
    assert list(tmp_path.iterdir()) == [], "a mapped file has a name, and would outlive the process"


def test_a_gallery_that_is_being_filled_is_left_alone_until_it_is_quiet_or_has_many_uncoded(
    tmp_path: Path, rng: Rng, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vectorstore.index.cpu_upkeep._GROWING_ROWS", 6000)
    plan = CpuPlan(2048, same_person_similarity=0.5, mapped=MappedFiles(tmp_path), quiet_s=1000.0)
    index = CpuIndex(DIMENSION, plan)
    for start in (0, 4000):
        assert keep_up(index) == 0
        index.add(np.arange(start, start + 4000, dtype=np.int64), units(rng, 4000))
    assert keep_up(index) == 1
    assert index.facts().kind == COMPRESSED_KIND
    index.add(np.arange(8000, 13_000, dtype=np.int64), units(rng, 5000))
    assert keep_up(index) == 0
    monkeypatch.setattr(index, "_last_add_s", -np.inf)
    assert keep_up(index) >= 2
    index.add(np.arange(13_000, 13_100, dtype=np.int64), units(rng, 100))
    index.remove(np.arange(0, 12_000, 2, dtype=np.int64))
    assert keep_up(index) == 1, "compaction waits for nobody"


def test_a_gallery_that_never_is_quiet_is_kept_up_all_the_same(tmp_path: Path, rng: Rng) -> None:
    plan = CpuPlan(2048, same_person_similarity=0.5, mapped=MappedFiles(tmp_path), quiet_s=1000.0)
    index = CpuIndex(DIMENSION, plan)
    index.add(np.arange(4000, dtype=np.int64), units(rng, 4000))
    assert index.upkeep() is None
    index._put_off_since_s -= 10_001.0
    assert index.upkeep() is not None
    assert index.upkeep() is None, "and is then put off again"


def test_few_faces_that_are_left_with_codes_are_not_measured_for_ever(tmp_path: Path, rng: Rng) -> None:
    index = _compressed(tmp_path)
    index.add(np.arange(2100, dtype=np.int64), units(rng, 2100))
    keep_up(index)
    index.remove(np.arange(1020, dtype=np.int64))
    keep_up(index)
    index.remove(np.arange(1020, 2000, dtype=np.int64))
    restored = CpuIndex.from_arrays(
        {name: array.whole() for name, array in index.to_arrays().items()},
        DIMENSION,
        CpuPlan(2048, same_person_similarity=0.5, mapped=MappedFiles(tmp_path)),
    )
    for left in (index, restored):
        keep_up(left)
        assert left.facts().face_count == 100


def test_a_search_that_is_done_in_pieces_finds_the_same(
    tmp_path: Path, rng: Rng, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = _compressed(tmp_path)
    index.add(np.arange(6000, dtype=np.int64), units(rng, 6000))
    keep_up(index)
    queries = units(rng, 9)
    for k in (10, 700):
        whole = index.search(queries, k)
        with monkeypatch.context() as patched:
            patched.setattr("vectorstore.index.cpu._MOST_CANDIDATES", 1)
            patched.setattr("vectorstore.index.compressed._COMPARED_ROWS", 100)
            pieces = index.search(queries, k)
        for (ids, cosines), (same_ids, same_cosines) in zip(whole, pieces, strict=True):
            assert ids.tolist() == same_ids.tolist()
            np.testing.assert_allclose(cosines, same_cosines, atol=1e-6)


def test_the_curve_is_measured_on_the_gallery_and_reaches_its_target(tmp_path: Path, rng: Rng) -> None:
    index = _compressed(tmp_path)
    photos, _ = people(rng, 4000)
    index.add(np.arange(len(photos), dtype=np.int64), photos)
    keep_up(index)
    facts = index.facts()
    assert facts.recall_seen >= 0.995
    assert facts.recall_unseen >= 0.995
    assert 10 < facts.rerank_count < len(photos)


def test_a_gallery_whose_dimensions_are_uneven_is_rotated_first(rng: Rng, monkeypatch: pytest.MonkeyPatch) -> None:
    scale = (np.arange(1, DIMENSION + 1) ** -1.0).astype(np.float32)
    vectors = (units(rng, 6000) * scale).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert Codebook.trained(units(rng, 6000)).rotation is None
    rotated = Codebook.trained(vectors)
    assert rotated.rotation is not None
    np.testing.assert_allclose(rotated.rotation @ rotated.rotation.T, np.eye(DIMENSION), atol=1e-5)
    monkeypatch.setattr("vectorstore.index.segment._EVEN_SPREAD", np.inf)
    plain = Codebook.trained(vectors)
    assert plain.rotation is None
    truth = np.argsort(-(vectors[:300] @ vectors.T), axis=1)[:, :10]

    def found(codebook: Codebook) -> int:
        segment = Segment(codebook, codebook.encode(vectors), len(vectors))
        _, rows = segment.search(codebook.rotated(vectors[:300]), 40, None)
        return sum(len(np.intersect1d(row, true)) for row, true in zip(rows, truth, strict=True))

    assert found(rotated) > found(plain)


def test_codes_made_in_pieces_are_the_codes_made_at_once(rng: Rng) -> None:
    vectors = units(rng, 40 * CODE_BLOCK_ROWS + 5)
    codebook = Codebook.trained(units(rng, 3000))
    pieces = [codebook.encode(vectors[: 8 * CODE_BLOCK_ROWS]), codebook.encode(vectors[8 * CODE_BLOCK_ROWS :])]
    whole = Segment(codebook, codebook.encode(vectors), len(vectors))
    joined = Segment(codebook, np.concatenate(pieces), len(vectors))
    np.testing.assert_array_equal(whole.packed, joined.packed)
    queries = units(rng, 5)
    for mask in (None, rng.random(len(vectors)) < 0.3):
        one, other = whole.search(queries, 50, mask), joined.search(queries, 50, mask)
        np.testing.assert_array_equal(np.sort(one[1]), np.sort(other[1]))
    with pytest.raises(ValueError, match="not the codes"):
        Segment(codebook, whole.packed[:-1], len(vectors))


@pytest.mark.parametrize("share", [None, 0.3, 0.004])
def test_queries_that_are_scanned_for_together_find_what_each_finds_alone(rng: Rng, share: float | None) -> None:
    vectors = units(rng, 4096)
    codebook = Codebook.trained(vectors)
    segment = Segment(codebook, codebook.encode(vectors), len(vectors))
    mask = None if share is None else rng.random(len(vectors)) < share
    queries = codebook.rotated(units(rng, 7))

    together = segment.search(queries, 40, mask)

    for place in range(len(queries)):
        cosines, rows = segment.search(queries[place : place + 1], 40, mask)
        order, same = np.lexsort((rows[0], -cosines[0])), np.lexsort((together[1][place], -together[0][place]))
        np.testing.assert_array_equal(together[0][place][same], cosines[0][order])
        np.testing.assert_array_equal(together[1][place][same], rows[0][order])


def test_rows_stay_where_they_are_while_blocks_grow(rng: Rng) -> None:
    blocks = VectorBlocks(1, np.float32, InMemory())
    values = np.arange(BLOCK_ROWS * 2 + 100, dtype=np.float32)[:, None]
    frozen = []
    for start in range(0, len(values), 9999):
        blocks.append(values[start : start + 9999])
        frozen.append(blocks.frozen(len(blocks)))
    rows = rng.integers(0, len(values), 500)
    np.testing.assert_array_equal(blocks.take(rows), values[rows])
    for part in frozen:
        np.testing.assert_array_equal(
            np.concatenate([piece for _, piece in part.pieces(0, len(part), 5000)]), values[: len(part)]
        )
    adopted = VectorBlocks(1, np.float32, InMemory())
    adopted.adopt(values)
    adopted.append(values[:10])
    np.testing.assert_array_equal(adopted.take(rows), values[rows])
    assert len(adopted) == len(values) + 10


def test_a_full_disk_leaves_the_vectors_in_memory(tmp_path: Path, rng: Rng, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    index = _compressed(tmp_path)
    vectors = units(rng, 3000)
    index.add(np.arange(3000, dtype=np.int64), vectors)
    assert keep_up(index) > 0
    assert index.search(vectors[5:6], 1, exact=True)[0][0].tolist() == [5]


def test_a_dimension_that_cannot_be_coded_stays_exact(tmp_path: Path, rng: Rng) -> None:
    index = CpuIndex(30, CpuPlan(2048, same_person_similarity=0.5, mapped=MappedFiles(tmp_path)))
    vectors = units(rng, 5000, 30)
    index.add(np.arange(5000, dtype=np.int64), vectors)
    assert keep_up(index) == 0
    assert index.search(vectors[9:10], 1)[0][0].tolist() == [9]


def test_arrays_of_something_else_are_refused(tmp_path: Path, rng: Rng) -> None:
    plan = CpuPlan(2048, same_person_similarity=0.5, mapped=MappedFiles(tmp_path))
    vectors = units(rng, 4)
    ids = np.arange(4, dtype=np.int64)
    broken: list[Arrays] = [
        {"ids": ids[::-1].copy(), "vectors": vectors},
        {"ids": ids[:3], "vectors": vectors},
        {"ids": ids, "vectors": vectors.astype(np.float64)},
        {"ids": ids, "vectors": vectors[:, :5]},
        {"numbers": ids},
    ]
    for arrays in broken:
        with pytest.raises((KeyError, ValueError)):
            CpuIndex.from_arrays(arrays, DIMENSION, plan)


@pytest.mark.parametrize("more_count", [0, 7])
@pytest.mark.parametrize("missing", [False, True])
def test_of_its_candidates_and_the_rows_beside_them_each_query_gets_the_nearest(
    rng: Rng, more_count: int, *, missing: bool
) -> None:
    vectors = units(rng, 500)
    fixed = VectorBlocks(DIMENSION, np.int16, InMemory())
    fixed.append(to_fixed(vectors))
    queries = units(rng, 5)
    # The nearest of all is none of the candidates, but of those beside them where these are some.
    queries[0] = vectors[490]
    rows = np.stack([rng.choice(490, 480, replace=False) for _ in queries])
    cosines = rng.random(rows.shape).astype(np.float32)
    if missing:
        rows[1, 3:], cosines[1, 3:] = -1, -np.inf
    more = np.arange(490, 490 + more_count)

    found = rerank(Candidates(cosines, rows), queries, fixed, 9, more)

    for query, best, of_one in zip(queries, found, rows, strict=True):
        candidates = np.append(of_one[of_one >= 0], more)
        exact = vectors[candidates] @ query
        wanted = np.argsort(-exact, kind="stable")[:9]
        np.testing.assert_array_equal(best[0], candidates[wanted])
        np.testing.assert_allclose(best[1], exact[wanted], atol=1e-4)
