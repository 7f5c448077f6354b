"""A running store's index, kept up in the background and moved to another kind while searches and changes go on."""

import asyncio
from collections.abc import Callable, Sized
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from tests.vectorstore.conftest import StartStore
from tests.vectorstore.index_conformance import DIMENSION as INDEX_DIMENSION
from tests.vectorstore.index_conformance import keep_up, units
from tests.vectorstore.numpy_index import NumpyIndex
from tests.vectorstore.wire import DIMENSION, MODEL, add, ids, photo, random_unit, search
from vectorstore.index import choose
from vectorstore.index.cpu import COMPRESSED_KIND, FLAT_KIND, CpuIndex, CpuPlan
from vectorstore.index.mapped import MappedFiles
from vectorstore.index.rehouse import Move

Rng = np.random.Generator


async def _stats(stub: Any) -> pb.IndexStats:
    stats: pb.IndexStats = (await stub.GetStats(pb.GetStatsRequest())).indexes[0]
    return stats


async def _until(stub: Any, wanted: Callable[[pb.IndexStats], bool]) -> pb.IndexStats:
    async with asyncio.timeout(60):
        while True:
            stats = await _stats(stub)
            if wanted(stats):
                return stats
            await asyncio.sleep(0.05)


async def _until_any(happened: Sized) -> None:
    async with asyncio.timeout(30):
        while True:
            if len(happened):
                return
            await asyncio.sleep(0.05)


async def test_a_growing_gallery_is_compressed_and_compacted_without_a_wrong_search(
    start_store: StartStore, monkeypatch: pytest.MonkeyPatch, rng: Rng
) -> None:
    monkeypatch.setitem(choose._COMPRESS_FROM, choose.AUTO, 3000)
    async with start_store() as store:
        stub = store.stub
        await stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))
        planted = [random_unit(rng) for _ in range(40)]
        planted_ids = [answer.photo_id for answer in await add(stub, *[photo(vector) for vector in planted])]
        done, wrong, searches = asyncio.Event(), [], 0

        async def look(seed: int) -> None:
            nonlocal searches
            own = np.random.default_rng(seed)
            while not done.is_set():
                place = int(own.integers(len(planted)))
                accuracy = (pb.ACCURACY_FAST, pb.ACCURACY_EXACT)[int(own.integers(2))]
                (result,) = await search(stub, planted[place], limit=3, accuracy=accuracy)
                searches += 1
                if ids(result.matches)[0] != planted_ids[place]:
                    wrong.append(place)

        lookers = [asyncio.create_task(look(seed)) for seed in range(3)]
        assert (await _stats(stub)).kind == FLAT_KIND
        crowd = [photo(*[random_unit(rng) for _ in range(50)]) for _ in range(160)]
        await add(stub, *crowd)
        grown = await _until(stub, lambda stats: stats.kind == COMPRESSED_KIND and stats.face_count > 8000)
        assert grown.rerank_count > 0
        assert grown.recall_seen >= 0.99
        assert grown.recall_unseen >= 0.99
        assert grown.mapped_bytes == grown.face_count * DIMENSION * 4
        for message in crowd[:100]:
            await stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=message.photo_id))
        shrunk = await _until(stub, lambda stats: stats.face_count < 3200 and stats.tombstone_count < 1000)
        assert shrunk.memory_bytes < grown.memory_bytes
        done.set()
        await asyncio.gather(*lookers)
        assert wrong == []
        assert searches > 100
        (gone,) = await search(stub, np.frombuffer(crowd[0].faces[0].face.embedding.float32_le, "<f4"), limit=1)
        assert ids(gone.matches) != [crowd[0].photo_id]


async def test_a_failing_upkeep_is_told_and_leaves_searching_alone(
    start_store: StartStore, monkeypatch: pytest.MonkeyPatch, rng: Rng
) -> None:
    monkeypatch.setitem(choose._COMPRESS_FROM, choose.AUTO, 2100)
    attempts: list[int] = []

    def full(*_: object) -> None:
        attempts.append(1)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vectorstore.index.cpu_upkeep.encode_rows", full)
    async with start_store() as store:
        await store.stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))
        vector = random_unit(rng)
        answers = await add(
            store.stub, photo(vector), *[photo(*[random_unit(rng) for _ in range(100)]) for _ in range(22)]
        )
        await _until_any(attempts)
        (result,) = await search(store.stub, vector, limit=1)
        assert ids(result.matches) == [answers[0].photo_id]
        assert (await _stats(store.stub)).kind == FLAT_KIND
        assert not store.readiness.has_failed
        await asyncio.sleep(0.6)
        assert len(attempts) == 1, "what failed is tried again at once"


