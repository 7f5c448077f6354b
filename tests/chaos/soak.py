"""Good, odd and hostile files by the ten thousand, over several connections, each answer checked.

``python -m tests.chaos.soak --requests 100000`` prints what came of them, how fast, and the memory all along. The mix
is drawn with a seed; files are the rarer the more work they are, so that the mean request costs --mean-ms of one core.
"""

import argparse
import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from twin.embedder.v1 import embedder_pb2 as pb

from cli.settings import ClientSettings
from runtime.errors import TwinError
from runtime.images.decode import ImageLimits, check_header
from tests.chaos.load import OK, Health, Tally, clients, health_polled, outcome_of, quantile_ms
from tests.support.corpus import CorpusFile, generate
from tests.support.corpus.file import entry
from tests.support.corpus.memory import MemoryWatch
from tests.support.corpus.people import load_people
from tests.support.embedder_process import EmbedderProcess, running_embedder
from tests.support.photos import encoded

CONNECTIONS: Final = 4
CONCURRENCY: Final = 16
MEAN_MS: Final = 8.0
DEADLINE_S: Final = 120.0
HEALTH_DEADLINE_S: Final = 5.0

_LIMITS: Final = ImageLimits(max_bytes=20 * 2**20, max_pixels=50_000_000)
# What a core needs, roughly: to refuse a file by its header, to look for faces once, and to unpack a megapixel.
_REFUSED_MS: Final = 1.5
_LOOK_MS: Final = 100.0
_MEGAPIXEL_MS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Mix:
    """Files, and how often each is drawn for one of all."""

    files: Sequence[CorpusFile]
    weights: Sequence[float]

    def drawn(self, count: int, seed: int) -> list[CorpusFile]:
        return random.Random(seed).choices(self.files, self.weights, k=count)


def soak_files(photos: Path) -> list[CorpusFile]:
    """Returns the corpus, and the faces of the crowd as small photos of their own; photos: the pack's folder."""
    faces = load_people(photos).faces
    small = [
        entry(f"face-{number}.jpg", "small face", encoded(face.crop((0, 45, 220, 175)), "JPEG", quality=88), OK)
        for number, face in enumerate(faces)
    ]
    return [*small, *generate(photos)]


def mix_of(files: Sequence[CorpusFile], mean_ms: float) -> Mix:
    """Weighs the files by a power of their cost, such that the mean of what is drawn is mean_ms."""
    costs = [_cost_ms(file) for file in files]
    low, high = 0.0, 8.0
    for _ in range(50):
        power = (low + high) / 2
        weights = [cost**-power for cost in costs]
        mean = sum(cost * weight for cost, weight in zip(costs, weights, strict=True)) / sum(weights)
        low, high = (power, high) if mean > mean_ms else (low, power)
    return Mix(files, weights)


def _cost_ms(file: CorpusFile) -> float:
    try:
        header = check_header(file.data, _LIMITS)
    except TwinError:
        return _REFUSED_MS
    if OK not in file.outcomes and "NO_FACE" not in file.outcomes:
        return 2 * _REFUSED_MS  # The decoder stops somewhere.
    looks = 1 if OK in file.outcomes else 4
    return looks * _LOOK_MS + header.width * header.height / 1e6 * _MEGAPIXEL_MS


@dataclass(slots=True)
class SoakReport:
    """What came of a soak."""

    tally: Tally = field(default_factory=Tally)
    by_kind: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    memory: list[tuple[int, int]] = field(default_factory=list)
    health: Health = field(default_factory=Health)
    peak_bytes: int = 0
    decoders_lost: int = 0
    refused: int = 0
    images: int = 0
    is_running: bool = False

    @property
    def answered(self) -> int:
        return sum(self.tally.counts.values())


