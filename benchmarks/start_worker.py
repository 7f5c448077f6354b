"""One start of the vector store, in a process of its own: prints as JSON how long it took to be ready, and more."""

import argparse
import asyncio
import json
import os
import resource
import time
from pathlib import Path

import uvloop
from pydantic import SecretStr

from benchmarks.idle_memory import fetch_memory
from runtime.readiness import Readiness
from runtime.server import ServiceContext
from runtime.tasks import TaskSupervisor
from vectorstore.service import VectorStore
from vectorstore.settings import VectorStoreSettings


async def _start(url: str, folder: Path, memory_bytes: int, *, save: bool) -> dict[str, float]:
    settings = VectorStoreSettings(
        data_dir=folder, database_url=SecretStr(url), snapshot_interval_s=0, snapshot_stop_patience_s=0
    )
    service, readiness = VectorStore(settings), Readiness()
    tasks = TaskSupervisor(readiness)
    fetch_memory(memory_bytes)
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    await service.start(ServiceContext("127.0.0.1:0", readiness, tasks))
    figures = {
        "ready_s": time.perf_counter() - start_s,
        "cpu_s": time.process_time() - start_cpu_s,
        "from_snapshot": float(service._snapshots.last is not None),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    facts = service._follower._projection.views()[0].facts()
    figures |= {"faces": facts.face_count, "index_mb": facts.memory_bytes / 1e6, "mapped_mb": facts.mapped_bytes / 1e6}
    if save:
        start_s = time.perf_counter()
        while await service._maintenance.work_once():
            pass
        # The background's own thread may have had the last piece of it.
        await asyncio.sleep(1)
        figures["upkeep_s"] = time.perf_counter() - start_s - 1
        start_s = time.perf_counter()
        written = await service._snapshots.create()
        figures |= {"write_s": time.perf_counter() - start_s, "file_mb": written.size_bytes / 1e6}
    print(json.dumps(figures), flush=True)
    await tasks.stop()
    await service.stop()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("folder", type=Path)
    parser.add_argument("memory_bytes", type=int)
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    uvloop.run(_start(options.url, options.folder, options.memory_bytes, save=options.save))
    # Threads that pools keep are of no use any more.
    os._exit(0)


if __name__ == "__main__":
    main()
