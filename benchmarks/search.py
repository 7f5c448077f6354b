"""Exact search on this machine's processor: this project's index beside FAISS's own and numpy, interleaved in one run.

    python benchmarks/search.py [--faces N] [--repeats N]

The gallery is random unit vectors of 512 dimensions. Every contestant is exact, so that only time is compared; every
answer is checked against the first one's. Medians over the repeats; ratios are worth more than the figures themselves.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from vectorstore.index.flat import FlatIndex

_DIMENSION = 512
_K = 10
_BATCH = 64
_ADD_BATCH = 10_000
_FAISS: Any = faiss

Rows = npt.NDArray[np.float32]
Found = npt.NDArray[np.int64]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    generator = np.random.default_rng(1)
    gallery, queries = _unit(generator, chosen.faces), _unit(generator, _BATCH)
    ours, plain = FlatIndex(_DIMENSION), _FAISS.IndexFlatIP(_DIMENSION)
    for start in range(0, len(gallery), _ADD_BATCH):
        rows = gallery[start : start + _ADD_BATCH]
        ours.add(np.arange(start, start + len(rows), dtype=np.int64), rows)
    plain.add(gallery)

    def with_ours(batch: Rows) -> Found:
        return np.stack([ids for ids, _ in ours.search(batch, _K)])

    def with_faiss(batch: Rows) -> Found:
        found: Found = plain.search(batch, _K)[1]
        return found

    def with_numpy(batch: Rows) -> Found:
        cosines = batch @ gallery.T
        near = np.argpartition(-cosines, _K, axis=1)[:, :_K]
        order = np.argsort(-np.take_along_axis(cosines, near, axis=1), axis=1)
        return np.take_along_axis(near, order, axis=1).astype(np.int64)

    contestants = {"FAISS IndexFlatIP, its defaults": with_faiss, "numpy, one product": with_numpy, "ours": with_ours}
    print(f"{chosen.faces:,} faces × {_DIMENSION}, k = {_K}")
    for batch in (queries[:1], queries):
        _report(batch, contestants, chosen.repeats)
    return 0


def _report(batch: Rows, contestants: Mapping[str, Callable[[Rows], Found]], repeats: int) -> None:
    expected = next(iter(contestants.values()))(batch)
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, search in contestants.items():
            start = time.perf_counter()
            found = search(batch)
            times[name].append(time.perf_counter() - start)
            if not np.array_equal(found, expected):
                raise SystemExit(f"{name} found other faces")
    base = statistics.median(next(iter(times.values())))
    print(f"\n{len(batch)} {'query' if len(batch) == 1 else 'queries'} at once")
    for name, taken in times.items():
        median = statistics.median(taken)
        print(f"  {name:34} {median * 1000:8.2f} ms  {len(batch) / median:9.0f} queries/s  × {base / median:.2f}")


def _unit(generator: np.random.Generator, count: int) -> Rows:
    rows = generator.standard_normal((count, _DIMENSION), dtype=np.float32)
    return np.ascontiguousarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


if __name__ == "__main__":
    raise SystemExit(main())
