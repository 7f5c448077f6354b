"""One supervised service process."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from typing import Final

from runtime.server import SUPERVISED_VARIABLE

# Longer than a service's own drain: past this it hangs.
STOP_TIMEOUT_S: Final = 20.0


class Child:
    """Runs ``python -m <name>`` and reads the line in which it tells its addresses.

    It lives in a process session of its own, so that Ctrl-C at the terminal reaches the supervisor alone, which then
    ends its children in order. Its standard input is a pipe that ends with the supervisor, and it with the pipe.
    """

    def __init__(self, name: str, environment: Mapping[str, str]) -> None:
        self.name = name
        self._environment = dict(environment)
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> dict[str, str]:
        """Starts the process; returns its addresses by name, or nothing when it ended before it listened."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            self.name,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **self._environment, SUPERVISED_VARIABLE: "1"},
            start_new_session=True,
        )
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            # A library that prints a line of its own must not be taken for a service that ended.
            if line.startswith(b"{"):
                addresses: dict[str, str] = json.loads(line)
                return addresses
        return {}

    def set_environment(self, changes: Mapping[str, str]) -> None:
        """Changes what the next start is given."""
        self._environment.update(changes)

    async def wait(self) -> int:
        """Waits for the process's end; returns its exit code, negative for a signal."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self) -> None:
        """Asks the process to drain, and kills it when it has not ended in time."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            process.kill()
            await process.wait()