async def soak(
    embedder: EmbedderProcess, requests: Sequence[CorpusFile], *, samples: int = 10, shown: bool = False
) -> SoakReport:
    """Sends the files, so many at once, and checks every answer; memory is sampled so many times on the way."""
    report = SoakReport()
    before = _counters(embedder)
    step = max(len(requests) // samples, 1)
    left = iter(requests)
    start = time.monotonic()

    def sample() -> None:
        report.memory.append((report.answered, memory.resident_bytes()))
        if shown:
            rate = report.answered / (time.monotonic() - start)
            print(f"{report.answered:9,} answers {report.memory[-1][1] / 2**20:6.0f} MiB {rate:7.1f}/s", flush=True)

    async def caller(client: Any) -> None:
        for file in left:
            sent = time.monotonic()
            request = pb.EmbedRequest(image=file.data, faces=pb.FACE_CHOICE_ALL)
            outcome = await outcome_of(client.Embed(request, timeout=DEADLINE_S))
            report.tally.note(outcome, time.monotonic() - sent)
            report.by_kind[file.kind] += 1
            if outcome not in file.outcomes:
                report.wrong[f"{file.name}: {outcome}"] += 1
            if report.answered % step == 0:
                sample()

    with MemoryWatch(embedder.pid) as memory:
        async with (
            clients(embedder.address, CONNECTIONS) as stubs,
            health_polled(embedder.address, deadline_s=HEALTH_DEADLINE_S) as report.health,
        ):
            sample()
            await asyncio.gather(*[caller(stubs[number % CONNECTIONS]) for number in range(CONCURRENCY)])
        report.tally.window_s = time.monotonic() - start
        report.peak_bytes = memory.peak_bytes()
    after = _counters(embedder)
    report.images, report.decoders_lost, report.refused = (now - then for now, then in zip(after, before, strict=True))
    report.is_running = embedder.is_running
    return report


def _counters(embedder: EmbedderProcess) -> tuple[int, int, int]:
    names = ("images_total", "decoders_lost_total", "refused_total")
    images, lost, refused = (int(embedder.metric(f"twin_embedder_{name}")) for name in names)
    return images, lost, refused


def show(report: SoakReport, requests: Sequence[CorpusFile]) -> None:
    tally = report.tally
    print(f"\n{report.answered:,} of {len(requests):,} answered, {report.answered / tally.window_s:.1f}/s")
    for outcome, count in tally.counts.items():
        p50, p99 = (tally.quantile_ms(outcome, part) for part in (0.5, 0.99))
        print(f"{count:9,} {outcome:17} p50 {p50:7.1f} ms  p99 {p99:8.1f} ms")
    every = [seconds for outcome in tally.seconds.values() for seconds in outcome]
    print(f"{len(every):9,} {'all':17} p50 {quantile_ms(every, 0.5):7.1f} ms  p99 {quantile_ms(every, 0.99):8.1f} ms")
    print(f"{len({file.name for file in requests})} files of {len(report.by_kind)} kinds were sent")
    print("MiB: " + ", ".join(f"{held / 2**20:.0f}" for _, held in report.memory), end="")
    print(f"; highest {report.peak_bytes / 2**20:.0f}")
    print(report.health)
    print(f"{report.decoders_lost} decoders lost, {report.refused} refused, {report.images:,} images counted")
    print(f"{sum(report.wrong.values())} wrong answers")
    for words, count in report.wrong.most_common(20):
        print(f"  {count:5} × {words}")


async def run(models_dir: Path, count: int, mean_ms: float, seed: int) -> int:
    """Runs the long form; returns the exit code."""
    mix = mix_of(soak_files(models_dir / "starter" / "photos"), mean_ms)
    requests = mix.drawn(count, seed)
    print(f"seed {seed}, {len(mix.files)} files, on average {mean_ms} ms of work each", flush=True)
    with running_embedder(models_dir) as embedder:
        report = await soak(embedder, requests, shown=True)
    show(report, requests)
    is_right = report.answered == report.images == count and not report.wrong and report.is_running
    return 0 if is_right and not report.health.failures else 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--mean-ms", type=float, default=MEAN_MS, help="work of the mean request, of one core")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    return asyncio.run(run(ClientSettings().models_path(), arguments.requests, arguments.mean_ms, arguments.seed))


if __name__ == "__main__":
    raise SystemExit(main())
