"""``make demo`` as a newcomer meets it: up, checked, ended by Ctrl-C, and up again with the same gallery."""

import os
import signal
import socket
import subprocess
import threading
from pathlib import Path

import psutil

from tests.support.stack import STOP_TIMEOUT_S, TWIN, left_behind

LISTENERS = ("GATEWAY", "GATEWAY_HTTP", "EMBEDDER", "VECTORSTORE")


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [entry.getsockname()[1] for entry in sockets]
    for entry in sockets:
        entry.close()
    return ports


class Demo:
    def __init__(self, data_dir: Path) -> None:
        ports = free_ports(len(LISTENERS))
        binds = {f"TWIN_{name}_BIND": f"127.0.0.1:{port}" for name, port in zip(LISTENERS, ports, strict=True)}
        self.data_dir = data_dir
        self.environment = {**os.environ, "TWIN_DATA_DIR": str(data_dir), "TWIN_METRICS_BIND": "127.0.0.1:0", **binds}
        self.url = f"http://{binds['TWIN_GATEWAY_HTTP_BIND']}"

    def start(self) -> str:
        """Returns what it printed, up to the page's address."""
        self.process = subprocess.Popen(
            [str(TWIN), "demo"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            env=self.environment,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        give_up = threading.Timer(120.0, self.process.kill)
        give_up.start()
        printed = ""
        for line in self.process.stdout:
            printed += line
            if self.url in line:
                break
        give_up.cancel()
        return printed

    def interrupt(self) -> int:
        os.killpg(self.process.pid, signal.SIGINT)
        with self.process:
            return self.process.wait(STOP_TIMEOUT_S)

    def check(self) -> subprocess.CompletedProcess[str]:
        arguments = [str(TWIN), "demo", "--check"]
        return subprocess.run(arguments, env=self.environment, capture_output=True, text=True, timeout=60, check=False)


def test_the_demo_is_checked_ended_and_started_again(data_dir: Path, models_dir: Path) -> None:
    demo = Demo(data_dir)
    first = demo.start()
    try:
        assert "29 physicists" in first
        answers = [demo.check()]
    finally:
        code = demo.interrupt()
    assert code == 0
    assert left_behind(demo.data_dir) == []

    second = demo.start()
    try:
        assert demo.url in second
        answers.append(demo.check())
    finally:
        demo.interrupt()
    assert [(answer.returncode, answer.stderr) for answer in answers] == [(0, ""), (0, "")]
    assert answers[0].stdout.startswith("Carl Friedrich Gauss's best twin: ")
    assert answers[0].stdout == answers[1].stdout


def test_the_check_says_what_is_wrong_when_nothing_runs(data_dir: Path) -> None:
    answer = Demo(data_dir).check()
    assert answer.returncode == 1
    assert "does not answer" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_a_second_set_of_services_on_one_data_folder_is_refused(data_dir: Path, models_dir: Path) -> None:
    demo = Demo(data_dir)
    demo.start()
    try:
        arguments = [str(TWIN), "serve", "all"]
        second = subprocess.run(
            arguments, env=demo.environment, capture_output=True, text=True, timeout=60, check=False
        )
    finally:
        demo.interrupt()
    assert second.returncode == 1
    assert "running already" in second.stderr


def test_the_services_end_with_a_supervisor_that_is_killed(data_dir: Path, models_dir: Path) -> None:
    demo = Demo(data_dir)
    demo.start()
    children = psutil.Process(demo.process.pid).children(recursive=True)
    demo.process.kill()
    with demo.process:
        demo.process.wait(STOP_TIMEOUT_S)
    _, alive = psutil.wait_procs(children, timeout=STOP_TIMEOUT_S)
    assert alive == []
    assert left_behind(demo.data_dir) == []
