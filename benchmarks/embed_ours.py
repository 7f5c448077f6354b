"""This project's embedder as benchmarks run it: in this process, over gRPC, and its networks alone."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Self

from twin.embedder.v1 import embedder_pb2 as pb
from twin.embedder.v1 import embedder_pb2_grpc as pb_grpc

from embedder.caller import Caller
from embedder.engine import Model, load_model, max_begun, stage_runners
from embedder.faces import FaceChoice, Floats, Selection
from embedder.networks import Network
from embedder.scheduler import Scheduler
from embedder.settings import EmbedderSettings
from embedder.steps import Handler, Stage
from runtime.channels import open_channel

IN_FLIGHT = 8
_CHOICES = {
    FaceChoice.ALL: pb.FACE_CHOICE_ALL,
    FaceChoice.PRIMARY: pb.FACE_CHOICE_PRIMARY,
    FaceChoice.PRIMARY_ONLY: pb.FACE_CHOICE_PRIMARY_ONLY,
}


class Session:
    """The scheduler with its decoders, in this process."""

    def __init__(
        self,
        settings: EmbedderSettings,
        *,
        model: Model | None = None,
        decode: Handler | None = None,
        in_flight: int = IN_FLIGHT,
    ) -> None:
        """model: one that is loaded already, and stays its owner's to close; decode stands in for its decoders."""
        self._owns_model = model is None
        self._model = model or load_model(settings, isolated=True)
        self._in_flight = in_flight
        threads = settings.thread_count
        runners = dict(stage_runners(self._model, threads))
        if decode is not None:
            runners[Stage.DECODE] = replace(runners[Stage.DECODE], handler=decode)
        self._scheduler = Scheduler(
            runners,
            thread_count=threads,
            queue_limit=1_000_000,
            max_begun=max_begun(self._model, threads),
            on_death=lambda death: print(f"a worker died: {death!r}"),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scheduler.close(5.0)
        if self._owns_model:
            self._model.decoder.close()

    def run(self, photos: list[bytes], choice: FaceChoice) -> list[float]:
        """Works on the photos, in_flight at once; returns each one's seconds."""
        nobody = Caller(None)
        room = threading.Semaphore(self._in_flight)
        seconds: list[float] = []

        def done(started: float) -> None:
            seconds.append(time.perf_counter() - started)
            room.release()

        futures = []
        for data in photos:
            room.acquire()
            started = time.perf_counter()
            steps = self._model.pipeline.steps(data, Selection(choice))
            future = self._scheduler.submit(steps, nobody, refusable=False).future
            future.add_done_callback(lambda _, started=started: done(started))
            futures.append(future)
        for future in futures:
            future.result()
        return seconds


class Served:
    """A real embedder process, and a client of it."""

    def __init__(self, settings: EmbedderSettings) -> None:
        environment = {
            **os.environ,
            "TWIN_EMBEDDER_BIND": "127.0.0.1:0",
            "TWIN_METRICS_BIND": "127.0.0.1:0",
            "TWIN_EMBEDDER_THREADS": str(settings.thread_count),
            "TWIN_EMBEDDER_PROVIDER": settings.embedder_provider,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "embedder"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
        )
        assert self._process.stdout is not None
        self._address = json.loads(self._process.stdout.readline())["embedder"]

    def __enter__(self) -> Self:
        asyncio.run(self._wait_until_serving())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(30)

    def run(self, photos: list[bytes], choice: FaceChoice) -> list[float]:
        """Sends the photos over one EmbedStream; returns each one's seconds."""
        return asyncio.run(self._stream(photos, choice))

    async def _stream(self, photos: list[bytes], choice: FaceChoice) -> list[float]:
        sent: dict[str, float] = {}
        seconds: list[float] = []
        room = asyncio.Semaphore(IN_FLIGHT)

        async def requests() -> AsyncIterator[pb.EmbedStreamRequest]:
            for number, data in enumerate(photos):
                await room.acquire()
                sent[str(number)] = time.perf_counter()
                image = pb.EmbedRequest(image=data, faces=_CHOICES[choice])
                yield pb.EmbedStreamRequest(image_id=str(number), image=image)

        async with open_channel(self._address, max_message_bytes=48 * 2**20) as channel:
            async for answer in pb_grpc.EmbedderServiceStub(channel).EmbedStream(requests()):
                room.release()
                assert answer.WhichOneof("result") == "response", answer.error
                seconds.append(time.perf_counter() - sent[answer.image_id])
        return seconds

    async def _wait_until_serving(self) -> None:
        async with open_channel(self._address, max_message_bytes=48 * 2**20) as channel:
            stub = pb_grpc.EmbedderServiceStub(channel)
            for _ in range(600):
                try:
                    await stub.GetModel(pb.GetModelRequest())
                    return
                except Exception:
                    await asyncio.sleep(0.1)
        raise SystemExit("the embedder did not start")


class _Recording:
    """A network that remembers what it was given."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.calls: list[Floats] = []

    def run(self, batch: Floats) -> list[Floats]:
        self.calls.append(batch)
        return self._network.run(batch)


def networks_alone(
    settings: EmbedderSettings, photos: list[bytes], choice: FaceChoice
) -> Callable[[list[bytes]], list[float]]:
    """Returns work that runs the batches which the photos lead to, and nothing else, in as many threads."""
    model = load_model(settings)
    limit = model.provider.max_batch
    batches = [
        partial(network.run, call[start : start + limit])
        for network, calls in recorded(model, photos, choice)
        for call in calls
        for start in range(0, len(call), limit)
    ]
    return replayed(batches, settings.thread_count)


def recorded(model: Model, photos: list[bytes], choice: FaceChoice) -> list[tuple[Network, list[Floats]]]:
    """Works on the photos one after another; returns what the detector's network was given, and the recognizer's."""
    parts = (model.pipeline.detector, model.pipeline.recognizer)
    recordings = [_Recording(part._network) for part in parts]
    for part, recording in zip(parts, recordings, strict=True):
        part._network = recording
    try:
        for data in photos:
            model.pipeline.run(data, Selection(choice))
    finally:
        for part, recording in zip(parts, recordings, strict=True):
            part._network = recording._network
    return [(recording._network, recording.calls) for recording in recordings]


def replayed(calls: Sequence[Callable[[], object]], thread_count: int) -> Callable[[list[bytes]], list[float]]:
    """Returns work that makes the calls, whatever the photos; each one's seconds are a batch's."""

    def one(call: Callable[[], object]) -> float:
        started = time.perf_counter()
        call()
        return time.perf_counter() - started

    def work(photos: list[bytes]) -> list[float]:
        with ThreadPoolExecutor(thread_count) as pool:
            return list(pool.map(one, calls))

    return work
