"""Callers that ask an index within one process, each for one probe at a time and again as soon as it is answered."""

import asyncio
import itertools
import queue
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.galleries import Rows

Search = Callable[[Rows, int], npt.NDArray[np.int64]]
"""Takes probes (n, 512) and how many threads may work on them; returns the rows found (n, K)."""


@dataclass(frozen=True, slots=True)
class Load:
    """What so many callers saw. way: how their probes reached the index."""

    way: str
    callers: int
    queries_per_s: float
    p50_ms: float
    p99_ms: float


def summary(way: str, callers: int, latencies_s: list[float], duration_s: float) -> Load:
    """Returns what the latencies of all answers of so many seconds say."""
    p50, p99 = np.percentile(latencies_s, [50, 99]) * 1000
    return Load(way, callers, len(latencies_s) / duration_s, float(p50), float(p99))


def one_by_one(search: Search, probes: Rows, threads: int) -> Load:
    """One caller, who asks for each of the probes once."""
    latencies = []
    started = time.perf_counter()
    for row in range(len(probes)):
        begun = time.perf_counter()
        search(probes[row : row + 1], threads)
        latencies.append(time.perf_counter() - begun)
    return summary("one by one", 1, latencies, time.perf_counter() - started)


def in_batches(search: Search, probes: Rows, callers: int, threads: int, duration_s: float) -> Load:
    """All callers' probes in one call at a time, which may use every thread: what a service that groups them does."""
    latencies: list[float] = []
    started = ended = time.perf_counter()
    turn = 0
    while ended - started < duration_s:
        batch = probes[np.arange(turn, turn + callers) % len(probes)]
        begun = time.perf_counter()
        search(batch, threads)
        ended = time.perf_counter()
        latencies += [ended - begun] * callers
        turn += callers
    return summary("batches", callers, latencies, ended - started)


def in_threads(search: Search, probes: Rows, callers: int, threads: int, duration_s: float) -> Load:
    """A few threads that take the waiting callers' probes one by one, each call in its own thread alone."""
    waiting: queue.SimpleQueue[float] = queue.SimpleQueue()
    latencies: list[list[float]] = [[] for _ in range(threads)]
    started = time.perf_counter()
    for _ in range(callers):
        waiting.put(started)

    def work(number: int) -> None:
        # At least one each, however late the thread comes to its turn.
        for turn in itertools.count(number, threads):
            asked = waiting.get()
            row = turn % len(probes)
            search(probes[row : row + 1], 1)
            answered = time.perf_counter()
            latencies[number].append(answered - asked)
            waiting.put(answered)
            if answered - started >= duration_s:
                return

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    duration_s = time.perf_counter() - started
    return summary("threads", callers, list(itertools.chain.from_iterable(latencies)), duration_s)


Ask = Callable[[int, Rows], Awaitable[object]]
"""Takes a caller's number and one probe (512,); returns once it is answered."""


async def from_clients(ask: Ask, probes: Rows, callers: int, duration_s: float) -> Load:
    """Callers in one asyncio program, as clients of a server; one caller asks for each probe once."""
    latencies: list[float] = []
    started = time.perf_counter()
    turns = iter(range(len(probes))) if callers == 1 else itertools.count()

    async def caller(number: int) -> None:
        for turn in turns:
            begun = time.perf_counter()
            await ask(number, probes[turn % len(probes)])
            answered = time.perf_counter()
            latencies.append(answered - begun)
            if callers > 1 and answered - started >= duration_s:
                return

    await asyncio.gather(*(caller(number) for number in range(callers)))
    return summary("clients", callers, latencies, time.perf_counter() - started)
