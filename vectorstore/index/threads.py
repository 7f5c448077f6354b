"""Threads that share the work of one search."""

import concurrent.futures
import itertools
from collections.abc import Callable, Sequence
from typing import TypeVar

import faiss

Part = TypeVar("Part")
Result = TypeVar("Result")


def one_thread_each() -> None:
    """Keeps FAISS from starting threads under the calling one: OpenMP counts them for each calling thread."""
    faiss.omp_set_num_threads(1)


class ScanThreads:
    """Some threads beside the one that searches; while all are busy, their part waits, and nothing else does."""

    def __init__(self, count: int) -> None:
        """count: threads that share one search, the searching one included."""
        self.count = count
        self._others = (
            concurrent.futures.ThreadPoolExecutor(count - 1, thread_name_prefix="scan", initializer=one_thread_each)
            if count > 1
            else None
        )

    def share(self, work: Callable[[Sequence[Part]], Result], parts: Sequence[Part]) -> list[Result]:
        """Returns what the work makes of runs of the parts, in order; there are as many runs as threads, or fewer."""
        run_count = min(self.count, len(parts))
        if self._others is None or run_count < 2:
            return [work(parts)]
        bounds = [len(parts) * run // run_count for run in range(run_count + 1)]
        runs = [parts[start:stop] for start, stop in itertools.pairwise(bounds)]
        others = [self._others.submit(work, run) for run in runs[1:]]
        try:
            mine = work(runs[0])
        finally:
            # Whatever happens here, the others read what the caller's lock guards.
            concurrent.futures.wait(others)
        return [mine, *(other.result() for other in others)]

    def close(self) -> None:
        """Ends the threads."""
        if self._others is not None:
            self._others.shutdown(wait=False, cancel_futures=True)


ALONE = ScanThreads(1)
