"""One, two and ten times the load that an embedder sustains: ``python -m tests.chaos.overload --seconds 60``."""

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cli.settings import ClientSettings
from tests.chaos.load import Health, Tally, clients, closed_loop, embed, health_polled, open_loop
from tests.support.corpus.memory import MemoryWatch
from tests.support.corpus.people import load_people
from tests.support.embedder_process import EmbedderProcess, running_embedder
from tests.support.photos import encoded

HEALTH_DEADLINE_S: Final = 2.0
_CONNECTIONS: Final = 4
_CALLERS: Final = 8
"""As many at once keep every core busy, and are a quarter of what may wait."""


@dataclass(slots=True)
class OverloadReport:
    """What was done at each load: with callers who wait for their answers before and after, and with those who do not.

    phases: by how many times the rate sustained before calls came.
    """

    before: Tally = field(default_factory=Tally)
    phases: dict[float, Tally] = field(default_factory=dict)
    after: Tally = field(default_factory=Tally)
    health: Health = field(default_factory=Health)
    growth_bytes: int = 0
    waiting_after: float = 0.0

    def kept(self, times: float) -> float:
        """Returns the part of the sustained rate, the mean of before and after, that was accepted at a load."""
        return 2 * self.phases[times].accepted_per_s / (self.before.accepted_per_s + self.after.accepted_per_s)

    def __str__(self) -> str:
        phases = [f"{times:g} × that: {self.kept(times):.0%} of it; {tally}" for times, tally in self.phases.items()]
        memory = f"{self.growth_bytes / 2**20:.0f} MiB more memory at the most"
        return "\n".join([f"before: {self.before}", *phases, f"after: {self.after}", str(self.health), memory])


def small_photo(models_dir: Path) -> bytes:
    """Returns one face of a crowd, 220 × 220, which is sure at the first look."""
    return encoded(load_people(models_dir / "starter" / "photos").faces[4], "JPEG", quality=88)


async def overload(
    embedder: EmbedderProcess, image: bytes, phase_s: float, loads: Sequence[float] = (1, 2, 10)
) -> OverloadReport:
    """Finds the sustained rate, and then calls at multiples of it, each for so long."""
    report = OverloadReport()
    async with clients(embedder.address, _CONNECTIONS) as stubs:
        sends = [embed(stub, image) for stub in stubs]
        busy = [sends[number % _CONNECTIONS] for number in range(_CALLERS)]
        await closed_loop(busy, 1.0)  # Buffers grow to their usual size.
        with MemoryWatch(embedder.pid) as memory:
            held = memory.resident_bytes()
            memory.restart()
            async with health_polled(embedder.address, deadline_s=HEALTH_DEADLINE_S) as report.health:
                report.before = await closed_loop(busy, phase_s)
                for times in loads:
                    report.phases[times] = await open_loop(sends, times * report.before.accepted_per_s, phase_s)
                report.after = await closed_loop(busy, phase_s)
            report.growth_bytes = memory.peak_bytes() - held
    report.waiting_after = embedder.metric("twin_embedder_queue_length")
    return report


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.overload", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each load lasts")
    seconds = parser.parse_args().seconds
    models_dir = ClientSettings().models_path()
    with running_embedder(models_dir) as embedder:
        print(asyncio.run(overload(embedder, small_photo(models_dir), seconds, (0.8, 1, 2, 10))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
