"""The real services as their users run them: ``twin serve all`` with ports and folders of its own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil

TWIN = Path(sys.executable).parent / "twin"
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 60.0


def left_behind(data_dir: Path) -> list[list[str]]:
    """Returns the command line of every process that still works on a data folder, told by it or by its settings."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            cmdline = process.cmdline()
            if str(data_dir) in " ".join(cmdline) or process.environ().get("TWIN_DATA_DIR") == str(data_dir):
                found.append(cmdline)
    return found


class Stack:
    """One running set of services over one data folder; it can be stopped, killed and started again."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        self.data_dir = data_dir
        self.addresses: dict[str, str] = {}
        self.log = data_dir.with_name(data_dir.name + ".log")
        self._environment = {
            **os.environ,
            "TWIN_DATA_DIR": str(data_dir),
            "TWIN_GATEWAY_BIND": "127.0.0.1:0",
            "TWIN_GATEWAY_HTTP_BIND": "127.0.0.1:0",
            "TWIN_EMBEDDER_BIND": "127.0.0.1:0",
            "TWIN_VECTORSTORE_BIND": "127.0.0.1:0",
            "TWIN_METRICS_BIND": "127.0.0.1:0",
            **environment,
        }
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def environment(self) -> dict[str, str]:
        """What a client's process needs to find these services."""
        targets = {f"TWIN_{name.upper()}_TARGET": address for name, address in self.addresses.items()}
        return {**self._environment, **targets}

    def start(self) -> None:
        """Starts the services and waits until all are SERVING."""
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                [str(TWIN), "serve", "all"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=self._environment,
                start_new_session=True,
            )
        assert self._process.stdout is not None
        give_up = threading.Timer(START_TIMEOUT_S, self._process.kill)
        give_up.start()
        try:
            line = self._process.stdout.readline()
        finally:
            give_up.cancel()
        if not line:
            code = self.stop()
            raise AssertionError(f"the services did not start (exit code {code}):\n{self.log.read_text()[-4000:]}")
        self.addresses = json.loads(line)

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Ends the services as Ctrl-C does; returns the supervisor's exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        with process:
            if process.poll() is None:
                process.send_signal(number)
            return process.wait(STOP_TIMEOUT_S)

    def processes(self) -> list[psutil.Process]:
        """Returns the supervisor, its services, and the PostgreSQL that belongs to the data folder."""
        own = {self.pid: psutil.Process(self.pid)}
        own |= {child.pid: child for child in own[self.pid].children(recursive=True)}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if str(self.data_dir) in " ".join(process.cmdline()):
                    own[process.pid] = process
        return list(own.values())

    def service_process(self, name: str) -> psutil.Process:
        """Returns the process of one service, such as "embedder"."""
        for child in psutil.Process(self.pid).children():
            if child.cmdline()[-2:] == ["-m", name]:
                return child
        raise AssertionError(f"{name} is not running")

    def kill_everything(self) -> None:
        """Ends every process of the stack with SIGKILL, PostgreSQL's included: a power cut, but for the disk."""
        processes = self.processes()
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, timeout=STOP_TIMEOUT_S)
        supervisor, self._process = self._process, None
        assert supervisor is not None
        with supervisor:
            supervisor.wait(STOP_TIMEOUT_S)

    def twin(self, *arguments: str, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Runs the ``twin`` command against these services."""
        return subprocess.run(
            [str(TWIN), *arguments],
            env={**self.environment, "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
