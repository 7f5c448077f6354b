"""A lone short search is answered by the event loop itself; whatever could hold that up goes to a thread."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from prometheus_client import REGISTRY
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from runtime.errors import DeadlineExceeded, NotFound
from tests.vectorstore.wire import add_one, ids, photo, random_unit, search
from vectorstore import searching, short_searches
from vectorstore.filters import FaceFilter
from vectorstore.index.locks import SharedLock
from vectorstore.orders import FoundResult, Mode, SearchOrder
from vectorstore.search import SearchJob, search_gallery
from vectorstore.searching import Searcher

Rng = np.random.Generator
_ORDER = SearchOrder(10, Mode.NEAREST)
_ANSWER = FoundResult(())
_LOOP = threading.main_thread().name


class _View:
    """As much of a gallery as is looked at."""

    def __init__(self) -> None:
        self.index = SimpleNamespace(is_local=True)
        self.lock = SharedLock()
        self.catalog: Sequence[int] = range(100)


class _Searches:
    """Stands where galleries are searched: notes in which thread, and takes as long or fails as it is told."""

    def __init__(self) -> None:
        self.threads: list[str] = []
        self.work: Callable[[SearchJob], object] = lambda job: None

    def __call__(self, view: Any, jobs: list[SearchJob]) -> list[Any]:
        self.threads.append(threading.current_thread().name)
        outcomes: list[Any] = []
        for job in jobs:
            job.check_wanted()
            try:
                self.work(job)
                job.check_wanted()
                outcomes.append([_ANSWER])
            except NotFound as error:
                outcomes.append(error)
        return outcomes


def _counted() -> tuple[float, float]:
    """Returns how many scans were timed, and of how many the queries were counted."""
    names = ("twin_vectorstore_search_seconds_count", "twin_vectorstore_search_group_queries_count")
    timed, grouped = (REGISTRY.get_sample_value(name) or 0.0 for name in names)
    return timed, grouped


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> _Searches:
    stand_in = _Searches()
    monkeypatch.setattr(searching, "search_gallery", stand_in)
    # On a busy machine a thread may take longer than that to come to its turn.
    monkeypatch.setattr(short_searches, "_SHORT_S", 1.0)
    monkeypatch.setattr(short_searches, "_LONGEST_S", 2.0)
    return stand_in


@pytest.fixture
async def searcher() -> AsyncIterator[Searcher]:
    made = Searcher(1, 10)
    yield made
    made.close()


async def _ask(searcher: Searcher, view: Any, order: SearchOrder = _ORDER, count: int = 1) -> Any:
    # The loop rests, as it does between the requests of a caller who is alone.
    await asyncio.sleep(0.05)
    return await searcher.search(view, [1] * count, order, 5.0, lambda results: results)


async def _fail(searcher: Searcher, searches: _Searches, view: Any, after_s: float = 0.0) -> None:
    def fail(job: SearchJob) -> None:
        time.sleep(after_s)
        raise NotFound("face")

    searches.work = fail
    with pytest.raises(NotFound):
        await _ask(searcher, view)
    searches.work = lambda job: None


async def test_a_lone_search_is_the_loops_own_once_it_is_known_to_be_short(
    searcher: Searcher, searches: _Searches
) -> None:
    view = _View()
    for _ in range(3):
        assert await _ask(searcher, view) == [_ANSWER]
    assert searches.threads == ["search_0", _LOOP, _LOOP]
    # Of another gallery, for more neighbours, or comparing everything, nothing is known yet.
    await _ask(searcher, _View())
    await _ask(searcher, view, SearchOrder(500, Mode.NEAREST))
    await _ask(searcher, view, SearchOrder(10, Mode.NEAREST, exact=True))
    # Which looks at as many neighbours at first, and may look at more.
    await _ask(searcher, view, SearchOrder(35, Mode.NEAREST))
    await _ask(searcher, view, SearchOrder(10, Mode.LOOKALIKE))
    assert searches.threads[3:] == ["search_0"] * 5


async def test_one_that_takes_long_is_followed_by_one_in_a_thread(searcher: Searcher, searches: _Searches) -> None:
    view = _View()
    await _ask(searcher, view)
    searches.work = lambda job: time.sleep(1.1)
    assert await _ask(searcher, view) == [_ANSWER]
    assert await _ask(searcher, view) == [_ANSWER]
    searches.work = lambda job: None
    await _ask(searcher, view)
    await _ask(searcher, view)
    assert searches.threads == ["search_0", _LOOP, "search_0", "search_0", _LOOP]


async def test_one_that_turns_out_long_is_begun_anew_in_a_thread(
    searcher: Searcher, searches: _Searches, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = _View()
    await _ask(searcher, view)
    monkeypatch.setattr(short_searches, "_LONGEST_S", 0.0)
    counted = _counted()
    assert await _ask(searcher, view) == [_ANSWER]
    assert searches.threads == ["search_0", _LOOP, "search_0"]
    assert _counted() == (counted[0] + 1, counted[1] + 1)


@pytest.mark.parametrize("count", [2, 5])
async def test_several_queries_are_a_threads(searcher: Searcher, searches: _Searches, count: int) -> None:
    view = _View()
    await _ask(searcher, view)
    await _ask(searcher, view, count=count)
    assert searches.threads == ["search_0"] * 2


async def test_a_confined_search_is_a_threads_and_says_nothing_of_others(
    searcher: Searcher, searches: _Searches
) -> None:
    view = _View()
    confined = SearchOrder(10, Mode.NEAREST, faces=FaceFilter(added_after=datetime(2026, 1, 1, tzinfo=UTC)))
    for order in (confined, confined, _ORDER, confined):
        await _ask(searcher, view, order)
    assert searches.threads == ["search_0"] * 4


async def test_one_that_failed_says_nothing_of_others(searcher: Searcher, searches: _Searches) -> None:
    view = _View()
    await _fail(searcher, searches, view)
    await _ask(searcher, view)
    await _fail(searcher, searches, view)
    assert searches.threads == ["search_0", "search_0", _LOOP]


async def test_a_gallery_that_waits_for_a_device_or_another_program_is_searched_in_threads(
    searcher: Searcher, searches: _Searches
) -> None:
    view = _View()
    view.index.is_local = False
    for _ in range(3):
        await _ask(searcher, view)
    assert searches.threads == ["search_0"] * 3


async def test_the_faces_of_a_person_are_a_threads(searcher: Searcher, searches: _Searches) -> None:
    view = _View()
    for _ in range(3):
        await _ask(searcher, view, SearchOrder(10, Mode.SAME_PERSON))
    assert searches.threads == ["search_0"] * 3


async def test_a_gallery_that_has_grown_is_measured_anew(searcher: Searcher, searches: _Searches) -> None:
    view = _View()
    await _ask(searcher, view)
    view.catalog = range(140)
    await _ask(searcher, view)
    view.catalog = range(300)
    await _ask(searcher, view)
    await _ask(searcher, view)
    assert searches.threads == ["search_0", _LOOP, "search_0", _LOOP]


async def test_one_that_took_long_and_failed_is_followed_by_one_in_a_thread(
    searcher: Searcher, searches: _Searches
) -> None:
    view = _View()
    await _ask(searcher, view)
    await _fail(searcher, searches, view, after_s=1.1)
    await _ask(searcher, view)
    assert searches.threads == ["search_0", _LOOP, "search_0"]


async def test_the_loop_does_not_wait_for_a_writer(searcher: Searcher, searches: _Searches) -> None:
    view = _View()
    await _ask(searcher, view)
    with view.lock.writing():
        await _ask(searcher, view)
    await _ask(searcher, view)
    assert searches.threads == ["search_0", "search_0", _LOOP]


async def test_a_busy_loop_leaves_searches_to_threads(
    searcher: Searcher, searches: _Searches, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = _View()
    await _ask(searcher, view)
    # All time is the processor's: the loop has not rested, whatever else this machine does.
    always_at_work = SimpleNamespace(monotonic=time.monotonic, thread_time=time.monotonic)
    monkeypatch.setattr(short_searches, "time", always_at_work)
    await _ask(searcher, view)
    assert searches.threads == ["search_0"] * 2


async def test_one_that_nobody_waits_for_any_more_is_not_searched_for(searcher: Searcher, searches: _Searches) -> None:
    view = _View()
    await _ask(searcher, view)
    done: list[SearchJob] = []
    searches.work = done.append
    await asyncio.sleep(0.05)
    with pytest.raises(DeadlineExceeded):
        await searcher.search(view, [1], _ORDER, 0.0, lambda results: results)  # type: ignore[arg-type]
    assert searches.threads == ["search_0", _LOOP]
    assert not done


async def test_loop_and_threads_give_one_answer(stub: Any, rng: Rng, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []

    def noted(view: Any, jobs: Any) -> Any:
        threads.append(threading.current_thread().name)
        return search_gallery(view, jobs)

    monkeypatch.setattr(searching, "search_gallery", noted)
    vectors = [random_unit(rng) for _ in range(40)]
    stored = [await add_one(stub, photo(vector)) for vector in vectors]
    for mode in (pb.MATCH_MODE_LOOKALIKE, pb.MATCH_MODE_NEAREST):
        answers = {}
        for short_s, place in ((0.0, "search"), (1.0, _LOOP)):
            monkeypatch.setattr(short_searches, "_SHORT_S", short_s)
            monkeypatch.setattr(short_searches, "_LONGEST_S", 5.0)
            monkeypatch.setattr(short_searches, "_LEAST_REST", 0.0)
            (answers[place],) = await search(stub, vectors[7], limit=10, mode=mode)
            assert threads[-1].startswith(place)
        assert answers["search"] == answers[_LOOP]
        nearest = ids([*answers[_LOOP].yourself, *answers[_LOOP].matches])[0]
        assert nearest == stored[7].photo_id
