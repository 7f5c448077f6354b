"""How soon a vector store is ready: from a snapshot and from PostgreSQL, beside merely reading the same bytes.

    python benchmarks/start.py [--faces N] [--repeats N]

Every start is a process of its own, which opens the database, fills its index and catches up with the change log; what
Python and the libraries take to be imported is not counted. Beside a start from a snapshot, its files are read and
nothing is done with them; beside one from PostgreSQL, ids and vectors of all faces are: by COPY in binary, and fetched
into numpy. In turns, medians; everything on the event loop that the service has, and before the clock runs, memory is
fetched (see idle_memory.py). Files are read once from the disk and once from memory, where they are after the first.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
import uvloop

from benchmarks.galleries import DIMENSION, MadeUpGallery
from benchmarks.idle_memory import fetch_memory
from benchmarks.start_data import fill_database
from vectorstore.database import prepare_connection
from vectorstore.embedded import EmbeddedPostgres

_FETCHED_AT_ONCE = 8192
# What a start takes of new memory, about.
_BYTES_A_FACE = 3500


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="How soon a vector store is ready, beside merely reading.")
    parser.add_argument("--faces", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where some 8 kB a face fit; the system's temporary folder")
    options = parser.parse_args(arguments)
    if options.folder is not None:
        options.folder.mkdir(parents=True, exist_ok=True)
    # Under a name that PostgreSQL's own user may pass through.
    with tempfile.TemporaryDirectory(prefix="twin-bench-", dir=options.folder) as folder:
        return uvloop.run(_measure(Path(folder), options.faces, options.repeats))


async def _measure(folder: Path, face_count: int, repeats: int) -> int:
    server = EmbeddedPostgres(folder / "postgres")
    url = await server.start()
    try:
        await fill_database(url, MadeUpGallery(face_count, "iso"))
        figures = _Figures()
        for _ in range(repeats):
            for name, read in (("COPY", _copy_all), ("fetch", _fetch_all)):
                await asyncio.to_thread(fetch_memory, face_count * _BYTES_A_FACE)
                figures.add(f"{name}, ids and vectors", await read(url))
            figures.add("start from PostgreSQL", (await _start(url, folder / "none", face_count))["ready_s"])
        saved = await _start(url, folder / "data", face_count, "--save")
        files = sorted((folder / "data" / "vectorstore" / "snapshot").iterdir())
        for _ in range(repeats):
            for where in ("disk", "memory"):
                await asyncio.to_thread(fetch_memory, face_count * _BYTES_A_FACE)
                if where == "disk":
                    _forget(files)
                figures.add(f"reading the snapshot from {where}", _read(files))
                if where == "disk":
                    _forget(files)
                started = await _start(url, folder / "data", face_count)
                if not started["from_snapshot"]:
                    print("a start did not use the snapshot", file=sys.stderr)
                    return 1
                figures.add(f"start from the snapshot on {where}", started["ready_s"])
        _report(figures, face_count, saved, started)
    finally:
        await server.stop()
    return 0


class _Figures:
    def __init__(self) -> None:
        self._seconds: dict[str, list[float]] = {}

    def add(self, name: str, seconds: float) -> None:
        self._seconds.setdefault(name, []).append(seconds)

    def median(self, name: str) -> float:
        return statistics.median(self._seconds[name])

    def items(self) -> list[tuple[str, float, float, float]]:
        return [(name, self.median(name), min(taken), max(taken)) for name, taken in self._seconds.items()]


async def _copy_all(url: str) -> float:
    connection: Any = await asyncpg.connect(url)

    async def drop(_data: bytes) -> None:
        pass

    try:
        start_s = time.perf_counter()
        await connection.copy_from_query("SELECT face_id, embedding FROM faces", output=drop, format="binary")
        return time.perf_counter() - start_s
    finally:
        await connection.close()


async def _fetch_all(url: str) -> float:
    connection: Any = await asyncpg.connect(url)
    room = np.empty((_FETCHED_AT_ONCE, DIMENSION), np.float32)
    try:
        await prepare_connection(connection)
        start_s = time.perf_counter()
        async with connection.transaction():
            cursor = await connection.cursor("SELECT face_id, embedding FROM faces")
            while rows := await cursor.fetch(_FETCHED_AT_ONCE):
                for place, row in enumerate(rows):
                    room[place] = row[1]
        return time.perf_counter() - start_s
    finally:
        await connection.close()


async def _start(url: str, folder: Path, face_count: int, *options: str) -> dict[str, float]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, "-m", "benchmarks.start_worker", url, str(folder), str(face_count * _BYTES_A_FACE)]
    done = await asyncio.to_thread(
        subprocess.run, [*command, *options], env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    figures: dict[str, float] = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    return figures


def _read(paths: Sequence[Path]) -> float:
    room, start_s = bytearray(4 * 2**20), time.perf_counter()
    for path in paths:
        with path.open("rb", buffering=0) as file:
            while file.readinto(room):
                pass
    return time.perf_counter() - start_s


def _forget(paths: Sequence[Path]) -> None:
    """Makes the system drop the files from its memory."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def _report(figures: _Figures, face_count: int, saved: dict[str, float], started: dict[str, float]) -> None:
    print(f"\n{face_count:,} faces of {DIMENSION} dimensions; {os.cpu_count()} cores")
    print(f"  {'':36} {'median s':>9} {'least':>8} {'most':>8} {'faces/s':>10}")
    for name, median, least, most in figures.items():
        print(f"  {name:36} {median:9.2f} {least:8.2f} {most:8.2f} {face_count / median:10,.0f}")
    bare = min(figures.median("COPY, ids and vectors"), figures.median("fetch, ids and vectors"))
    print(f"\n  from PostgreSQL at {bare / figures.median('start from PostgreSQL'):.2f} of the faster bare reading")
    for where in ("disk", "memory"):
        reading = figures.median(f"reading the snapshot from {where}")
        ready = figures.median(f"start from the snapshot on {where}")
        print(f"  from the snapshot on {where}: {ready:.2f} s; twice the reading and 5 s are {2 * reading + 5:.2f} s")
    print(f"  snapshot: {saved['file_mb']:,.0f} MB, written in {saved['write_s']:.2f} s", end="")
    print(f"; the index was made in {saved['upkeep_s']:.1f} s before")
    print(
        f"  index memory {started['index_mb']:,.0f} MB and {started['mapped_mb']:,.0f} MB mapped; "
        f"peak {started['peak_mb']:,.0f} MB from the snapshot, {saved['peak_mb']:,.0f} MB from PostgreSQL"
    )
    print(f"  processor time {started['cpu_s']:.1f} s from the snapshot", end="")
    print(f", {saved['cpu_s']:.1f} s from PostgreSQL, which takes its own beside")


if __name__ == "__main__":
    sys.exit(main())
