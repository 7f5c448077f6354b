"""Imports whose gateway is killed with SIGKILL on the way, again and again.

Used by test_import_kills.py, and by import_drive.py.
"""

import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio
from twin.gateway.v1 import gateway_pb2 as pb
from twin.gateway.v1 import gateway_pb2_grpc
from twin.vectorstore.v1 import vectorstore_pb2 as vs
from twin.vectorstore.v1 import vectorstore_pb2_grpc

from cli.settings import ClientSettings
from cli.supervisor import wait_until_serving
from runtime.channels import open_channel
from runtime.server import SUPERVISED_VARIABLE
from tests.support.stack import Stack

_START_TIMEOUT_S: Final = 60.0
# Photos that every life of a gateway must bring before it is killed, so that each kill is on the way.
_PROGRESS: Final = 3


class GatewayProcess:
    """A gateway beside those of a stack, on the same data folder and the same peers."""

    def __init__(self, stack: Stack, **environment: str) -> None:
        self._stack = stack
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self.address = "127.0.0.1:0"

    def start(self) -> None:
        """Starts it, and waits until it takes calls; again where it was before."""
        environment = {
            **self._stack.environment,
            "TWIN_GATEWAY_BIND": self.address,
            "TWIN_GATEWAY_HTTP_BIND": "127.0.0.1:0",
            "TWIN_IMPORT_TAKEOVER_S": "2",
            **self._environment,
            SUPERVISED_VARIABLE: "1",
        }
        with self._stack.log.open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gateway"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        give_up = threading.Timer(_START_TIMEOUT_S, self._process.kill)
        give_up.start()
        try:
            assert self._process.stdout is not None
            line = next((line for line in self._process.stdout if line.startswith(b"{")), b"")
        finally:
            give_up.cancel()
        assert line, f"the gateway did not start:\n{self._stack.log.read_text()[-4000:]}"
        self.address = json.loads(line)["gateway"]
        asyncio.run(wait_until_serving(self.address, timeout_s=_START_TIMEOUT_S))

    def kill(self) -> None:
        """Ends it at once."""
        process, self._process = self._process, None
        if process is not None:
            with process:
                process.kill()


@contextlib.contextmanager
def gateway_beside(stack: Stack, **environment: str) -> Iterator[GatewayProcess]:
    """A gateway that is gone afterwards."""
    gateway = GatewayProcess(stack, **environment)
    gateway.start()
    try:
        yield gateway
    finally:
        gateway.kill()


def admin_metadata(stack: Stack) -> tuple[tuple[str, str], ...]:
    return ClientSettings(data_dir=stack.data_dir).admin_metadata()


async def photo_count(stack: Stack, gallery: str = "default") -> int:
    async with open_channel(stack.addresses["vectorstore"]) as channel:
        stub: Any = vectorstore_pb2_grpc.VectorStoreServiceStub(channel)
        page = await stub.ListGalleries(vs.ListGalleriesRequest())
    return next((found.photo_count for found in page.galleries if found.name == gallery), 0)


async def sources(stack: Stack, gallery: str = "default") -> list[str]:
    """Returns the key of every photo's original."""
    keys: list[str] = []
    token = ""
    async with open_channel(stack.addresses["vectorstore"]) as channel:
        stub: Any = vectorstore_pb2_grpc.VectorStoreServiceStub(channel)
        while True:
            page = await stub.ListPhotos(vs.ListPhotosRequest(gallery=gallery, page_token=token, page_size=1000))
            keys += [photo.source.key for photo in page.photos]
            token = page.next_page_token
            if not token:
                return keys


async def import_to_the_end(
    stack: Stack, address: str, folder: str
) -> tuple[pb.ImportPhotosResponse, list[pb.ImportFailure]]:
    """Imports a folder of the store in one call; returns the last state, and every failure."""
    last, failures = pb.ImportPhotosResponse(), []
    async with open_channel(address) as channel:
        stub: Any = gateway_pb2_grpc.TwinServiceStub(channel)
        async for last in stub.ImportPhotos(pb.ImportPhotosRequest(folder=folder), metadata=admin_metadata(stack)):
            failures.extend(last.failures)
    return last, failures


def kill_on_the_way(
    stack: Stack, gateway: GatewayProcess, folder: str, draws: random.Random, *, step: int = _PROGRESS
) -> None:
    """Lets the gateway import so many photos more, kills it at a random moment after, and starts it again."""

    async def until_killed() -> None:
        before = await photo_count(stack)
        call = asyncio.create_task(import_to_the_end(stack, gateway.address, folder))
        while await photo_count(stack) < before + step and not call.done():  # noqa: ASYNC110 - set elsewhere
            await asyncio.sleep(0.02)
        await asyncio.sleep(draws.uniform(0, 0.15))
        gateway.kill()
        print(f"killed at {await photo_count(stack)} photos")
        with contextlib.suppress(grpc.RpcError):
            await call

    asyncio.run(until_killed())
    gateway.start()


def put_photos(folder: Path, count: int, models_dir: Path) -> list[str]:
    """Writes small portraits, no two of the same bytes; returns their names."""
    from tests.chaos.enroll_bulk import Photos

    photos = Photos(models_dir / "starter" / "photos")
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{number:05}.jpg" for number in range(count)]
    for number, name in enumerate(names):
        (folder / name).write_bytes(photos.jpeg(number))
    return names


def seed_of_this_run() -> int:
    seed = int(os.environ.get("TWIN_TEST_SEED", time.time_ns() % 2**31))
    print(f"TWIN_TEST_SEED={seed}")
    return seed
