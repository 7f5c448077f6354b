"""Search, add, delete, snapshot and compaction all at once, at full speed, with planted truth: nothing may be wrong.

``python -m tests.chaos.vector_soak --minutes 10`` prints what came of it and the memory of the service all along. The
kind of index is TWIN_INDEX's. Whoever was added and answered must be found first by its own vector, whoever was
deleted and answered must not be found at all.
"""

import argparse
import asyncio
import tempfile
import time
import uuid
from collections import Counter, deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio
import numpy as np
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from runtime.vectors import Vector
from tests.chaos.load import quantile_ms
from tests.chaos.stores import PostgresServer, RunningStore, postgres_server, running_store
from tests.vectorstore.wire import MODEL, photo, query, random_unit

_ACCURACIES: Final = (pb.ACCURACY_UNSPECIFIED, pb.ACCURACY_EXACT, pb.ACCURACY_FAST)
_STREAM_PHOTOS: Final = 50
_REMEMBERED_DELETIONS: Final = 5000
# Memory is flat when the last third needs no more than the middle one and a little.
_MORE_MEMORY: Final = 1.05
_MORE_BYTES: Final = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Plan:
    """What a soak is made of."""

    seconds: float
    seed: int = 1
    dimension: int = 512
    # Photos that stay all along, and how many others come and go.
    planted: int = 10_000
    churning: int = 2_000
    # Of each photo that comes and goes; the more, the more removed rows.
    faces: int = 4
    searchers: int = 6
    snapshot_interval_s: float = 5.0


@dataclass(slots=True)
class SoakReport:
    """What came of a soak."""

    counts: Counter[str] = field(default_factory=Counter)
    search_s: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    memory: list[int] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    compactions: int = 0
    final_faces: int = 0
    expected_faces: int = 0
    seconds: float = 0.0

    def thirds(self) -> list[float]:
        """Returns the mean memory of each third, in bytes."""
        parts = np.array_split(np.array(self.memory or [0], dtype=float), 3)
        return [float(part.mean()) if len(part) else 0.0 for part in parts]

    @property
    def is_flat(self) -> bool:
        _, middle, last = self.thirds()
        return last <= middle * _MORE_MEMORY + _MORE_BYTES

    def __str__(self) -> str:
        rates = ", ".join(f"{name} {count:,} ({count / self.seconds:.0f}/s)" for name, count in self.counts.items())
        p50, p99 = (quantile_ms(self.search_s, part) for part in (0.5, 0.99))
        memory = ", ".join(f"{value / 2**20:.0f}" for value in self.thirds())
        return (
            f"{self.seconds:.0f} s: {rates}; {self.compactions} compactions\n"
            f"search p50 {p50:.1f} ms, p99 {p99:.1f} ms\n"
            f"index {dict(self.kinds)}; MiB by thirds {memory} ({'flat' if self.is_flat else 'GROWING'}); "
            f"{self.final_faces:,} faces, {self.expected_faces:,} expected\n"
            f"{len(self.wrong)} wrong {self.wrong[:5]}, failed {dict(self.failed)}"
        )


