"""``python -m embedder`` on any free port, as a test's own: its addresses, its metrics and its memory."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from runtime.channels import LOCAL_OPTIONS
from runtime.server import SUPERVISED_VARIABLE

SERVICE = "twin.embedder.v1.EmbedderService"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class EmbedderProcess:
    """One running embedder."""

    process: subprocess.Popen[bytes]
    address: str
    metrics_address: str

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def metric(self, name: str, **labels: str) -> float:
        """Returns the sum of the samples of that full name which carry these labels; 0 when there are none yet."""
        with urllib.request.urlopen(f"http://{self.metrics_address}/metrics", timeout=20) as response:
            text = response.read().decode()
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


def embedder_environment(models_dir: Path, **environment: str) -> dict[str, str]:
    """Returns the environment of an embedder that takes any free ports."""
    own = {"TWIN_MODELS_DIR": str(models_dir), "TWIN_EMBEDDER_BIND": "127.0.0.1:0", "TWIN_METRICS_BIND": "127.0.0.1:0"}
    return {**os.environ, **own, "TWIN_LOG_LEVEL": "error", **environment}


@contextmanager
def running_embedder(models_dir: Path, **environment: str) -> Iterator[EmbedderProcess]:
    """Starts an embedder with such settings, hands it out once it is SERVING, and ends it."""
    with subprocess.Popen(
        [sys.executable, "-m", "embedder"],
        # It ends with us, however we end.
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**embedder_environment(models_dir, **environment), SUPERVISED_VARIABLE: "1"},
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, "the embedder did not start"
            addresses = json.loads(line)
            _wait_until_serving(addresses["embedder"])
            yield EmbedderProcess(process, addresses["embedder"], addresses["metrics"])
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_until_serving(address: str) -> None:
    with grpc.insecure_channel(address, options=LOCAL_OPTIONS) as channel:
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        watch = health_pb2_grpc.HealthStub(channel).Watch(request, timeout=START_TIMEOUT_S)
        for update in watch:
            if update.status == health_pb2.HealthCheckResponse.SERVING:
                watch.cancel()
                return
    raise AssertionError("the embedder never became ready")
