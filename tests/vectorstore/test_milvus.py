"""The Milvus kind through Milvus Lite: the suite of all kinds, going on from a snapshot, and a Milvus that is away."""

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.errors import DependencyUnavailable, StartupError
from tests.vectorstore.index_conformance import DIMENSION, IndexConformance, Kind, units
from tests.vectorstore.numpy_index import NumpyIndex
from vectorstore.index import milvus, milvus_server
from vectorstore.index.milvus import MilvusIndex
from vectorstore.index.milvus_server import MilvusServer, replica_name

HAS_MILVUS = all(importlib.util.find_spec(name) for name in ("pymilvus", "milvus_lite"))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260101)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MilvusServer]:
    if not HAS_MILVUS:
        pytest.skip("needs the packages pymilvus and milvus-lite, which are not here")
    opened = MilvusServer.connect(str(tmp_path / "milvus.db"), tmp_path / "data")
    yield opened
    opened.close()


@pytest.fixture
def kind(server: MilvusServer) -> Kind:
    numbers = iter(range(1, 1000))
    return Kind("milvus", lambda: server.empty(next(numbers), DIMENSION), restore=None, always_exact=True)


class TestMilvus(IndexConformance):
    """All of the suite but what a kind with a snapshot of its own vectors must do."""

    @pytest.mark.skip(reason="Milvus compacts itself; the table of ids is compacted at once")
    def test_facts_tell_the_truth_and_compaction_gives_memory_back(self, kind: Kind, rng: np.random.Generator) -> None:
        raise NotImplementedError


def _saved(index: MilvusIndex) -> dict[str, Any]:
    return {name: array.whole() for name, array in index.to_arrays().items()}


def test_an_index_goes_on_from_a_snapshot_though_its_collection_is_ahead(
    server: MilvusServer, rng: np.random.Generator
) -> None:
    vectors = units(rng, 600)
    index, plain = server.empty(1, DIMENSION), NumpyIndex()
    first, later = np.arange(500, dtype=np.int64), np.arange(500, 600, dtype=np.int64)
    index.add(first, vectors[:500])
    index.remove(np.arange(10, 30, dtype=np.int64))
    arrays = _saved(index)
    index.add(later, vectors[500:])
    restored = server.restore(1, DIMENSION, arrays)
    # What came after the snapshot is not there until the change log has named it again.
    assert restored.live_ids().tolist() == [*range(10), *range(30, 500)]
    assert restored.search(vectors[550:551], 1)[0][0][0] < 500
    restored.add(later, vectors[500:])
    restored.remove(np.arange(520, 540, dtype=np.int64))
    plain.add(np.arange(600, dtype=np.int64), vectors)
    plain.remove(np.r_[10:30, 520:540])
    queries = units(rng, 5)
    for (ids, cosines), (right, right_cosines) in zip(
        restored.search(queries, 600), plain.search(queries, 600), strict=True
    ):
        assert ids.tolist() == right.tolist()
        np.testing.assert_allclose(cosines, right_cosines, atol=1e-5)


def test_a_collection_that_lacks_a_face_is_made_anew(server: MilvusServer, rng: np.random.Generator) -> None:
    index = server.empty(1, DIMENSION)
    index.add(np.arange(50, dtype=np.int64), units(rng, 50))
    arrays = _saved(index)
    server._client.delete(index._collection, ids=[7])
    with pytest.raises(ValueError, match="not in Milvus"):
        server.restore(1, DIMENSION, arrays)
    with pytest.raises(ValueError, match="no collection"):
        server.restore(2, DIMENSION, arrays)
    server.empty(2, DIMENSION)
    with pytest.raises(ValueError, match="of the collection"):
        server.restore(2, DIMENSION, arrays)
    assert len(server.empty(1, DIMENSION).search(units(rng, 1), 5)[0][0]) == 0


def test_a_delete_that_never_arrived_is_done_at_the_next_start(server: MilvusServer, rng: np.random.Generator) -> None:
    vectors = units(rng, 50)
    index = server.empty(1, DIMENSION)
    index.add(np.arange(50, dtype=np.int64), vectors)
    index.remove(np.array([7], dtype=np.int64))
    arrays = _saved(index)
    server._client.upsert(index._collection, [{"id": 7, "vector": vectors[7]}])
    restored = server.restore(1, DIMENSION, arrays)
    assert 7 not in restored.search(vectors[7:8], 50)[0][0]
    assert server._client.get(index._collection, ids=[7]) == []


