"""What must not serve: a pack whose networks do not work, and a second embedder on a port that is taken."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import grpc
import numpy as np
import onnx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from onnx import numpy_helper

from runtime.channels import LOCAL_OPTIONS
from tests.support.embedder_process import SERVICE, EmbedderProcess, embedder_environment

START_TIMEOUT_S = 60.0
SCALES = 4
"""Numbers that say how a picture is enlarged; without those the network could not be loaded at all."""

pytestmark = pytest.mark.chaos


def pack_with_dead_network(models_dir: Path, folder: Path, name: str, value: float) -> Path:
    """Copies the starter pack, with every weight of one network the same and its digest put right."""
    pack = folder / "starter"
    shutil.copytree(models_dir / "starter", pack)
    file = pack / f"{name}.onnx"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    network = onnx.load(file)
    for tensor in network.graph.initializer:
        weights = numpy_helper.to_array(tensor)
        if weights.dtype == np.float32 and weights.size > SCALES:
            tensor.CopyFrom(numpy_helper.from_array(np.full_like(weights, value), tensor.name))
    onnx.save(network, file)
    manifest = pack / "manifest.toml"
    text = manifest.read_text()
    assert digest in text
    manifest.write_text(text.replace(digest, hashlib.sha256(file.read_bytes()).hexdigest()))
    return folder


@pytest.mark.parametrize(
    ("network", "value"), [("detector", 0.0), ("recognizer", 0.0), ("recognizer", float("nan"))], ids=str
)
def test_pack_whose_networks_do_not_work_never_serves(
    models_dir: Path, tmp_path: Path, network: str, value: float
) -> None:
    environment = embedder_environment(pack_with_dead_network(models_dir, tmp_path, network, value))
    statuses: list[int] = []
    with subprocess.Popen(
        [sys.executable, "-m", "embedder"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            address = json.loads(process.stdout.readline())["embedder"]
            with grpc.insecure_channel(address, options=LOCAL_OPTIONS) as channel:
                watch = health_pb2_grpc.HealthStub(channel).Watch(
                    health_pb2.HealthCheckRequest(service=SERVICE), timeout=START_TIMEOUT_S
                )
                with pytest.raises(grpc.RpcError):
                    statuses.extend(update.status for update in watch)
            _, said = process.communicate(timeout=START_TIMEOUT_S)
        finally:
            process.kill()
    assert process.returncode == 1
    assert health_pb2.HealthCheckResponse.SERVING not in statuses
    lines = said.decode().strip().splitlines()
    assert len(lines) == 1
    assert "the model pack starter does not work" in lines[0] and "twin models verify starter" in lines[0]


def test_second_embedder_on_one_port_does_not_start(embedder: EmbedderProcess, models_dir: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "embedder"],
        env=embedder_environment(models_dir, TWIN_EMBEDDER_BIND=embedder.address),
        capture_output=True,
        text=True,
        timeout=START_TIMEOUT_S,
    )
    assert done.returncode == 1
    assert f"cannot listen on {embedder.address}" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert embedder.is_running
