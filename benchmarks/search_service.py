"""This project's vector store as callers see it, through gRPC.

The client is one asyncio program; the server and its PostgreSQL are processes of their own on the same machine.
Requests have one query each and ask for the nearest ten.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc.aio
import numpy as np
from twin.face.v1 import face_pb2
from twin.vectorstore.v1 import vectorstore_pb2 as pb
from twin.vectorstore.v1 import vectorstore_pb2_grpc as pb_grpc

from benchmarks.contestant import Setup
from benchmarks.galleries import Rows
from benchmarks.load import Load, from_clients
from benchmarks.search_data import Found, K
from benchmarks.start_data import fill_database
from vectorstore.embedded import EmbeddedPostgres
from vectorstore.index.choose import AUTO_COMPRESS_FROM
from vectorstore.index.cpu import FLAT_KIND

_ACCURACIES: Final = {"fast": pb.ACCURACY_FAST, "exact": pb.ACCURACY_EXACT}
# What fill_database says of its gallery.
_MODEL: Final = "bench"
_START_PATIENCE_S: Final = 600
# Long enough for whatever the service prepares in the background once it is ready.
_SETTLE_S: Final = 3.0
_SETTLE_PATIENCE_S: Final = 600
_CHECKERS: Final = 16
_PHOTOS_A_MESSAGE: Final = 500
_DELETED_A_CALL: Final = 1000


def request(probe: Rows, variant: str) -> pb.SearchRequest:
    """Returns the question for one probe (512,)."""
    embedding = face_pb2.Embedding(float32_le=probe.astype("<f4").tobytes(), model_id=_MODEL)
    return pb.SearchRequest(
        queries=[pb.Query(embedding=embedding)],
        limit=K,
        mode=pb.MATCH_MODE_NEAREST,
        accuracy=_ACCURACIES[variant],
    )


def example_response() -> pb.SearchResponse:
    """Returns a message as large as an answer."""
    match = pb.Match(
        photo_id=str(uuid.UUID(int=1)),
        face_id=90_000,
        box=face_pb2.Box(left=100.0, top=120.0, width=200.0, height=210.0),
        similarity=pb.Similarity(cosine=0.25, percent=12.5, percentile=0.99),
        person="person 12345",
        collection="collection 1",
        source=pb.PhotoSource(store="local", key=f"originals/{uuid.UUID(int=1).hex}.jpg"),
    )
    return pb.SearchResponse(results=[pb.SearchResult(matches=[match] * K)], revision=90_000)


class Service:
    """The service and its embedded PostgreSQL, filled by COPY."""

    variants: tuple[str, ...] = ("fast", "exact")
    chooses = False

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._runner = asyncio.Runner()
        self._postgres = EmbeddedPostgres(setup.folder / "database" / "postgres")
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Any = None
        self._stub: Any = None
        self._photo_ids: list[str] = []

    def build(self, rows: Rows) -> None:
        self._runner.run(self._build())

    def bytes_each(self) -> dict[str, float]:
        (index,) = self._runner.run(self._stats()).indexes
        return {"memory": index.memory_bytes / index.face_count}

    def search(self, probes: Rows, variant: str, threads: int) -> Found:
        found: Found = self._runner.run(self._search(probes, variant))
        return found

    def under_load(self, probes: Rows, variant: str, callers: int, threads: int, duration_s: float) -> list[Load]:
        async def ask(_number: int, probe: Rows) -> None:
            await self._stub.Search(request(probe, variant))

        return [self._runner.run(from_clients(ask, probes, callers, duration_s))]

    def add(self, ids: Found, rows: Rows) -> None:
        self._runner.run(self._add(rows))

    def remove(self, ids: Found) -> None:
        self._runner.run(self._remove())

    def close(self) -> None:
        self._runner.run(self._close())
        self._stop_process()
        self._runner.run(self._postgres.stop())
        self._runner.close()

    def open(self) -> None:
        self._runner.run(self._start())

    def abort(self) -> None:
        self._stop_process()
        with asyncio.Runner() as runner:
            runner.run(self._postgres.stop())

    async def _build(self) -> None:
        (self._setup.folder / "database").mkdir()
        database_url = await self._postgres.start()
        await fill_database(database_url, self._setup.gallery)
        await self._serve(database_url)
        await self._until_settled()

    async def _start(self) -> None:
        await self._serve(await self._postgres.start())

    async def _serve(self, database_url: str) -> None:
        self._process = self._start_process(database_url)
        assert self._process.stdout is not None
        line = await asyncio.to_thread(self._process.stdout.readline)
        if not line:
            raise RuntimeError("the vector store did not start")
        self._channel = grpc.aio.insecure_channel(json.loads(line)["vectorstore"])
        self._stub = pb_grpc.VectorStoreServiceStub(self._channel)
        async with asyncio.timeout(_START_PATIENCE_S):
            while True:
                try:
                    await self._stats()
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(0.02)
                else:
                    return

    def _start_process(self, database_url: str) -> subprocess.Popen[bytes]:
        # As it is started by anybody else: without what was set for the benchmark.
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("TWIN_") and name != "OPENBLAS_NUM_THREADS"
        }
        return subprocess.Popen(
            [sys.executable, "-m", "vectorstore"],
            stdout=subprocess.PIPE,
            env={
                **environment,
                "TWIN_DATA_DIR": str(self._setup.folder / "data"),
                "TWIN_DATABASE_URL": database_url,
                "TWIN_VECTORSTORE_BIND": "127.0.0.1:0",
                "TWIN_METRICS_BIND": "127.0.0.1:0",
                "TWIN_LOG_LEVEL": "warning",
            },
        )

    async def _until_settled(self) -> None:
        """Returns once the index is of the kind for its size, and has stayed the same for a while."""
        changed, before = time.monotonic(), None
        is_large = self._setup.gallery.face_count >= AUTO_COMPRESS_FROM
        async with asyncio.timeout(_SETTLE_PATIENCE_S):
            while time.monotonic() - changed < _SETTLE_S:
                (now,) = (await self._stats()).indexes
                if now != before or (is_large and now.kind == FLAT_KIND):
                    changed, before = time.monotonic(), now
                await asyncio.sleep(0.1)

    async def _stats(self) -> pb.GetStatsResponse:
        stats: pb.GetStatsResponse = await self._stub.GetStats(pb.GetStatsRequest())
        return stats

    async def _search(self, probes: Rows, variant: str) -> Found:
        found = np.full((len(probes), K), -1, np.int64)
        turns = iter(range(len(probes)))

        async def caller() -> None:
            for turn in turns:
                answer = await self._stub.Search(request(probes[turn], variant))
                # fill_database counts faces from 1.
                rows = [match.face_id - 1 for match in answer.results[0].matches]
                found[turn, : len(rows)] = rows

        await asyncio.gather(*(caller() for _ in range(_CHECKERS)))
        return found

    async def _add(self, rows: Rows) -> None:
        photos = [_photo(row) for row in rows]
        self._photo_ids = [photo.photo_id for photo in photos]

        async def messages() -> AsyncIterator[pb.AddPhotosRequest]:
            for start in range(0, len(photos), _PHOTOS_A_MESSAGE):
                yield pb.AddPhotosRequest(photos=photos[start : start + _PHOTOS_A_MESSAGE])

        async for answer in self._stub.AddPhotos(messages()):
            if answer.HasField("error") or any(result.HasField("error") for result in answer.results):
                raise RuntimeError(f"a photo was refused: {answer}")

    async def _remove(self) -> None:
        for start in range(0, len(self._photo_ids), _DELETED_A_CALL):
            ids = self._photo_ids[start : start + _DELETED_A_CALL]
            answer = await self._stub.DeletePhotos(pb.DeletePhotosRequest(photo_ids=ids))
            if any(result.HasField("error") for result in answer.results):
                raise RuntimeError("a deletion was refused")

    async def _close(self) -> None:
        await self._stub.CreateSnapshot(pb.CreateSnapshotRequest())
        await self._channel.close()

    def _stop_process(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None


def _photo(row: Rows) -> pb.Photo:
    photo_id = uuid.uuid4()
    embedding = face_pb2.Embedding(float32_le=row.astype("<f4").tobytes(), model_id=_MODEL)
    face = face_pb2.Face(box=face_pb2.Box(left=100, top=120, width=200, height=210), embedding=embedding)
    return pb.Photo(
        photo_id=str(photo_id),
        sha256=photo_id.bytes * 2,
        source=pb.PhotoSource(store="local", key=f"{photo_id}.jpg"),
        width=1024,
        height=768,
        faces=[pb.StoredFace(face=face)],
    )
