"""What ``twin serve all`` does when its start is cut short: it ends, says why, and leaves nothing running."""

import os
import signal
import socket
import subprocess
import threading
import time
import types
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil
import pytest

from tests.support.stack import START_TIMEOUT_S, STOP_TIMEOUT_S, TWIN, left_behind

LISTENERS = ("GATEWAY", "GATEWAY_HTTP", "EMBEDDER", "VECTORSTORE", "METRICS")


def serve(
    data_dir: Path,
    environment: Mapping[str, str] = types.MappingProxyType({}),
    meddle: Callable[[psutil.Process], None] = lambda _: None,
) -> tuple[int, str, str]:
    """Starts everything, meddles, and returns the exit code and what was said on standard output and error."""
    binds = {f"TWIN_{name}_BIND": "127.0.0.1:0" for name in LISTENERS}
    process = subprocess.Popen(
        [str(TWIN), "serve", "all"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TWIN_DATA_DIR": str(data_dir), **binds, **environment},
        start_new_session=True,
    )
    give_up = threading.Timer(START_TIMEOUT_S + STOP_TIMEOUT_S, process.kill)
    give_up.start()
    try:
        meddle(psutil.Process(process.pid))
        out, err = process.communicate()
    finally:
        give_up.cancel()
        process.kill()
    return process.returncode, out, err


def child(supervisor: psutil.Process, name: str) -> psutil.Process:
    """Waits until a service's process exists."""
    give_up_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < give_up_s:
        for process in supervisor.children():
            if process.cmdline()[-2:] == ["-m", name]:
                return process
        time.sleep(0.01)
    raise AssertionError(f"{name} was never started")


@pytest.mark.parametrize("name", ["vectorstore", "embedder", "gateway"])
def test_a_service_that_dies_before_it_ever_served_ends_the_others(data_dir: Path, models_dir: Path, name: str) -> None:
    code, out, err = serve(data_dir, meddle=lambda supervisor: child(supervisor, name).kill())
    assert (code, out) == (1, "")
    assert f"twin: {name} could not start" in err.splitlines()[-1]
    assert left_behind(data_dir) == []


@pytest.mark.parametrize("name", ["vectorstore", "gateway"])
def test_a_signal_while_the_services_start_ends_them_all(data_dir: Path, models_dir: Path, name: str) -> None:
    def interrupt(supervisor: psutil.Process) -> None:
        child(supervisor, name)
        supervisor.send_signal(signal.SIGTERM)

    code, out, _ = serve(data_dir, meddle=interrupt)
    assert (code, out) == (0, "")
    assert left_behind(data_dir) == []


@pytest.mark.parametrize("setting", ["TWIN_VECTORSTORE_BIND", "TWIN_GATEWAY_HTTP_BIND"])
def test_a_port_that_is_taken_is_told_with_its_setting(data_dir: Path, models_dir: Path, setting: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, out, err = serve(data_dir, {setting: f"127.0.0.1:{taken.getsockname()[1]}"})
    assert (code, out) == (1, "")
    said = [line for line in err.splitlines() if not line.startswith("{")]
    assert len(said) == 2
    assert "cannot listen on" in said[0] and setting in said[0]
    assert left_behind(data_dir) == []
