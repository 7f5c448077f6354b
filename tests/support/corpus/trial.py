"""Sends the corpus to a real embedder process, and tells what it answered, how fast, and with how much memory."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from twin.embedder.v1 import embedder_pb2 as pb
from twin.embedder.v1 import embedder_pb2_grpc as pb_grpc

from runtime.status import error_info, status_from_rpc_error
from tests.support.corpus.file import OK, CorpusFile
from tests.support.corpus.memory import MemoryWatch
from tests.support.embedder_process import SERVICE, EmbedderProcess, running_embedder

_DEADLINE_S = 20.0
_OPTIONS = [("grpc.max_send_message_length", 48 * 2**20), ("grpc.enable_http_proxy", 0)]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one file: "OK", the reason of ErrorInfo, or the status where there was none."""

    file: CorpusFile
    outcome: str
    code: grpc.StatusCode
    status_bytes: int
    duration_s: float
    peak_growth_bytes: int

    @property
    def is_right(self) -> bool:
        return self.outcome in self.file.outcomes

    def __str__(self) -> str:
        figures = f"{self.duration_s:6.2f} s {self.peak_growth_bytes / 2**20:7.0f} MiB"
        return f"{figures}  {self.outcome:17} {self.file.name} ({self.file.kind})"


class Subject:
    """An embedder process that serves, and a client of it."""

    def __init__(self, channel: grpc.Channel, embedder: EmbedderProcess, memory: MemoryWatch) -> None:
        self._stub = pb_grpc.EmbedderServiceStub(channel)
        self._health = health_pb2_grpc.HealthStub(channel)
        self._embedder = embedder
        self._memory = memory

    def is_serving(self) -> bool:
        response = self._health.Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=_DEADLINE_S)
        return bool(response.status == health_pb2.HealthCheckResponse.SERVING) and self._embedder.is_running

    def vector(self, image: bytes) -> bytes:
        """Returns the vector of the photo's primary face."""
        response = self._stub.Embed(pb.EmbedRequest(image=image), timeout=_DEADLINE_S)
        return next(face.embedding.float32_le for face in response.faces if face.primary)

    def answers(self, files: Iterable[CorpusFile]) -> Iterator[Answer]:
        """Sends one file after another, every face of it to be embedded; growth is over the memory held at the start.

        A process that has died answers no more, and is not started again.
        """
        before = self._memory.resident_bytes()
        for file in files:
            self._memory.settle()
            self._memory.restart()
            start = time.monotonic()
            outcome, code, status_bytes = self._answer(file.data)
            duration_s = time.monotonic() - start
            # Without its bytes: what all the files hold together is better not kept.
            bare = replace(file, data=b"")
            yield Answer(bare, outcome, code, status_bytes, duration_s, self._memory.peak_bytes() - before)

    def _answer(self, image: bytes) -> tuple[str, grpc.StatusCode, int]:
        try:
            self._stub.Embed(pb.EmbedRequest(image=image, faces=pb.FACE_CHOICE_ALL), timeout=_DEADLINE_S)
        except grpc.RpcError as error:
            status = status_from_rpc_error(error)
            info = error_info(status)
            code: grpc.StatusCode = error.code()
            return info.reason if info is not None else code.name, code, status.ByteSize()
        return OK, grpc.StatusCode.OK, 0


@contextmanager
def serving_embedder(models_dir: Path) -> Iterator[Subject]:
    """Runs ``python -m embedder`` with its default settings, and hands it out once it is SERVING."""
    with (
        running_embedder(models_dir) as embedder,
        grpc.insecure_channel(embedder.address, options=_OPTIONS) as channel,
        MemoryWatch(embedder.pid) as memory,
    ):
        yield Subject(channel, embedder, memory)
