"""A contestant's own process, and the benchmark's end of the line to it."""

import contextlib
import gc
import multiprocessing
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.contestant import Contestant, Setup
from benchmarks.search_data import Task, load

# Contestants that are processes of processes end them first.
_STOP_PATIENCE_S: Final = 120
# Asked before each measurement and not counted: whoever waited while the others were measured finds the caches cold,
# and the system may have taken memory that lay idle.
_WARM_PROBES: Final = 16


class WorkerFailed(Exception):
    """What went wrong in a contestant's process, as text."""


@dataclass(frozen=True, slots=True)
class Built:
    """What taking the gallery in took."""

    seconds: float
    bytes_each: dict[str, float]
    # The growth of the process's own memory, without mapped files; of no use for servers, which are other processes.
    process_bytes_each: float


@dataclass(frozen=True, slots=True)
class Changed:
    """Faces a second; removes_per_s is None where nothing can be removed."""

    adds_per_s: float
    removes_per_s: float | None


class Worker:
    """A process with one contestant, asked for one thing at a time."""

    def __init__(self, make: Callable[[Setup], Contestant], setup: Setup, task_folder: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._line, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, setup, task_folder))
        self._process.start()
        theirs.close()

    def call(self, name: str, *arguments: Any) -> Any:
        """Runs a method of ``_Bench`` there; raises WorkerFailed."""
        try:
            self._line.send((name, arguments))
            failure, answer = self._line.recv()
        except (EOFError, OSError):
            self._process.join(1)
            raise WorkerFailed(f"its process ended with {self._process.exitcode}") from None
        if failure:
            raise WorkerFailed(failure)
        return answer

    def stop(self) -> None:
        """Ends the process; a contestant that was not closed ends its own processes."""
        self._line.close()
        self._process.join(_STOP_PATIENCE_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


class _Bench:
    """What a contestant is put through, in its own process."""

    def __init__(self, contestant: Contestant, task: Task, threads: int) -> None:
        self._contestant, self._task, self._threads = contestant, task, threads

    def build(self) -> Built:
        gc.collect()
        before, started = _own_bytes(), time.perf_counter()
        self._contestant.build(self._task.gallery)
        seconds = time.perf_counter() - started
        count = len(self._task.gallery)
        return Built(seconds, self._contestant.bytes_each(), (_own_bytes() - before) / count)

    def variants(self) -> tuple[tuple[str, ...], bool]:
        return self._contestant.variants, self._contestant.chooses

    def recall(self, variant: str) -> tuple[float, float] | None:
        with contextlib.suppress(NotImplementedError):
            found = self._contestant.search(self._task.probes, variant, self._threads)
            return self._task.recall(found)
        return None

    def under_load(self, variant: str, callers: int, probe_count: int, duration_s: float) -> Any:
        # Seen and unseen ones alike.
        spread = np.linspace(0, len(self._task.probes) - 1, min(probe_count, len(self._task.probes))).astype(np.int64)
        probes = self._task.probes[spread]
        with contextlib.suppress(NotImplementedError):
            self._contestant.search(probes[:_WARM_PROBES], variant, self._threads)
        return self._contestant.under_load(probes, variant, callers, self._threads, duration_s)

    def change(self) -> Changed | None:
        extra, first = self._task.extra, len(self._task.gallery)
        ids = np.arange(first, first + len(extra), dtype=np.int64)
        started = time.perf_counter()
        try:
            self._contestant.add(ids, extra)
        except NotImplementedError:
            return None
        added = time.perf_counter()
        try:
            self._contestant.remove(ids)
        except NotImplementedError:
            return Changed(len(ids) / (added - started), None)
        return Changed(len(ids) / (added - started), len(ids) / (time.perf_counter() - added))

    def close(self) -> None:
        self._contestant.close()

    def open(self) -> float | None:
        """Returns seconds from nothing but files to the first answer."""
        started = time.perf_counter()
        try:
            self._contestant.open()
        except NotImplementedError:
            return None
        self._contestant.search(self._task.probes[:1], self._contestant.variants[0], self._threads)
        return time.perf_counter() - started


def _serve(line: Connection, make: Callable[[Setup], Contestant], setup: Setup, task_folder: Path) -> None:
    contestant: Contestant | None = None
    end_in_good_order()
    try:
        setup.folder.mkdir(parents=True, exist_ok=True)
        contestant = make(setup)
        bench = _Bench(contestant, load(task_folder), setup.threads)
        while True:
            name, arguments = line.recv()
            try:
                answer = getattr(bench, name)(*arguments)
            except Exception:
                line.send((traceback.format_exc(), None))
            else:
                line.send(("", answer))
    except EOFError:
        # The other end was closed: that is the end.
        pass
    except Exception:
        line.send((traceback.format_exc(), None))
    finally:
        if contestant is not None:
            contestant.abort()


def end_in_good_order() -> None:
    """Makes of SIGTERM what ends the program as an error does: a killed one would leave databases running."""
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))


def _own_bytes() -> int:
    for row in Path("/proc/self/status").read_text().splitlines():
        if row.startswith("RssAnon:"):
            return int(row.split()[1]) * 1024
    return 0