def test_a_gallery_that_finds_no_memory_for_codes_stays_exact(tmp_path: Path, rng: Rng) -> None:
    asked: list[int] = []

    def has_room(byte_count: int) -> bool:
        asked.append(byte_count)
        return len(asked) > 1

    plan = CpuPlan(2048, same_person_similarity=0.5, mapped=MappedFiles(tmp_path), has_room=has_room)
    index = CpuIndex(INDEX_DIMENSION, plan)
    index.add(np.arange(5000, dtype=np.int64), units(rng, 5000))
    assert index.upkeep() is None
    assert asked == [5000 * (2 * INDEX_DIMENSION + INDEX_DIMENSION // 4 + 8)]
    assert keep_up(index) > 0


def test_a_move_to_another_kind_takes_along_what_happens_meanwhile(tmp_path: Path, rng: Rng) -> None:
    plan = CpuPlan(2048, same_person_similarity=0.5, mapped=MappedFiles(tmp_path))
    flat = CpuPlan(None, same_person_similarity=0.5, mapped=MappedFiles(tmp_path))
    old, plain = CpuIndex(INDEX_DIMENSION, plan), NumpyIndex()
    vectors = units(rng, 6000)
    ids_ = np.arange(6000, dtype=np.int64)
    for index in (old, plain):
        index.add(ids_[:4000], vectors[:4000])
    keep_up(old)
    move = Move(old, lambda arrays: CpuIndex.from_arrays(arrays, INDEX_DIMENSION, flat))
    finish = move.fill()
    for index in (old, plain):
        index.add(ids_[4000:], vectors[4000:])
        index.remove(np.arange(0, 6000, 7, dtype=np.int64))
    new = finish()
    assert new.facts().kind == FLAT_KIND
    assert new.live_ids().tolist() == sorted(plain.vectors)
    queries = units(rng, 5)
    for (found, _), (expected, _) in zip(new.search(queries, 20), plain.search(queries, 20), strict=True):
        assert found.tolist() == expected.tolist()


async def test_auto_moves_a_large_gallery_to_a_device_that_has_room(
    start_store: StartStore, monkeypatch: pytest.MonkeyPatch, rng: Rng
) -> None:
    """The device is played by a flat index: what is tested is when the move happens, and that nothing is lost."""
    made: list[int] = []

    def make(kind: str, dimension: int, *, arrays: Any, allocate: Any, **_: Any) -> CpuIndex:
        made.append(len(arrays["ids"]))
        plan = CpuPlan(None, same_person_similarity=0.5, mapped=allocate)
        index = CpuIndex.from_arrays(arrays, dimension, plan)
        monkeypatch.setattr("vectorstore.index.choose.CPU_KINDS", ())
        return index

    room = 3000
    monkeypatch.setattr(choose, "AUTO_CUDA_FROM", 1000)
    monkeypatch.setattr("vectorstore.index.cuda_kinds.make_cuda", make)
    monkeypatch.setattr("vectorstore.index.cuda_kinds.fits", lambda _, __, count: count <= room)
    async with start_store() as store:
        await store.stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))
        vector = random_unit(rng)
        await add(store.stub, photo(vector), *[photo(*[random_unit(rng) for _ in range(100)]) for _ in range(19)])
        await asyncio.sleep(0.6)
        assert made == [], "moved to a device without room to grow"
        room = 5000
        await _until_any(made)
        assert made == [1901]
        (result,) = await search(store.stub, vector, limit=1)
        assert result.matches[0].similarity.cosine == pytest.approx(1.0, abs=1e-4)
        await add(store.stub, photo(random_unit(rng)))
        assert (await _stats(store.stub)).face_count == 1902
