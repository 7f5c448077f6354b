"""Requests that wait for the same scan are answered by one, and nothing else changes for any of them."""

import asyncio
import threading
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from tests.vectorstore.conftest import StartStore, Store
from tests.vectorstore.wire import DIMENSION, MODEL, add, add_one, ids, photo, random_unit, refused, search
from vectorstore import searching
from vectorstore.search import search_gallery

Rng = np.random.Generator


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the groups that were searched for together."""
    sizes: list[int] = []

    def noted(view: Any, jobs: Any) -> Any:
        sizes.append(len(jobs))
        return search_gallery(view, jobs)

    monkeypatch.setattr(searching, "search_gallery", noted)
    return sizes


async def _hold_up(store: Store, waiting: list[Any], count: int) -> list[Any]:
    """Sends searches while the only thread is held up by a writer, so that they wait together."""
    view = store.service._follower._projection.get("default")
    with view.lock.writing():
        first = asyncio.ensure_future(search(store.stub, random_unit(np.random.default_rng(1))))
        await asyncio.sleep(0.2)
        tasks = [asyncio.ensure_future(call) for call in waiting]
        await asyncio.sleep(0.3)
        assert len(tasks) == count
    return await asyncio.gather(first, *tasks, return_exceptions=True)


async def test_searches_that_wait_are_answered_by_one_scan_and_each_with_its_own(
    start_store: StartStore, groups: list[int], rng: Rng
) -> None:
    async with start_store(search_threads=1) as store:
        await store.stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))
        vectors = [random_unit(rng) for _ in range(10)]
        added = await add(store.stub, *[photo(vector) for vector in vectors])
        calls: list[Any] = [search(store.stub, vector, limit=3) for vector in vectors]
        calls.append(search(store.stub, 10**9, limit=3))
        calls.append(search(store.stub, vectors[0], limit=3, min_similarity=0.999))
        results = (await _hold_up(store, calls, 12))[1:]
        assert groups == [1, 12]
        for place, answer in enumerate(added):
            assert ids(results[place][0].matches)[0] == answer.photo_id
            assert len(results[place][0].matches) == 3
        assert isinstance(results[10], grpc.aio.AioRpcError)
        assert results[10].code() is grpc.StatusCode.NOT_FOUND
        assert ids(results[11][0].matches) == [added[0].photo_id]


async def test_searches_that_want_different_scans_are_not_mixed(
    start_store: StartStore, groups: list[int], rng: Rng
) -> None:
    async with start_store(search_threads=1) as store:
        await store.stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))
        vector = random_unit(rng)
        one = await add_one(store.stub, photo(vector, collection="a"))
        other = await add_one(store.stub, photo(vector, collection="b"))
        calls = [
            search(store.stub, vector, limit=2, collections=["a"]),
            search(store.stub, vector, limit=2, collections=["b"]),
            search(store.stub, vector, limit=2),
            search(store.stub, vector, limit=2, accuracy=pb.ACCURACY_EXACT),
            search(store.stub, vector, limit=2, collections=["a"]),
        ]
        results = (await _hold_up(store, calls, 5))[1:]
        assert groups == [1, 2, 1, 1, 1]
        for result, expected in zip(
            results,
            ([one], [other], [one, other], [one, other], [one]),
            strict=True,
        ):
            assert sorted(ids(result[0].matches)) == sorted(photo.photo_id for photo in expected)


async def test_a_lone_search_waits_for_nobody(start_store: StartStore, groups: list[int], rng: Rng) -> None:
    async with start_store() as store:
        await store.stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))
        for _ in range(5):
            await search(store.stub, random_unit(rng))
        assert groups == [1] * 5


async def test_one_that_waits_no_longer_is_left_out_and_frees_its_place(
    start_store: StartStore, groups: list[int], rng: Rng
) -> None:
    async with start_store(search_threads=1, search_queue_size=3) as store:
        await store.stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))
        view = store.service._follower._projection.get("default")
        released = threading.Event()
        with view.lock.writing():
            first = asyncio.ensure_future(search(store.stub, random_unit(rng)))
            await asyncio.sleep(0.2)
            leaving = [asyncio.ensure_future(search(store.stub, random_unit(rng))) for _ in range(3)]
            await asyncio.sleep(0.2)
            with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED"):
                await search(store.stub, random_unit(rng))
            for call in leaving:
                call.cancel()
            await asyncio.sleep(0.2)
            staying = asyncio.ensure_future(search(store.stub, random_unit(rng)))
            await asyncio.sleep(0.2)
            released.set()
        await first
        await staying
        assert groups == [1, 1]


async def test_a_search_is_confined_by_collection_person_and_time_together(stub: Any, rng: Rng) -> None:
    vector = random_unit(rng)
    ada = await add_one(stub, photo(vector, person="Ada", collection="a"))
    grace = await add_one(stub, photo(vector, person="Grace", collection="a"))
    crowd = await add_one(stub, photo(vector, vector, persons=["Grace", ""], collection="b"))
    found = {message.photo_id: name for name, message in (("ada", ada), ("grace", grace), ("crowd", crowd))}

    async def names(**confined: Any) -> list[str]:
        (result,) = await search(stub, vector, limit=10, **confined)
        return sorted(found[photo_id] for photo_id in ids(result.matches))

    assert await names() == ["ada", "crowd", "crowd", "grace"]
    assert await names(persons=["Grace"]) == ["crowd", "grace"]
    assert await names(persons=["Grace", "Ada"], collections=["a"]) == ["ada", "grace"]
    assert await names(persons=["nobody"]) == []
    assert await names(persons=["Grace"], collections=["b"]) == ["crowd"]
    after, before = grace.create_time, crowd.create_time
    assert await names(added_after=after) == ["crowd", "crowd", "grace"]
    assert await names(added_after=after, added_before=before) == ["grace"]
    assert await names(added_before=ada.create_time) == []
    assert await names(added_after=after, persons=["Grace"], collections=["b"]) == ["crowd"]
    for mode in (pb.MATCH_MODE_LOOKALIKE, pb.MATCH_MODE_SAME_PERSON):
        (result,) = await search(stub, vector, mode=mode, persons=["Ada"])
        shown = ids([*result.matches, *result.yourself])
        assert shown == [ada.photo_id]


async def test_a_time_that_is_none_and_too_many_names_are_refused(stub: Any, rng: Rng) -> None:
    for fields in (
        {"added_after": Timestamp(nanos=-1)},
        {"added_before": Timestamp(seconds=10**15)},
        {"persons": ["x"] * 1001},
    ):
        with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD") as refusal:
            await search(stub, random_unit(rng), **fields)
        assert refusal.fields == tuple(fields)
