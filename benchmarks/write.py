"""Adding and deleting through a real service, beside a bare COPY of the very same rows, interleaved in one run.

    python benchmarks/write.py [--faces N] [--repeats N]

The service, its PostgreSQL and the client share this machine. Each round adds new photos of one face each; then the
rows that this wrote are copied out, and copied by COPY in binary, with nothing else done, into the same tables of
another database of the same server. Both begin when the service and PostgreSQL have nothing left to do, with memory
fetched for them (see idle_memory.py). Every answer means that the photo is committed and can be found. Medians over the
rounds; ratios and processor times are worth more than the rates, which depend on what else the machine does.
"""

import argparse
import asyncio
import tempfile
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import grpc.aio
import numpy as np
from twin.face.v1 import face_pb2
from twin.vectorstore.v1 import vectorstore_pb2 as pb
from twin.vectorstore.v1 import vectorstore_pb2_grpc as pb_grpc

from benchmarks.idle_memory import fetch_memory
from benchmarks.write_bare import BareCopy
from benchmarks.write_clock import Clock, Figures
from benchmarks.write_service import ServiceProcess
from vectorstore.embedded import EmbeddedPostgres

_DIMENSION = 512
_MODEL = "benchmark"
_PHOTOS_A_MESSAGE = 500
_STREAMS = 16
_CALLERS = 64
_BARE = "bare COPY of the same rows"
# What adding takes of new memory, about: tables, their log, the system's cache of both, and the index.
_BYTES_A_PHOTO = 20_000
_MAX_MESSAGE_BYTES = 48 * 2**20
_OPTIONS = [
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=40_000, help="added in each round")
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="twin-bench-") as folder:
        asyncio.run(_run(Path(folder), chosen.faces, chosen.repeats))
    return 0


async def _run(folder: Path, face_count: int, repeats: int) -> None:
    postgres = EmbeddedPostgres(folder / "postgres")
    url = await postgres.start()
    try:
        connection: asyncpg.Connection[Any] = await asyncpg.connect(url)
        for name in ("ours", "bare"):
            await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()
        ours_url, bare_url = (url.replace("/postgres?", f"/{name}?") for name in ("ours", "bare"))
        service = ServiceProcess(folder / "data", ours_url)
        try:
            async with grpc.aio.insecure_channel(await service.address(), options=_OPTIONS) as channel:
                stub: Any = pb_grpc.VectorStoreServiceStub(channel)
                await service.until_ready(stub)
                clock = Clock(service.process.pid, folder / "postgres")
                async with BareCopy.between(ours_url, bare_url) as bare:
                    await _Comparison(stub, bare, clock, face_count).run(repeats)
        finally:
            service.stop()
    finally:
        await postgres.stop()


class _Comparison:
    """Everything that is measured, in turns."""

    def __init__(self, stub: Any, bare: BareCopy, clock: Clock, face_count: int) -> None:
        self._stub = stub
        self._bare = bare
        self._clock = clock
        self._face_count = face_count
        self._generator = np.random.default_rng(1)
        self._single_ms: list[float] = []

    async def run(self, repeats: int) -> None:
        """Measures and prints; a first round warms up and is not counted."""
        await self._stub.CreateGallery(pb.CreateGalleryRequest(model_id=_MODEL, dimension=_DIMENSION))
        await self._round(Figures())
        figures = Figures()
        self._single_ms.clear()
        for _ in range(repeats):
            await self._round(figures)
        print(f"{self._face_count:,} photos of one face a round, {_DIMENSION} dimensions, {repeats} rounds")
        figures.report(_BARE)
        p50, p99 = np.percentile(self._single_ms, [50, 99])
        print(f"  one photo, nobody else: p50 {p50:.1f} ms, p99 {p99:.1f} ms", flush=True)

    async def _round(self, figures: Figures) -> None:
        stub, time = self._stub, self._clock.time
        batches = _batches(self._photos(self._face_count), _PHOTOS_A_MESSAGE)
        await self._settle()
        figures.note("ours, one stream, many a message", self._face_count, await time(lambda: _stream(stub, batches)))
        await self._bare.read_new_rows()
        await self._settle()
        figures.note(_BARE, self._face_count, await time(self._bare.copy))
        few = self._face_count // 8
        singles = [pb.AddPhotosRequest(photo=photo) for photo in self._photos(few)]
        figures.note("ours, one stream, one a message", few, await time(lambda: _stream(stub, singles)))
        photos = self._photos(few)
        shares = [[pb.AddPhotosRequest(photo=photo) for photo in photos[n::_STREAMS]] for n in range(_STREAMS)]
        figures.note(f"ours, {_STREAMS} streams, one a message", few, await time(lambda: _streams(stub, shares)))
        ids = [photo.photo_id for photo in photos]
        half = few // 2
        figures.note(f"deleting, {_CALLERS} callers, one a call", half, await time(lambda: _delete(stub, ids[:half])))
        figures.note("deleting, 1,000 a call", few - half, await time(lambda: _delete_many(stub, ids[half:])))
        await self._bare.skip_new_rows()
        for photo in self._photos(100):
            one = pb.AddPhotosRequest(photo=photo)
            taken = await time(lambda one=one: _stream(stub, [one]))  # type: ignore[misc]
            self._single_ms.append(taken.wall * 1000)

    async def _settle(self) -> None:
        await self._clock.until_quiet()
        await asyncio.to_thread(fetch_memory, self._face_count * _BYTES_A_PHOTO)

    def _photos(self, count: int) -> list[pb.Photo]:
        rows = self._generator.standard_normal((count, _DIMENSION), dtype=np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return [_photo(self._generator, row) for row in rows]


def _batches(photos: Sequence[pb.Photo], size: int) -> list[pb.AddPhotosRequest]:
    return [pb.AddPhotosRequest(photos=photos[start : start + size]) for start in range(0, len(photos), size)]


async def _stream(stub: Any, messages: Sequence[pb.AddPhotosRequest]) -> None:
    async def requests() -> AsyncIterator[pb.AddPhotosRequest]:
        for message in messages:
            yield message

    async for response in stub.AddPhotos(requests()):
        if response.HasField("error") or any(result.HasField("error") for result in response.results):
            raise SystemExit(f"a photo was refused: {response}")


async def _streams(stub: Any, shares: Sequence[Sequence[pb.AddPhotosRequest]]) -> None:
    await asyncio.gather(*(_stream(stub, share) for share in shares))


async def _delete(stub: Any, photo_ids: Sequence[str]) -> None:
    left = iter(photo_ids)

    async def caller() -> None:
        for photo_id in left:
            await stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=photo_id))

    await asyncio.gather(*(caller() for _ in range(_CALLERS)))


async def _delete_many(stub: Any, photo_ids: Sequence[str]) -> None:
    for start in range(0, len(photo_ids), 1000):
        answer = await stub.DeletePhotos(pb.DeletePhotosRequest(photo_ids=photo_ids[start : start + 1000]))
        if any(result.HasField("error") for result in answer.results):
            raise SystemExit("a deletion was refused")


def _photo(generator: np.random.Generator, row: Any) -> pb.Photo:
    photo_id = uuid.uuid4()
    point = face_pb2.Point(x=310.5, y=205.25)
    face = face_pb2.Face(
        box=face_pb2.Box(left=250, top=120, width=180, height=240),
        landmarks=face_pb2.Landmarks(left_eye=point, right_eye=point, nose=point, left_mouth=point, right_mouth=point),
        detection_score=0.83,
        quality=face_pb2.Quality(score=0.7, sharpness=0.6, brightness=0.5, yaw_degrees=3, size_pixels=180),
        primary=True,
        embedding=face_pb2.Embedding(float32_le=row.astype("<f4").tobytes(), model_id=_MODEL),
    )
    return pb.Photo(
        photo_id=str(photo_id),
        source=pb.PhotoSource(store="local", key=f"{photo_id}.jpg"),
        sha256=generator.bytes(32),
        width=1600,
        height=1200,
        collection="benchmark",
        original_filename=f"IMG_{photo_id.hex[:8]}.jpg",
        person=f"person {photo_id.hex[:6]}",
        deletion_token_sha256=generator.bytes(32),
        faces=[pb.StoredFace(face=face)],
    )


if __name__ == "__main__":
    raise SystemExit(main())
