"""Hundreds of photos through one Enroll stream, and vector stores that are slow or deaf. No times are asserted.

A store that refuses, dies or comes back is for tests/embedder/test_enroll.py.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from twin.embedder.v1 import embedder_pb2 as pb
from twin.vectorstore.v1 import vectorstore_pb2 as vs

from runtime.status import error_info
from tests.chaos.enroll_bulk import BAD_ONE_IN, Photos, enroll_bulk
from tests.chaos.load import OK, clients
from tests.embedder.serving import FakeStore, fake_store, store_server, stored
from tests.support.corpus.memory import MemoryWatch
from tests.support.embedder_process import running_embedder

PHOTOS = 600
WARM_AFTER = 200
MAX_GROWTH_BYTES = 60 * 2**20
PATIENCE_S = 60.0

LARGE_BYTES = 400 * 2**10
LARGE_PHOTOS = 300
TRANSPORT_BYTES = 64 * 2**20
"""What a connection may hold of a stream that is not read on: gRPC's windows grow up to 16 MiB, and the kernel's
buffers up to what the machine allows, 32 MiB for the receiver's and 4 MiB for the sender's on many."""
MAX_HELD_GROWTH_BYTES = TRANSPORT_BYTES + 40 * 2**20

pytestmark = pytest.mark.chaos


@pytest.fixture(scope="module")
def photos(models_dir: Path) -> Photos:
    return Photos(models_dir / "starter" / "photos")


async def test_bulk_answers_each_photo_once_in_flat_memory(models_dir: Path, photos: Photos) -> None:
    fake = fake_store(stored)
    async with store_server(fake) as store:
        with running_embedder(models_dir, TWIN_VECTORSTORE_TARGET=store) as embedder:
            async with clients(embedder.address, 1) as [client]:
                report = await enroll_bulk(client, photos, PHOTOS, MemoryWatch(embedder.pid), step=50)
    print(dict(report.answers), [held >> 20 for _, held in report.memory], f"{PHOTOS / report.duration_s:.1f}/s")
    assert report.wrong == []
    assert report.unanswered == 0
    assert report.answers.total() == PHOTOS
    assert report.answers[OK] == PHOTOS - PHOTOS // BAD_ONE_IN
    sent = [request.photo.photo_id for request in fake.requests]
    assert len(set(sent)) == len(sent) == report.answers[OK]
    assert fake.streams == 1
    assert report.growth_bytes(WARM_AFTER) < MAX_GROWTH_BYTES


class GatedStore(FakeStore):
    """Reads every photo and answers none until it is let go; notes the time that each stream was given."""

    def __init__(self) -> None:
        super().__init__(stored)
        self.opened = asyncio.Event()
        self.deadlines_s: list[float | None] = []
        self._received = asyncio.Condition()

    async def received(self, count: int) -> None:
        """Waits until so many photos have come."""
        async with self._received:
            await self._received.wait_for(lambda: len(self.requests) >= count)

    async def AddPhotos(  # noqa: N802
        self, request_iterator: Any, context: Any
    ) -> AsyncIterator[vs.AddPhotosResponse]:
        self.deadlines_s.append(context.time_remaining())
        unanswered: asyncio.Queue[vs.AddPhotosRequest] = asyncio.Queue()

        async def read() -> None:
            async for request in request_iterator:
                async with self._received:
                    self.requests.append(request)
                    self._received.notify_all()
                unanswered.put_nowait(request)

        reading = asyncio.create_task(read())
        try:
            await self.opened.wait()
            while True:
                yield stored(await unanswered.get())
        finally:
            reading.cancel()


def gated_store() -> GatedStore:
    return GatedStore()  # type: ignore[abstract]


def enrolling(image: bytes) -> pb.EnrollRequest:
    return pb.EnrollRequest(photo=vs.Photo(photo_id=str(uuid.uuid4())), image=image)


def padded(jpeg: bytes, byte_count: int) -> bytes:
    """Returns the photo with comments that make it about as large."""
    comment = b"\xff\xfe\xff\xff" + bytes(65_533)
    return jpeg[:2] + comment * (byte_count // len(comment)) + jpeg[2:]


def reason_of(answer: pb.EnrollResponse) -> str:
    info = error_info(answer.error)
    return info.reason if info is not None else ""


@pytest.mark.parametrize(
    ("limits", "held"),
    [
        ({"TWIN_EMBEDDER_STREAM_IN_FLIGHT": "4"}, 4),
        # Two of them fit into a mebibyte.
        ({"TWIN_EMBEDDER_STREAM_WAITING_BYTES": str(2**20)}, 2),
    ],
    ids=["by number", "by bytes"],
)
async def test_store_that_does_not_answer_holds_back_the_sender(
    models_dir: Path, photos: Photos, limits: dict[str, str], held: int
) -> None:
    fake = gated_store()
    requests = [enrolling(padded(photos.jpeg(number), LARGE_BYTES)) for number in range(LARGE_PHOTOS)]
    written = 0

    async def sent() -> AsyncIterator[pb.EnrollRequest]:
        nonlocal written
        for request in requests:
            yield request
            written += 1

    async def answers(client: Any) -> list[pb.EnrollResponse]:
        return [answer async for answer in client.Enroll(sent(), timeout=250)]

    async with store_server(fake) as store:
        environment = {"TWIN_VECTORSTORE_TARGET": store, "TWIN_ENROLL_ANSWER_TIMEOUT_S": "250", **limits}
        with running_embedder(models_dir, **environment) as embedder:
            memory = MemoryWatch(embedder.pid)
            async with clients(embedder.address, 1) as [client]:
                before = memory.resident_bytes()
                enrolled = asyncio.create_task(answers(client))
                async with asyncio.timeout(PATIENCE_S):
                    await fake.received(held)
                    earlier = -1
                    while earlier != written:
                        earlier = written
                        await asyncio.sleep(1.0)
                growth = memory.resident_bytes() - before
                print(f"{written} of {LARGE_PHOTOS} photos were written, growth {growth / 2**20:.0f} MiB")
                assert len(fake.requests) == held
                assert written <= held + 2 + TRANSPORT_BYTES // LARGE_BYTES
                assert growth < MAX_HELD_GROWTH_BYTES
                fake.opened.set()
                answered = await enrolled
    assert sorted(answer.photo_id for answer in answered) == sorted(request.photo.photo_id for request in requests)
    assert all(answer.HasField("photo") for answer in answered)
    assert len(fake.requests) == LARGE_PHOTOS
    [deadline_s] = fake.deadlines_s
    assert deadline_s is not None and deadline_s < 300


async def test_peer_that_accepts_connections_and_says_nothing_is_given_up_on(models_dir: Path, photos: Photos) -> None:
    connected = 0

    class Deaf(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            nonlocal connected
            connected += 1

    deaf = await asyncio.get_running_loop().create_server(Deaf, "127.0.0.1", 0)
    async with deaf:
        host, port = deaf.sockets[0].getsockname()
        environment = {"TWIN_VECTORSTORE_TARGET": f"{host}:{port}", "TWIN_ENROLL_ANSWER_TIMEOUT_S": "1"}
        with running_embedder(models_dir, **environment) as embedder:
            async with clients(embedder.address, 1) as [client]:

                async def each() -> AsyncIterator[pb.EnrollRequest]:
                    for number in range(3):
                        yield enrolling(photos.jpeg(number))

                answers = [answer async for answer in client.Enroll(each(), timeout=PATIENCE_S)]
    assert [reason_of(answer) for answer in answers] == ["DEPENDENCY_UNAVAILABLE"] * 3
    assert connected
