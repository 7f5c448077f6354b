"""gRPC's own share of what the service takes: an echo whose messages are as large as the service's.

Client and server stand as the service and its client do. The service's answers are taken apart by its client, which
counts for the service's time; the echo's are not.
"""

import asyncio
import subprocess
import sys
from typing import Any

import grpc.aio

from benchmarks.contestant import Setup
from benchmarks.echo import METHOD
from benchmarks.galleries import Rows
from benchmarks.load import Load, from_clients
from benchmarks.search_data import Found
from benchmarks.search_service import example_response, request


class Echo:
    """Calls between two processes, answered with nothing done."""

    variants: tuple[str, ...] = ("echo",)
    chooses = False

    def __init__(self, setup: Setup) -> None:
        self._runner = asyncio.Runner()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Any = None
        self._say: Any = None

    def build(self, rows: Rows) -> None:
        size = len(example_response().SerializeToString())
        self._process = subprocess.Popen([sys.executable, "-m", "benchmarks.echo", str(size)], stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        port = int(self._process.stdout.readline())

        async def connect() -> None:
            self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
            self._say = self._channel.unary_unary(METHOD)

        self._runner.run(connect())

    def bytes_each(self) -> dict[str, float]:
        return {}

    def search(self, probes: Rows, variant: str, threads: int) -> Found:
        raise NotImplementedError("an echo finds nothing")

    def under_load(self, probes: Rows, variant: str, callers: int, threads: int, duration_s: float) -> list[Load]:
        question = request(probes[0], "fast").SerializeToString()

        async def ask(_number: int, _probe: Rows) -> None:
            await self._say(question)

        return [self._runner.run(from_clients(ask, probes, callers, duration_s))]

    def add(self, ids: Found, rows: Rows) -> None:
        raise NotImplementedError("an echo keeps nothing")

    def remove(self, ids: Found) -> None:
        raise NotImplementedError("an echo keeps nothing")

    def close(self) -> None:
        self._runner.run(self._channel.close())
        self.abort()

    def open(self) -> None:
        raise NotImplementedError("an echo has nothing to start from")

    def abort(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
