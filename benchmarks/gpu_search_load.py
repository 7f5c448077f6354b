"""How long searches take: alone, in batches, from many threads, and beside changes."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.galleries import DIMENSION, Rows
from vectorstore.index.base import VectorIndex
from vectorstore.index.locks import SharedLock

K: Final = 10
_WARM_UP: Final = 3
_LEAST_CALLS: Final = 10
_PLANTED: Final = 64
_ADDED_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True)
class Latencies:
    """Of calls with one or more queries each."""

    p50_s: float
    p99_s: float
    queries_per_s: float

    def as_json(self) -> dict[str, float]:
        return {"p50_s": self.p50_s, "p99_s": self.p99_s, "queries_per_s": self.queries_per_s}


@dataclass(frozen=True, slots=True)
class Beside:
    """Searches beside changes. wrong: planted faces that were not found first, and removed ones that were."""

    searches: Latencies
    adds_per_s: float
    removals_per_s: float
    wrong: int


def timed(search: Callable[[Rows], object], queries: Rows, seconds: float) -> Latencies:
    """Calls the search with the queries (n, 512), again and again for so long."""
    for _ in range(_WARM_UP):
        search(queries)
    times: list[float] = []
    begin_s = time.perf_counter()
    while len(times) < _LEAST_CALLS or time.perf_counter() - begin_s < seconds:
        start_s = time.perf_counter()
        search(queries)
        times.append(time.perf_counter() - start_s)
    return _latencies(times, len(queries), time.perf_counter() - begin_s)


def many_callers(index: VectorIndex, probes: Rows, caller_count: int, seconds: float) -> Latencies:
    """Searches with one probe at a time from many threads at once."""
    times: list[float] = []
    end_s = time.perf_counter() + seconds
    failures: list[BaseException] = []

    def call(number: int) -> None:
        try:
            mine = []
            while time.perf_counter() < end_s:
                probe = probes[number % len(probes)][None]
                start_s = time.perf_counter()
                index.search(probe, K)
                mine.append(time.perf_counter() - start_s)
                number += caller_count
            times.extend(mine)
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=call, args=(number,)) for number in range(caller_count)]
    begin_s = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return _latencies(times, 1, time.perf_counter() - begin_s)


def changes_beside_searches(index: VectorIndex, first_id: int, seconds: float) -> Beside:
    """Adds and removes in one thread, under the lock as the service does, while another looks for planted faces."""
    generator = np.random.default_rng(7)
    planted = _units(generator, _PLANTED)
    index.add(np.arange(first_id, first_id + _PLANTED, dtype=np.int64), planted)
    lock, times, counts, wrong = SharedLock(), [], [0, 0], 0
    end, failures = threading.Event(), []
    gone: set[int] = set()

    def change() -> None:
        next_id = first_id + _PLANTED
        try:
            while not end.is_set():
                ids = np.arange(next_id, next_id + _ADDED_AT_ONCE, dtype=np.int64)
                vectors = _units(generator, _ADDED_AT_ONCE)
                # One of them is a planted face's double, a little closer to nobody; it goes again at once.
                vectors[0] = planted[next_id % _PLANTED]
                with lock.writing():
                    index.add(ids, vectors)
                    index.remove(ids[:1])
                    gone.add(next_id)
                counts[0] += len(ids)
                with lock.writing():
                    counts[1] += 1 + index.remove(ids[1::2])
                next_id += _ADDED_AT_ONCE
        except BaseException as error:
            failures.append(error)
            raise

    changing = threading.Thread(target=change)
    begin_s = time.perf_counter()
    changing.start()
    place = 0
    while time.perf_counter() - begin_s < seconds or len(times) < _LEAST_CALLS:
        place = (place + 1) % _PLANTED
        start_s = time.perf_counter()
        with lock.reading():
            ids, cosines = index.search(planted[place : place + 1], K)[0]
            wrong += ids[0] != first_id + place or abs(float(cosines[0]) - 1) > 1e-3
            wrong += not gone.isdisjoint(ids.tolist())
        times.append(time.perf_counter() - start_s)
    took_s = time.perf_counter() - begin_s
    end.set()
    changing.join()
    if failures:
        raise failures[0]
    return Beside(_latencies(times, 1, took_s), counts[0] / took_s, counts[1] / took_s, wrong)


def _latencies(times: list[float], queries_each: int, took_s: float) -> Latencies:
    return Latencies(
        float(np.percentile(times, 50)), float(np.percentile(times, 99)), len(times) * queries_each / took_s
    )


def _units(generator: np.random.Generator, count: int) -> Rows:
    rows = generator.standard_normal((count, DIMENSION), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows
