"""Each service by itself: NOT_SERVING before its model, its index or its peers are there, and SERVING after."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from twin.embedder.v1 import embedder_pb2 as em
from twin.embedder.v1 import embedder_pb2_grpc as em_grpc
from twin.gateway.v1 import gateway_pb2 as gw
from twin.gateway.v1 import gateway_pb2_grpc as gw_grpc
from twin.vectorstore.v1 import vectorstore_pb2 as vs
from twin.vectorstore.v1 import vectorstore_pb2_grpc as vs_grpc

from runtime.status import error_info, status_from_rpc_error
from tests.support.stack import STOP_TIMEOUT_S, TWIN, Stack

NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVING = health_pb2.HealthCheckResponse.SERVING
NAMES = {
    "embedder": "twin.embedder.v1.EmbedderService",
    "vectorstore": "twin.vectorstore.v1.VectorStoreService",
    "gateway": "twin.gateway.v1.TwinService",
}


@contextmanager
def service(name: str, data_dir: Path, **targets: str) -> Iterator[str]:
    """Runs one service on any free port; yields its gRPC address as soon as it listens."""
    binds = {f"TWIN_{listener}_BIND": "127.0.0.1:0" for listener in (name.upper(), "GATEWAY_HTTP", "METRICS")}
    with subprocess.Popen(
        [str(TWIN), "serve", name],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "TWIN_DATA_DIR": str(data_dir), **binds, **targets},
    ) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())[name]
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(STOP_TIMEOUT_S) == 0


def first_statuses(address: str, name: str, count: int) -> list[int]:
    """Watches a service's health and returns what it says, up to so many words."""
    with grpc.insecure_channel(address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(service=NAMES[name]), timeout=60, wait_for_ready=True
        )
        return [next(watch).status for _ in range(count)]


@pytest.mark.parametrize("name", ["embedder", "vectorstore"])
def test_a_service_says_not_serving_until_its_model_or_index_is_there(
    name: str, data_dir: Path, models_dir: Path
) -> None:
    with service(name, data_dir) as address:
        assert first_statuses(address, name, 2) == [NOT_SERVING, SERVING]
        with grpc.insecure_channel(address) as channel:
            if name == "embedder":
                model = em_grpc.EmbedderServiceStub(channel).GetModel(em.GetModelRequest(), timeout=10)
                assert model.dimension == 512
            else:
                galleries = vs_grpc.VectorStoreServiceStub(channel).ListGalleries(vs.ListGalleriesRequest(), timeout=10)
                assert not galleries.galleries


def test_a_gateway_is_not_serving_until_both_of_its_peers_are(data_dir: Path, models_dir: Path) -> None:
    with ExitStack() as running:
        embedder = running.enter_context(service("embedder", data_dir))
        address = running.enter_context(
            service("gateway", data_dir, TWIN_EMBEDDER_TARGET=embedder, TWIN_VECTORSTORE_TARGET="127.0.0.1:1")
        )
        assert first_statuses(address, "gateway", 1) == [NOT_SERVING]
        with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as caught:
            gw_grpc.TwinServiceStub(channel).GetStats(gw.GetStatsRequest(), timeout=10)
        info = error_info(status_from_rpc_error(caught.value))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert info is not None and info.reason == "NOT_READY"

        vectorstore = running.enter_context(service("vectorstore", data_dir))
        address = running.enter_context(
            service("gateway", data_dir, TWIN_EMBEDDER_TARGET=embedder, TWIN_VECTORSTORE_TARGET=vectorstore)
        )
        assert first_statuses(address, "gateway", 2) == [NOT_SERVING, SERVING]


def test_a_proxy_of_the_environment_is_not_asked_for_local_services(data_dir: Path, models_dir: Path) -> None:
    stack = Stack(data_dir, http_proxy="http://127.0.0.1:1", grpc_proxy="http://127.0.0.1:1", no_proxy="", NO_PROXY="")
    stack.start()
    try:
        answer = stack.twin("doctor")
    finally:
        stack.stop()
    assert answer.stdout.count("SERVING") == 3
