"""Thousands of photos through one Enroll stream, one in ten of them bad, against a real embedder process.

``python -m tests.chaos.enroll_bulk --photos 10000`` prints what became of them, the embedder's memory and the rate.
"""

import argparse
import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, ImageEnhance
from twin.embedder.v1 import embedder_pb2 as pb
from twin.vectorstore.v1 import vectorstore_pb2 as vs

from cli.settings import ClientSettings
from runtime.status import error_info
from tests.chaos.load import OK, clients
from tests.embedder.serving import fake_store, store_server, stored
from tests.support.corpus.memory import MemoryWatch
from tests.support.corpus.people import load_people
from tests.support.embedder_process import running_embedder
from tests.support.photos import encoded, huge_header_png

BAD_ONE_IN = 10
_WIDTH, _HEIGHT = 400, 120
"""A third as high as wide: a detector's look at it costs as much less, and one look suffices."""
_LONG_STEP = 500


@dataclass(frozen=True, slots=True)
class BulkPhoto:
    """One photo, and what must become of it."""

    photo_id: str
    image: bytes
    outcome: str

    def request(self) -> pb.EnrollRequest:
        return pb.EnrollRequest(gallery="bulk", photo=vs.Photo(photo_id=self.photo_id), image=self.image)


class Photos:
    """Small portraits of real people, no two of the same bytes, and bad files between them."""

    def __init__(self, folder: Path) -> None:
        """Folder: the starter pack's ``photos``."""
        self._faces = [_framed(face) for face in load_people(folder).faces]
        good = self.jpeg(0)
        gray = encoded(Image.new("RGB", (96, 24), (90, 100, 110)), "JPEG")
        self._bad = [
            (b"", "UNREADABLE_IMAGE"),
            (b"no image at all " * 40, "UNREADABLE_IMAGE"),
            (good[:30], "UNREADABLE_IMAGE"),
            (good[: len(good) // 8], "UNREADABLE_IMAGE"),
            (huge_header_png(), "IMAGE_TOO_LARGE"),
            (gray, "NO_FACE"),
        ]

    def jpeg(self, number: int) -> bytes:
        """Returns one of the faces, mirrored and lit by its number, 400 × 120."""
        face = self._faces[number % len(self._faces)]
        if number // len(self._faces) % 2:
            face = face.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        lit = ImageEnhance.Brightness(face).enhance(0.9 + 0.02 * (number % 11))
        return encoded(lit, "JPEG", quality=80 + number % 13, comment=f"photo {number}")

    def photo(self, number: int) -> BulkPhoto:
        image, outcome = self.jpeg(number), OK
        if number % BAD_ONE_IN == BAD_ONE_IN // 2:
            image, outcome = self._bad[number // BAD_ONE_IN % len(self._bad)]
        return BulkPhoto(str(uuid.uuid4()), image, outcome)


def _framed(face: Image.Image) -> Image.Image:
    frame = Image.new("RGB", (_WIDTH, _HEIGHT), (110, 110, 110))
    frame.paste(face, ((_WIDTH - face.width) // 2, (_HEIGHT - face.height) // 2))
    return frame


@dataclass(slots=True)
class BulkReport:
    """What became of the photos, and how the embedder's memory was every so many answers: (answers, bytes)."""

    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    unanswered: int = 0
    memory: list[tuple[int, int]] = field(default_factory=list)
    duration_s: float = 0.0

    def growth_bytes(self, after: int) -> int:
        """Returns by how much memory was ever over what it was after so many answers."""
        later = [held for answers, held in self.memory if answers >= after]
        return max(later) - later[0]


async def enroll_bulk(
    client: Any, photos: Photos, count: int, memory: MemoryWatch, *, step: int, shown: bool = False
) -> BulkReport:
    """Sends so many photos over one stream, and checks each answer as it comes."""
    report = BulkReport()
    expected: dict[str, str] = {}
    seen: set[str] = set()

    async def requests() -> AsyncIterator[pb.EnrollRequest]:
        for number in range(count):
            photo = photos.photo(number)
            expected[photo.photo_id] = photo.outcome
            yield photo.request()

    start = time.monotonic()
    async for answer in client.Enroll(requests(), timeout=7_200):
        info = error_info(answer.error)
        outcome = OK if answer.HasField("photo") else info.reason if info is not None else "an error without a reason"
        report.answers[outcome] += 1
        if answer.photo_id in seen or expected.get(answer.photo_id) != outcome:
            report.wrong.append(f"{outcome} for what should be {expected.get(answer.photo_id)}")
        seen.add(answer.photo_id)
        if len(seen) % step == 0:
            report.memory.append((len(seen), memory.resident_bytes()))
            if shown:
                rate = len(seen) / (time.monotonic() - start)
                print(f"{len(seen):7,} answers {report.memory[-1][1] / 2**20:7.0f} MiB {rate:7.1f}/s", flush=True)
    report.duration_s = time.monotonic() - start
    report.unanswered = count - len(seen)
    return report


async def run(models_dir: Path, count: int) -> int:
    """Runs the long form; returns the exit code."""
    fake = fake_store(stored)
    async with store_server(fake) as store:
        with running_embedder(models_dir, TWIN_VECTORSTORE_TARGET=store) as embedder:
            async with clients(embedder.address, 1) as [client]:
                photos = Photos(models_dir / "starter" / "photos")
                memory = MemoryWatch(embedder.pid)
                report = await enroll_bulk(client, photos, count, memory, step=_LONG_STEP, shown=True)
            lost = embedder.metric("twin_embedder_decoders_lost_total")
    for outcome, number in report.answers.most_common():
        print(f"{number:7,} {outcome}")
    sent = [request.photo.photo_id for request in fake.requests]
    print(f"{len(report.wrong)} wrong, {report.unanswered} unanswered, {lost:.0f} decoders lost")
    print(f"the store got {len(sent):,} photos, {len(set(sent)):,} of them different, over {fake.streams} stream(s)")
    print(f"{count / report.duration_s:.1f} photos/s; growth {report.growth_bytes(_LONG_STEP) / 2**20:.0f} MiB")
    is_right = not report.wrong and not report.unanswered and len(sent) == len(set(sent)) == report.answers[OK]
    return 0 if is_right else 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.enroll_bulk", description=__doc__)
    parser.add_argument("--photos", type=int, default=10_000)
    return asyncio.run(run(ClientSettings().models_path(), parser.parse_args().photos))


if __name__ == "__main__":
    raise SystemExit(main())
