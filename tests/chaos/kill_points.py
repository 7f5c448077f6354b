"""SIGKILL at every failpoint, again and again: what was answered stays, what was deleted stays away, nothing doubles.

``python -m tests.chaos.kill_points --seeds 20`` kills a store at each point with each seed, all on one PostgreSQL. Each
store begins where the one before it was killed: with the same data folder, snapshots and all, and the same database.
"""

import argparse
import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import grpc.aio
import numpy as np

from runtime.failpoints import POINTS
from tests.chaos.history import Checker
from tests.chaos.stores import Died, PostgresServer, RunningStore, postgres_server, running_store
from tests.chaos.workload import Caller, Known, look, make_gallery, work
from vectorstore.migrate import MIGRATIONS_FOLDER, read_migrations

WORK_S: Final = 6.0
# How often, at the most, a point is passed before the store is killed at it. Points that are rarely reached: at once.
_PASSES: Final = {
    "add": 40,
    "delete": 12,
    "expiry": 6,
    "gallery": 2,
    "changes": 40,
    "follower": 40,
    "snapshot": 2,
    "compaction": 1,
    "migration": 1,
}
_MORE_PASSES: Final = {
    "snapshot.writing": 30,
    "snapshot.before_fsync": 5,
    "snapshot.loading": 1,
}


@dataclass(slots=True)
class KillReport:
    """What came of many kills."""

    kills: Counter[str] = field(default_factory=Counter)
    # Lives in which the point was not reached; the store was killed at the end all the same.
    not_reached: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    operations: int = 0

    def __str__(self) -> str:
        lines = [f"{point:28} {count:4} kills" for point, count in sorted(self.kills.items())]
        lines += [f"{point:28} {count:4} times not reached" for point, count in sorted(self.not_reached.items())]
        lines.append(f"{self.kills.total()} kills at {len(self.kills)} points, {self.operations:,} operations")
        return "\n".join([*lines, f"{len(self.wrong)} wrong", *self.wrong[:20]])


class KillRun:
    """One database and one data folder, and the stores that are killed on them, one after the other."""

    def __init__(self, url: str, folder: Path, report: KillReport) -> None:
        self._url = url
        self._folder = folder
        self._report = report
        self._known = Known()
        self._checkers = (Checker(), Checker())
        self._checked = [0, 0]
        self._last_kill = "nothing"

    async def kill_at(self, point: str, seed: int) -> None:
        """Looks at what the kill before left, and runs a store until it is killed at the point."""
        seeds = [seed, sorted(POINTS).index(point)]
        rng = np.random.default_rng(seeds)
        passes = _MORE_PASSES.get(point, _PASSES[point.partition(".")[0]])
        failpoints = f"{point}=kill@{rng.integers(1, passes + 1)}"
        end_s = time.monotonic() + WORK_S
        reached = True
        try:
            async with self._store(failpoints) as store:
                await self._look(store)
                end_s = time.monotonic() + WORK_S
                await work(
                    store.stub,
                    self._known,
                    seeds,
                    lambda: store.is_running and time.monotonic() < end_s,
                    churn=20.0 if point.startswith("compaction") else 2.0,
                )
                reached = not store.is_running
                store.process.kill()
        except (Died, grpc.aio.AioRpcError, TimeoutError):
            # It was killed as it began, or while it was looked at; the next one is looked at again.
            pass
        (self._report.kills if reached else self._report.not_reached)[point] += 1
        self._last_kill = f"{failpoints} with seed {seed}"
        for history in (self._known.history, self._known.galleries):
            history.settle(self._last_kill)

    async def end(self) -> None:
        """Looks at what the last kill left, and that what expired goes away."""
        async with self._store("") as store:
            await self._look(store)
            async with asyncio.timeout(30):
                while self._known.expiring - self._known.expired:
                    await asyncio.sleep(0.2)
                    await self._look(store)
        self._report.operations += self._known.history.counts()["invoke"]

    def _store(self, failpoints: str) -> AbstractAsyncContextManager[RunningStore]:
        return running_store(self._folder / "data", self._url, failpoints=failpoints, TWIN_EXPIRY_INTERVAL_S="0.1")

    async def _look(self, store: RunningStore) -> None:
        """What every store does first: all is as the callers were told, and what was not answered is asked again."""
        await make_gallery(store.stub)
        wrong = await look(store.stub, self._known)
        for place, history in enumerate((self._known.history, self._known.galleries)):
            checker = self._checkers[place]
            for event in history.events[self._checked[place] :]:
                checker.take(event)
            self._checked[place] = len(history.events)
            wrong += [f"{violation.key} {violation.kind}" for violation in checker.violations]
            checker.violations.clear()
        self._report.wrong += [f"after {self._last_kill}: {words}" for words in wrong]
        await Caller(store.stub, self._known, np.random.default_rng(store.pid)).settle_what_is_unsure()


async def kill_migration(postgres: PostgresServer, folder: Path, point: str, seed: int, report: KillReport) -> None:
    """Kills a store while it makes the schema of an empty database; the next one must be well."""
    files = len(read_migrations(MIGRATIONS_FOLDER))
    nth = 1 + seed % files if point == "migration.between_files" else 1
    url = await postgres.make_database()
    try:
        async with running_store(folder / "data", url, failpoints=f"{point}=kill@{nth}"):
            report.not_reached[point] += 1
    except Died:
        report.kills[point] += 1
    run = KillRun(url, folder, report)
    await run.end()


async def kill_everywhere(points: Sequence[str], seeds: Sequence[int], *, shown: bool = False) -> KillReport:
    """Kills at each point with each seed; the points of one seed follow one another in an order of its own."""
    report = KillReport()
    async with postgres_server() as postgres:
        with tempfile.TemporaryDirectory(prefix="twin-chaos-") as folder:
            url = await postgres.make_database()
            run = KillRun(url, Path(folder) / "run", report)
            for seed in seeds:
                order = np.random.default_rng(seed).permutation(sorted(points))
                for number, point in enumerate(order):
                    if point.startswith("migration."):
                        place = Path(folder) / f"migration-{seed}-{number}"
                        await kill_migration(postgres, place, str(point), seed, report)
                    else:
                        await run.kill_at(str(point), seed)
                if shown:
                    kills, wrong = report.kills.total(), len(report.wrong)
                    print(f"seed {seed}: {kills} kills, {wrong} wrong", *report.wrong[:3], flush=True)
            await run.end()
    return report


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.kill_points", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--points", nargs="*", default=sorted(POINTS), help="all unless named")
    arguments = parser.parse_args()
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    start_s = time.monotonic()
    report = asyncio.run(kill_everywhere(arguments.points, seeds, shown=True))
    print(report, f"{time.monotonic() - start_s:.0f} s", sep="\n")
    return 1 if report.wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
