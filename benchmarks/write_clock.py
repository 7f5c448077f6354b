"""Time on the wall and on the processor, of this process, the service and PostgreSQL; and medians of both."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

# Longer than the service waits, after the last add, before it codes what was added.
_QUIET_S = 3.0
# Of the processor in that time, by the service and PostgreSQL together: what their clocks and polls take.
_QUIET_CPU_S = 0.3
_PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Taken:
    """What one piece of work took, seconds: on the wall, and on the processor by client, service and PostgreSQL."""

    wall: float
    client: float
    service: float
    postgres: float


class Clock:
    """Reads how much processor time each part has used."""

    def __init__(self, service_pid: int, postgres_folder: Path) -> None:
        self._client = psutil.Process()
        self._service = psutil.Process(service_pid)
        self._postgres = psutil.Process(int((postgres_folder / "postmaster.pid").read_text().splitlines()[0]))

    async def time(self, work: Callable[[], Awaitable[None]]) -> Taken:
        """Returns what the work takes."""
        before, start_s = self._read(), time.perf_counter()
        await work()
        wall_s, after = time.perf_counter() - start_s, self._read()
        client, service, postgres = (late - early for early, late in zip(before, after, strict=True))
        return Taken(wall_s, client, service, postgres)

    async def until_quiet(self) -> None:
        """Returns once the service and PostgreSQL have nothing left to do, which would slow what is timed next.

        Raises TimeoutError when they find no rest.
        """
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                _, service_before, postgres_before = self._read()
                await asyncio.sleep(_QUIET_S)
                _, service, postgres = self._read()
                if service - service_before + postgres - postgres_before <= _QUIET_CPU_S:
                    return

    def _read(self) -> tuple[float, float, float]:
        postgres = _own_seconds(self._postgres)
        times = self._postgres.cpu_times()
        # Those that have ended.
        postgres += times.children_user + times.children_system
        for child in self._postgres.children():
            try:
                postgres += _own_seconds(child)
            except psutil.NoSuchProcess:
                continue
        return _own_seconds(self._client), _own_seconds(self._service), postgres


def _own_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@dataclass
class Figures:
    """What every round took, by what was done."""

    rounds: dict[str, list[tuple[int, Taken]]] = field(default_factory=dict)

    def note(self, name: str, count: int, taken: Taken) -> None:
        """Adds a round in which ``count`` photos were dealt with."""
        self.rounds.setdefault(name, []).append((count, taken))

    def report(self, base: str) -> None:
        """Prints medians: rates, their ratio to the base's in the same round, and processor time for each photo."""
        print(f"  {'':40} {'photos/s':>9} {'×':>6}   µs of processor a photo: client, service, PostgreSQL")
        base_rates = [count / taken.wall for count, taken in self.rounds[base]]
        for name, rounds in self.rounds.items():
            rates = [count / taken.wall for count, taken in rounds]
            ratio = statistics.median(rate / other for rate, other in zip(rates, base_rates, strict=True))
            used = [
                1e6 * statistics.median(getattr(taken, part) / count for count, taken in rounds)
                for part in ("client", "service", "postgres")
            ]
            print(
                f"  {name:40} {statistics.median(rates):9,.0f} {ratio:6.2f}   "
                + ", ".join(f"{value:.1f}" for value in used),
                flush=True,
            )
