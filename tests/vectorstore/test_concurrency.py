"""Searching while photos come and go: never a wrong answer."""

import asyncio
import itertools
import threading
import time
from typing import Any

import grpc
import numpy as np
import pytest
from twin.face.v1 import face_pb2
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from tests.vectorstore.conftest import Store
from tests.vectorstore.wire import add, add_one, ids, photo, random_unit, search
from vectorstore import convert
from vectorstore.answering import Answerer

Rng = np.random.Generator
DURATION_S = 6.0


async def test_searches_beside_adds_and_deletes_are_never_wrong(stub: Any, rng: Rng) -> None:
    """Planted photos must be found first, deleted ones never, while others come, go and force compactions."""
    planted = [random_unit(rng) for _ in range(50)]
    planted_ids = [answer.photo_id for answer in await add(stub, *[photo(vector) for vector in planted])]
    gone: list[tuple[Any, str]] = []
    end_s = time.monotonic() + DURATION_S
    searches = itertools.count()
    wrong: list[str] = []

    async def churn(seed: int) -> None:
        own = np.random.default_rng(seed)
        while time.monotonic() < end_s:
            vectors = [random_unit(own) for _ in range(60)]
            batch = [photo(*vectors[place : place + 6]) for place in range(0, 60, 6)]
            for answer in await add(stub, *batch):
                assert answer.HasField("photo")
            for place, message in enumerate(batch):
                await stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=message.photo_id))
                gone.append((vectors[6 * place], message.photo_id))

    async def look(seed: int) -> None:
        own = np.random.default_rng(seed)
        while time.monotonic() < end_s:
            place = int(own.integers(len(planted)))
            known = gone[int(own.integers(len(gone)))] if gone else None
            targets = [planted[place]] if known is None else [planted[place], known[0]]
            results = await search(stub, *targets, limit=3)
            next(searches)
            if results[0].matches[0].photo_id != planted_ids[place]:
                wrong.append("a planted photo was not found")
            if known is not None and known[1] in ids(results[1].matches):
                wrong.append("a deleted photo was found")

    await asyncio.gather(churn(1), churn(2), *(look(seed) for seed in range(10, 14)))
    assert wrong == []
    assert next(searches) > 50
    assert len(gone) > 50
    stats = await stub.GetStats(pb.GetStatsRequest())
    assert stats.indexes[0].face_count == len(planted)


async def test_a_photo_is_found_from_its_answer_on_and_never_after_its_deletion(stub: Any) -> None:
    async def live(seed: int) -> None:
        own = np.random.default_rng(seed)
        for _ in range(15):
            vector = random_unit(own)
            added = await add_one(stub, photo(vector))
            (result,) = await search(stub, vector, limit=1)
            assert ids(result.matches) == [added.photo_id]
            await stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=added.photo_id))
            (result,) = await search(stub, vector, limit=1)
            assert ids(result.matches) != [added.photo_id]

    await asyncio.gather(*(live(seed) for seed in range(8)))


async def test_more_searches_than_may_wait_are_refused_at_once(start_store: Any, rng: Rng) -> None:
    async with start_store(search_threads=1, search_queue_size=1) as store:
        await store.stub.CreateGallery(pb.CreateGalleryRequest(model_id="m", dimension=4))
        view = store.service._follower._projection.get("default")
        request = pb.SearchRequest(queries=[pb.Query(face_id=1)])
        with view.lock.writing():
            waiting = [asyncio.ensure_future(store.stub.Search(request)) for _ in range(6)]
            _, pending = await asyncio.wait(waiting, timeout=1.0)
            assert len(pending) == 2
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        codes = [outcome.code() for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)]
        assert sorted(code.name for code in codes) == ["NOT_FOUND"] * 2 + ["RESOURCE_EXHAUSTED"] * 4


async def test_a_follower_that_dies_turns_readiness(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(store.service._follower, "_apply_next", broken)
    store.service._follower.wake()
    await asyncio.wait_for(store.tasks.failed.wait(), 5)
    assert store.readiness.has_failed


async def test_asking_for_stats_while_a_gallery_is_locked_holds_up_nobody_else(store: Store) -> None:
    await store.stub.CreateGallery(pb.CreateGalleryRequest(model_id="m", dimension=4))
    view = store.service._follower._projection.get("default")
    locked, answered = threading.Event(), threading.Event()

    def hold() -> bool:
        with view.lock.writing():
            locked.set()
            return answered.wait(5)

    holding = asyncio.create_task(asyncio.to_thread(hold))
    await asyncio.to_thread(locked.wait, 5)
    stats = asyncio.ensure_future(store.stub.GetStats(pb.GetStatsRequest()))
    await asyncio.sleep(0.1)
    await store.stub.ListGalleries(pb.ListGalleriesRequest())
    answered.set()
    assert await holding, "the service answered nobody while the gallery was locked"
    assert (await stats).indexes[0].gallery == "default"


async def test_a_search_ends_between_two_queries_once_its_caller_is_gone(
    start_store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start_store(search_threads=1) as store:
        await store.stub.CreateGallery(pb.CreateGalleryRequest(model_id="m", dimension=1))
        answer_one, answered, begun = Answerer._nearest, itertools.count(), threading.Event()

        def slow(self: Answerer, *arguments: Any) -> Any:
            begun.set()
            next(answered)
            time.sleep(0.01)
            return answer_one(self, *arguments)

        monkeypatch.setattr(Answerer, "_nearest", slow)
        probe = pb.Query(embedding=face_pb2.Embedding(float32_le=np.ones(1, "<f4").tobytes(), model_id="m"))
        call = store.stub.Search(pb.SearchRequest(queries=[probe] * 1000, mode=pb.MATCH_MODE_NEAREST))
        await asyncio.to_thread(begun.wait, 5)
        call.cancel()
        # One thread: this one is answered only once the first has ended.
        await store.stub.Search(pb.SearchRequest(queries=[probe], mode=pb.MATCH_MODE_SAME_PERSON))
        assert next(answered) < 1000


async def test_answers_are_put_into_messages_off_the_event_loop(stub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    make, threads = convert.search_response, set()

    def noted(*arguments: Any) -> pb.SearchResponse:
        threads.add(threading.current_thread())
        return make(*arguments)

    monkeypatch.setattr(convert, "search_response", noted)
    await search(stub, random_unit(np.random.default_rng(1)))
    assert threads
    assert threading.main_thread() not in threads
