"""A vector store in a process of its own, on a database that is already there."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc.aio
from twin.vectorstore.v1 import vectorstore_pb2 as pb

_START_PATIENCE_S = 60


class ServiceProcess:
    """``python -m vectorstore``, stopped by ``stop``."""

    def __init__(self, data_folder: Path, database_url: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "vectorstore"],
            stdout=subprocess.PIPE,
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("TWIN_")},
                "TWIN_DATA_DIR": str(data_folder),
                "TWIN_DATABASE_URL": database_url,
                "TWIN_VECTORSTORE_BIND": "127.0.0.1:0",
                "TWIN_METRICS_BIND": "127.0.0.1:0",
                "TWIN_LOG_LEVEL": "warning",
                **environment,
            },
        )

    async def address(self) -> str:
        """Returns HOST:PORT once it listens."""
        assert self.process.stdout is not None
        line = await asyncio.to_thread(self.process.stdout.readline)
        if not line:
            raise SystemExit("the vector store did not start")
        return str(json.loads(line)["vectorstore"])

    async def until_ready(self, stub: Any) -> None:
        """Returns once it serves."""
        async with asyncio.timeout(_START_PATIENCE_S):
            while True:
                try:
                    await stub.GetStats(pb.GetStatsRequest())
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(0.1)
                else:
                    return

    def stop(self) -> None:
        """Ends it in good order."""
        self.process.terminate()
        self.process.wait(30)
        if self.process.stdout is not None:
            self.process.stdout.close()