class Soak:
    """Callers of every kind on one store."""

    def __init__(self, store: RunningStore, plan: Plan) -> None:
        self._store = store
        self._stub = store.stub
        self._plan = plan
        self._rng = np.random.default_rng(plan.seed)
        self._planted: list[str] = []
        # Answered and not yet asked to go, oldest first.
        self._present: deque[str] = deque()
        self._going: set[str] = set()
        self._gone: deque[str] = deque(maxlen=_REMEMBERED_DELETIONS)
        self._end_s = 0.0
        self.report = SoakReport()

    async def run(self) -> SoakReport:
        """Fills the gallery, lets everybody loose, and counts what is left."""
        await self._stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=self._plan.dimension))
        for place in range(0, self._plan.planted, 500):
            self._planted += await self._add(min(500, self._plan.planted - place))
        while len(self._present) < self._plan.churning:
            self._present.extend(await self._add(min(500, self._plan.churning), self._plan.faces))
        self.report.counts.clear()
        start_s = time.monotonic()
        self._end_s = start_s + self._plan.seconds
        await asyncio.gather(
            *(self._search(number) for number in range(self._plan.searchers)),
            self._keep_adding(),
            self._keep_adding(),
            *(self._keep_deleting() for _ in range(4)),
            self._keep_snapshotting(),
            self._watch(),
        )
        self.report.seconds = time.monotonic() - start_s
        await self._find_all()
        return self.report

    def _goes_on(self) -> bool:
        return time.monotonic() < self._end_s

    def _vector(self, key: str, face: int = 0) -> Vector:
        return random_unit(np.random.default_rng([uuid.UUID(key).int & 0xFFFF_FFFF_FFFF, face]), self._plan.dimension)

    async def _add(self, count: int, faces: int = 1) -> list[str]:
        keys = [str(uuid.UUID(bytes=self._rng.bytes(16), version=4)) for _ in range(count)]

        async def requests() -> AsyncIterator[pb.AddPhotosRequest]:
            for key in keys:
                vectors = [self._vector(key, face) for face in range(faces)]
                yield pb.AddPhotosRequest(photo=photo(*vectors, photo_id=key))

        added = []
        async for answer in self._stub.AddPhotos(requests()):
            if answer.HasField("photo"):
                added.append(answer.photo_id)
            else:
                self.report.failed[f"add: {answer.error.message}"] += 1
        self.report.counts["added"] += len(added)
        return added

    async def _keep_adding(self) -> None:
        while self._goes_on():
            if len(self._present) >= self._plan.churning:
                await asyncio.sleep(0.01)
                continue
            self._present.extend(await self._add(min(_STREAM_PHOTOS, self._plan.churning), self._plan.faces))

    async def _keep_deleting(self) -> None:
        while self._goes_on():
            if len(self._present) < self._plan.churning // 2:
                await asyncio.sleep(0.01)
                continue
            key = self._present.popleft()
            self._going.add(key)
            try:
                await self._stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=key))
            except grpc.aio.AioRpcError as error:
                self.report.failed[f"delete: {error.code().name}"] += 1
            else:
                self._gone.append(key)
                self.report.counts["deleted"] += 1
            self._going.discard(key)

    async def _keep_snapshotting(self) -> None:
        while self._goes_on():
            try:
                await self._stub.CreateSnapshot(pb.CreateSnapshotRequest())
                self.report.counts["snapshots"] += 1
            except grpc.aio.AioRpcError as error:
                self.report.failed[f"snapshot: {error.code().name}"] += 1
            await asyncio.sleep(self._plan.snapshot_interval_s)

    async def _search(self, number: int) -> None:
        rng = np.random.default_rng([self._plan.seed, number])
        while self._goes_on():
            choice = rng.integers(4)
            if choice == 0 and self._gone:
                key, must_be_there = self._gone[rng.integers(len(self._gone))], False
            elif choice == 1 and self._present:
                key, must_be_there = self._present[rng.integers(len(self._present))], True
            else:
                key, must_be_there = self._planted[rng.integers(len(self._planted))], True
            request = pb.SearchRequest(
                queries=[query(self._vector(key))],
                limit=10,
                mode=pb.MATCH_MODE_NEAREST,
                accuracy=_ACCURACIES[rng.integers(len(_ACCURACIES))],
            )
            start_s = time.monotonic()
            try:
                answer = await self._stub.Search(request)
            except grpc.aio.AioRpcError as error:
                self.report.failed[f"search: {error.code().name}"] += 1
                await asyncio.sleep(0.05)
                continue
            self.report.search_s.append(time.monotonic() - start_s)
            self.report.counts["searches"] += 1
            self._judge(key, must_be_there, answer.results[0].matches)

    def _judge(self, key: str, must_be_there: bool, matches: Sequence[pb.Match]) -> None:
        found = [match.photo_id for match in matches]
        if must_be_there and found[:1] != [key]:
            # Somebody may have begun to delete it after it was drawn.
            if key not in self._going and key not in self._gone:
                self.report.wrong.append(f"{key} was not found first")
        elif not must_be_there and key in found:
            self.report.wrong.append(f"{key} was found after its deletion")
        if len({match.face_id for match in matches}) < len(matches):
            self.report.wrong.append("a face was found twice")

    async def _watch(self) -> None:
        tombstones = 0
        shown_s = time.monotonic()
        while self._goes_on():
            stats = (await self._stub.GetStats(pb.GetStatsRequest())).indexes[0]
            self.report.compactions += stats.tombstone_count < tombstones
            tombstones = stats.tombstone_count
            self.report.kinds[stats.kind] += 1
            self.report.memory.append(self._store.resident_bytes())
            if time.monotonic() - shown_s > 30:
                shown_s = time.monotonic()
                counts = ", ".join(f"{name} {count:,}" for name, count in self.report.counts.items())
                memory = self.report.memory[-1] / 2**20
                print(f"{counts}, {memory:.0f} MiB, {len(self.report.wrong)} wrong", flush=True)
            await asyncio.sleep(0.25)

    async def _find_all(self) -> None:
        """After all is over: everybody who should be there is, and nobody else."""
        keys = [*self._planted, *self._present]
        for place in range(0, len(keys), 200):
            some = keys[place : place + 200]
            queries = [query(self._vector(key)) for key in some]
            request: Any = pb.SearchRequest(queries=queries, limit=1, mode=pb.MATCH_MODE_NEAREST)
            results = (await self._stub.Search(request, timeout=60)).results
            for key, result in zip(some, results, strict=True):
                if [match.photo_id for match in result.matches] != [key]:
                    self.report.wrong.append(f"{key} was not found first, at the end")
        self.report.final_faces = (await self._stub.GetStats(pb.GetStatsRequest())).indexes[0].face_count
        self.report.expected_faces = len(self._planted) + len(self._present) * self._plan.faces
        if self.report.final_faces != self.report.expected_faces and not self.report.failed:
            self.report.wrong.append("there are more or fewer faces than were added and not deleted")


async def soak(plan: Plan, postgres: PostgresServer, index: str = "") -> SoakReport:
    """Starts a store on a new database, and soaks it. index: a kind, or what TWIN_INDEX says."""
    more: dict[str, Any] = {"TWIN_LOG_LEVEL": "info", **({"TWIN_INDEX": index} if index else {})}
    with tempfile.TemporaryDirectory(prefix="twin-chaos-") as folder:
        url = await postgres.make_database()
        async with running_store(Path(folder) / "run" / "data", url, **more) as store:
            report = await Soak(store, plan).run()
            if not store.is_running:
                report.wrong.append("the service ended")
            return report


async def _run(plan: Plan) -> SoakReport:
    async with postgres_server() as postgres:
        return await soak(plan, postgres)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.vector_soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--planted", type=int, default=10_000)
    parser.add_argument("--churning", type=int, default=2_000)
    parser.add_argument("--faces", type=int, default=4, help="of each photo that comes and goes")
    arguments = parser.parse_args()
    plan = Plan(
        arguments.minutes * 60,
        seed=arguments.seed,
        dimension=arguments.dimension,
        planted=arguments.planted,
        churning=arguments.churning,
        faces=arguments.faces,
    )
    report = asyncio.run(_run(plan))
    print(f"seed {plan.seed}", report, sep="\n")
    return 0 if not report.wrong and not report.failed and report.is_flat else 1


if __name__ == "__main__":
    raise SystemExit(main())