def test_what_milvus_has_and_this_replica_has_not_is_never_found(
    server: MilvusServer, rng: np.random.Generator
) -> None:
    vectors = units(rng, 200)
    index = server.empty(1, DIMENSION)
    index.add(np.arange(0, 200, 2, dtype=np.int64), vectors[::2])
    strangers = [{"id": number, "vector": vectors[number]} for number in range(1, 200, 2)]
    server._client.upsert(index._collection, strangers)
    for k in (1, 10, 100):
        ids, cosines = index.search(vectors[1:2], k)[0]
        assert len(ids) == k
        assert not (ids % 2).any()
        np.testing.assert_allclose(cosines, np.sort(vectors[::2] @ vectors[1])[::-1][:k], atol=1e-5)


@pytest.mark.parametrize("share", [0.02, 0.3, 1.0])
def test_more_neighbours_than_milvus_gives_at_once_are_found(
    server: MilvusServer, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    monkeypatch.setattr(milvus, "MAX_NEIGHBOURS", 100)
    monkeypatch.setattr(milvus, "_LISTED_IDS", 40)
    vectors = units(rng, 1500)
    # Milvus Lite has no limits; Milvus has.
    limited = MilvusServer(_Limited(server._client), RuntimeError, "limited")
    index, plain = limited.empty(1, DIMENSION), NumpyIndex()
    for target in (index, plain):
        target.add(np.arange(1500, dtype=np.int64), vectors)
    allowed = np.sort(rng.choice(1500, int(share * 1500), replace=False)) if share < 1 else None
    queries = units(rng, 3)
    for k in (5, 60, 700):
        for (ids, cosines), (right, right_cosines) in zip(
            index.search(queries, k, allowed), plain.search(queries, k, allowed), strict=True
        ):
            assert ids.tolist() == right.tolist()
            np.testing.assert_allclose(cosines, right_cosines, atol=1e-5)


def test_collections_of_galleries_that_are_gone_are_dropped_and_others_are_left_alone(
    server: MilvusServer, rng: np.random.Generator
) -> None:
    kept = server.empty(1, DIMENSION)
    kept.add(np.array([5], dtype=np.int64), units(rng, 1))
    server.empty(2, DIMENSION)
    other = MilvusServer(server._client, Exception, "another")
    other.empty(2, DIMENSION)
    server.keep_only([1])
    assert sorted(server._client.list_collections()) == sorted([kept._collection, "twin_another_2"])
    assert kept.search(units(rng, 1), 1)[0][0].tolist() == [5]


class _Limited:
    """A client that asks for no more than a hundred neighbours, or among a hundred listed ids."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def search(self, collection: str, **order: Any) -> Any:
        assert order["limit"] <= 100
        assert order["filter"].count(",") < 100
        return self._client.search(collection, **order)


class _Failing:
    """A client whose calls fail for a while."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.calls = 0
        self.names: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*_: Any, **__: Any) -> Any:
            self.calls += 1
            self.names.append(name)
            if self.calls <= self.failures:
                raise ConnectionError("secret-token")
            return []

        return call


def test_writes_are_tried_again_and_searches_are_not(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    monkeypatch.setattr(milvus_server, "_FIRST_WAIT_S", 0.001)
    client = _Failing(3)
    server = MilvusServer(client, RuntimeError, "replica")
    index = MilvusIndex(server._call, "collection", DIMENSION)
    index.add(np.array([1], dtype=np.int64), units(rng, 1))
    # Not insert, which leaves two of one id when the first answer was lost.
    assert client.names == ["upsert"] * 4
    client.calls, client.failures = 0, 99
    with pytest.raises(DependencyUnavailable, match="Milvus") as raised:
        index.search(units(rng, 1), 1)
    assert "secret" not in str(raised.value)
    assert client.calls == 1
    with pytest.raises(DependencyUnavailable):
        index.add(np.array([2], dtype=np.int64), units(rng, 1))
    with pytest.raises(DependencyUnavailable):
        index.remove(np.array([1], dtype=np.int64))
    assert index.live_ids().tolist() == [1]


def test_a_milvus_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    if not HAS_MILVUS:
        with pytest.raises(StartupError, match="install the extra"):
            MilvusServer.connect("http://127.0.0.1:1", tmp_path)
        return
    with pytest.raises(StartupError, match=r"does not answer at http://127\.0\.0\.1:1"):
        MilvusServer.connect("http://127.0.0.1:1", tmp_path, token="a-secret")


def test_an_index_that_would_lose_neighbours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="HNSW"):
        MilvusServer(None, RuntimeError, "replica", "HNSW")


def test_a_replica_keeps_its_name(tmp_path: Path) -> None:
    assert replica_name(tmp_path / "a") == replica_name(tmp_path / "a")
    assert replica_name(tmp_path / "a") != replica_name(tmp_path / "b")
