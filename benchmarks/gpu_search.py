"""Searching on a GPU: each CUDA kind beside the memory limit of the same run, at every size that is asked for.

    python benchmarks/gpu_search.py [--faces 1000000,10000000] [--kinds ...] [--device cuda|cpu] [--json FILE]

For each size and kind: loading; recall@10 for people who are in the gallery and who are not; p50, p99 and queries a
second for one query and for batches, once of the whole search and, with CUDA, once of the device's part alone; one
query from each of many threads, which the owner of the device groups; filters; and adds and removals while searches
look for planted faces. "× limit" is p50 over the time that the device takes to read the same bytes, by the rate of a
copy within its memory measured in this run: a batch need not read them more than once. Rows of a size that does not
fit are left out, and that is said.

The exit code is 1 when recall is under 0.99, or an answer was wrong. With --device cpu the kinds on the processor show
that the script works, and it says nothing about a GPU.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import faiss
import numpy as np

from benchmarks.galleries import DIMENSION, MadeUpGallery, Rows
from benchmarks.gpu_search_load import K, Latencies, changes_beside_searches, many_callers, timed
from runtime.server import one_line_exit
from vectorstore.index.base import Ids, VectorIndex
from vectorstore.index.blocks import InMemory, VectorBlocks
from vectorstore.index.choose import IndexMaker
from vectorstore.index.cuda_device import CudaDevice, open_device
from vectorstore.index.cuda_kinds import CUDA_KINDS, bytes_on_device, make_cuda
from vectorstore.index.exact import nearest_rows
from vectorstore.records import CAUTIOUS_CALIBRATION, GalleryRecord

CPU_KINDS: Final = ("flat", "compressed")
LEAST_RECALL: Final = 0.99
_PROBES: Final = 128  # Of each sort.
_COPY_BYTES: Final = 2**30
_COPY_REPEATS: Final = 20
_GALLERY: Final = GalleryRecord(
    1, "default", "bench", DIMENSION, CAUTIOUS_CALIBRATION, create_time=datetime(2026, 1, 1, tzinfo=UTC)
)
_FILTER_SHARES: Final = (0.001, 0.05, 0.5)
# Bytes of a row that a search reads on the device.
_READ_BYTES: Final = {"cuda-flat-f16": 2 * DIMENSION, "cuda-flat-f32": 4 * DIMENSION, "cuda-sq8": DIMENSION + 8}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--faces", type=_sizes, default=[1_000_000, 10_000_000], metavar="1000000,10000000")
    parser.add_argument("--kinds", type=lambda text: text.split(","), metavar="cuda-flat-f16,cuda-sq8,...")
    parser.add_argument("--batches", type=_sizes, default=[1, 16, 64, 256, 1024])
    parser.add_argument("--distribution", default="aniso", choices=["iso", "aniso"])
    parser.add_argument("--seconds", type=float, default=3.0, help="that each figure is measured for")
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--json", type=Path, help="writes every figure there, too")
    options = parser.parse_args(arguments)
    return one_line_exit("gpu-search", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    results: dict[str, Any] = {"device": "the processor", "distribution": options.distribution, "runs": []}
    kinds = options.kinds or (CUDA_KINDS if options.device == "cuda" else CPU_KINDS)
    device = None
    if options.device == "cuda":
        device = open_device()
        results["device"] = device.driver.name
        results["bytes_per_s"] = rate = memory_rate(device)
        total = device.driver.memory()[1]
        print(f"{device.driver.name}, {total / 2**30:.0f} GiB; FAISS {faiss.__version__}")
        print(f"reads of its own memory: {rate / 1e9:,.0f} GB/s, by a copy of {_COPY_BYTES / 2**30:g} GiB")
    else:
        print("nothing here says anything about a GPU: the kinds are those of the processor")
    good = True
    for face_count in options.faces:
        gallery = MadeUpGallery(face_count, options.distribution)
        rows = np.empty((face_count, DIMENSION), np.float32)
        gallery.fill(rows)
        probes = np.concatenate([gallery.seen(_PROBES), gallery.unseen(_PROBES)])
        truth = _truth(rows, probes)
        for kind in kinds:
            print(f"\n{face_count:,} × {DIMENSION}, {options.distribution}, {kind}", flush=True)
            if device is not None and bytes_on_device(kind, DIMENSION, face_count) > device.room_bytes():
                print("  left out: it does not fit into the GPU's free memory")
                continue
            with _opened(kind, rows, device) as (index, load_s):
                run = _measure(index, kind, rows, probes, truth, options, results.get("bytes_per_s"))
            run |= {"kind": kind, "faces": face_count, "load_s": load_s}
            results["runs"].append(run)
            good &= run["wrong"] == 0 and min(run["recall_seen"], run["recall_unseen"]) >= LEAST_RECALL
            del index
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    print("" if good else "\nFAILED: a recall is under 0.99, or an answer was wrong")
    return 0 if good else 1


def memory_rate(device: CudaDevice) -> float:
    """Returns how many bytes a second the device reads of its memory: a copy reads and writes each byte."""
    driver = device.driver
    size = min(_COPY_BYTES, device.room_bytes() // 4)

    def measure() -> float:
        source, target = driver.allocate(size), driver.allocate(size)
        times = []
        for _ in range(_COPY_REPEATS):
            start_s = time.perf_counter()
            driver.copy(target, source, size)
            driver.synchronize()
            times.append(time.perf_counter() - start_s)
        driver.release(source)
        driver.release(target)
        return 2 * size / float(np.median(times[2:]))

    return device.run(measure)


@contextmanager
def _opened(kind: str, rows: Rows, device: CudaDevice | None) -> Iterator[tuple[VectorIndex, float]]:
    """Makes the index of all rows, with all its upkeep done, and yields it with the seconds that took."""
    ids = np.arange(len(rows), dtype=np.int64)
    with tempfile.TemporaryDirectory(prefix="twin-bench-") as folder:
        start_s = time.perf_counter()
        if device is not None:
            index: VectorIndex = make_cuda(
                kind,
                DIMENSION,
                same_person_similarity=CAUTIOUS_CALIBRATION.same_person_similarity,
                arrays={"ids": ids, "vectors": rows},
                device=device,
            )
            _tend(index)
            yield index, time.perf_counter() - start_s
            index.release()  # type: ignore[attr-defined]
            return
        with closing(IndexMaker(kind, Path(folder), 2)) as maker:
            index = maker.empty(_GALLERY, len(rows))
            for start in range(0, len(rows), 16_384):
                index.add(ids[start : start + 16_384], rows[start : start + 16_384])
            _tend(index)
            yield index, time.perf_counter() - start_s


def _tend(index: VectorIndex) -> None:
    while (work := index.upkeep()) is not None:
        work()()


def _truth(rows: Rows, probes: Rows) -> Ids:
    blocks = VectorBlocks(DIMENSION, np.float32, InMemory())
    blocks.adopt(rows)
    return np.stack([best for best, _ in nearest_rows(blocks, probes, K)])


def _measure(
    index: VectorIndex,
    kind: str,
    rows: Rows,
    probes: Rows,
    truth: Ids,
    options: argparse.Namespace,
    rate: float | None,
) -> dict[str, Any]:
    facts = index.facts()
    limit_s = len(rows) * _READ_BYTES[kind] / rate if rate is not None else None
    print(f"  memory of host and device {facts.memory_bytes / 2**30:.2f} GiB, compared for ten: {facts.rerank_count}")
    found = np.stack([ids for ids, _ in index.search(probes, K)])
    hits = (found[:, :, None] == truth[:, None, :]).any(axis=2).mean(axis=1)
    run: dict[str, Any] = {
        "recall_seen": float(hits[:_PROBES].mean()),
        "recall_unseen": float(hits[_PROBES:].mean()),
        "memory_bytes": facts.memory_bytes,
        "limit_s": limit_s,
        "batches": {},
    }
    print(f"  recall@{K}: {run['recall_seen']:.4f} seen, {run['recall_unseen']:.4f} unseen")
    if limit_s is not None:
        print(f"  memory limit: {limit_s * 1000:.3f} ms")
    ways: dict[str, Callable[[Rows], object]] = {"fast": lambda batch: index.search(batch, K)}
    ways["exact"] = lambda batch: index.search(batch, K, exact=True)
    store = getattr(index, "_store", None)
    if store is not None:
        ways["device alone"] = lambda batch: store.fetch(batch, 2 * K)
    for way, search in ways.items():
        for size in options.batches:
            latencies = timed(search, np.resize(probes, (size, DIMENSION)), options.seconds)
            run["batches"][f"{way} {size}"] = latencies.as_json()
            _print(f"{way}, {size} at once", latencies, limit_s)
    callers = many_callers(index, probes, options.callers, options.seconds)
    run["callers"] = callers.as_json()
    _print(f"{options.callers} callers, one each", callers, None)
    every = np.arange(len(rows), dtype=np.int64)
    for share in _FILTER_SHARES:
        allowed = every[:: int(1 / share)]
        latencies = timed(lambda batch, a=allowed: index.search(batch, K, a), probes[:1], options.seconds)
        run["batches"][f"filter {share}"] = latencies.as_json()
        _print(f"confined to {share:.1%} of the faces", latencies, limit_s)
    beside = changes_beside_searches(index, len(rows), options.seconds)
    run |= {"wrong": beside.wrong, "adds_per_s": beside.adds_per_s, "removals_per_s": beside.removals_per_s}
    run["searches_beside"] = beside.searches.as_json()
    _print("beside adds and removals", beside.searches, limit_s)
    print(f"    {beside.adds_per_s:,.0f} adds/s, {beside.removals_per_s:,.0f} removals/s, {beside.wrong} wrong answers")
    return run


def _print(what: str, latencies: Latencies, limit_s: float | None) -> None:
    of_limit = f"  {latencies.p50_s / limit_s:6.2f} × limit" if limit_s is not None else ""
    print(
        f"  {what:34} p50 {latencies.p50_s * 1000:9.3f} ms  p99 {latencies.p99_s * 1000:9.3f} ms"
        f"  {latencies.queries_per_s:10,.0f} queries/s{of_limit}",
        flush=True,
    )


def _sizes(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
