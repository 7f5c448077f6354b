"""A vector store as its own process, with its own embedded PostgreSQL, to be killed."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from twin.vectorstore.v1 import vectorstore_pb2 as pb
from twin.vectorstore.v1 import vectorstore_pb2_grpc as pb_grpc


class StoreProcess:
    """``python -m vectorstore`` on a data folder."""

    def __init__(self, data_folder: Path, **environment: str) -> None:
        self.data_folder = data_folder
        data_folder.parent.mkdir(parents=True, exist_ok=True)
        self.log = data_folder.parent / "service.log"
        self._addresses: dict[str, str] | None = None
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "vectorstore"],
                stdout=subprocess.PIPE,
                stderr=log,
                env={
                    **{name: value for name, value in os.environ.items() if not name.startswith("TWIN_")},
                    "TWIN_DATA_DIR": str(data_folder),
                    "TWIN_VECTORSTORE_BIND": "127.0.0.1:0",
                    "TWIN_METRICS_BIND": "127.0.0.1:0",
                    "TWIN_LOG_LEVEL": "debug",
                    **environment,
                },
            )

    async def address(self) -> str:
        addresses = await self.addresses()
        assert addresses is not None, self.log.read_text()
        return addresses["vectorstore"]

    async def addresses(self) -> dict[str, str] | None:
        """Returns what it listens on, by name; None when it ended before."""
        if self._addresses is None:
            assert self.process.stdout is not None
            line = await asyncio.to_thread(self.process.stdout.readline)
            self._addresses = dict(json.loads(line)) if line else None
        return self._addresses

    def kill(self) -> None:
        self.process.kill()
        self._reap()

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        self._reap()
        return self.process.returncode

    def _reap(self) -> None:
        self.process.wait(60)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def postgres_pid(self) -> int:
        return int((self.data_folder / "postgres" / "postmaster.pid").read_text().splitlines()[0])

    def kill_postgres(self, number: int = signal.SIGKILL) -> None:
        os.kill(self.postgres_pid(), number)


@asynccontextmanager
async def serving(store: StoreProcess) -> AsyncIterator[Any]:
    """Lends a stub once the store is ready."""
    async with grpc.aio.insecure_channel(await store.address()) as channel:
        stub: Any = pb_grpc.VectorStoreServiceStub(channel)
        await until_ready(stub)
        yield stub


async def until_ready(stub: Any) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                await stub.GetStats(pb.GetStatsRequest())
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.UNAVAILABLE, error
                await asyncio.sleep(0.1)
            else:
                return


def process_is_there(pid: int) -> bool:
    """Tells whether a process runs; one that waits to be reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
