"""A whole service process life, through real gRPC."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from twin.vectorstore.v1 import vectorstore_pb2 as vs
from twin.vectorstore.v1 import vectorstore_pb2_grpc as vs_grpc

from runtime.interceptor import BoundaryInterceptor
from runtime.readiness import Readiness
from runtime.server import _Life
from runtime.settings import ServiceSettings
from runtime.status import error_info, retry_delay_s, status_from_rpc_error

SERVICE = "twin.vectorstore.v1.VectorStoreService"

# A service whose every call fails in its own way, in every call shape; ready once the file "go" exists.
PROGRAM = textwrap.dedent(
    """
    import asyncio, pathlib, sys
    from runtime.errors import InvalidField, StartupError
    from runtime.server import one_line_exit, run
    from runtime.settings import ServiceSettings, load_settings
    from twin.vectorstore.v1 import vectorstore_pb2 as vs, vectorstore_pb2_grpc as vs_grpc

    class Servicer(vs_grpc.VectorStoreServiceServicer):
        async def GetPhoto(self, request, context):
            if request.photo_id == "slow":
                await asyncio.sleep(1.0)
                return vs.GetPhotoResponse()
            if request.photo_id == "stuck":
                await asyncio.sleep(600)
            if request.photo_id == "bug":
                raise RuntimeError("postgresql://user:secret@host/db")
            raise InvalidField("photo_id", "is bad")

        async def AddPhotos(self, request_iterator, context):
            async for request in request_iterator:
                if request.photo.photo_id == "bug":
                    raise RuntimeError("postgresql://user:secret@host/db")
                yield vs.AddPhotosResponse(photo_id=request.photo.photo_id)

    class Fake:
        name = "fake"
        grpc_services = ("twin.vectorstore.v1.VectorStoreService",)
        def register(self, server):
            vs_grpc.add_VectorStoreServiceServicer_to_server(Servicer(), server)
        async def bind(self, context):
            return {}
        async def start(self, context):
            folder = pathlib.Path(sys.argv[1])
            while not (folder / "go").exists():
                await asyncio.sleep(0.02)
            if (folder / "bad").exists():
                raise StartupError("the model is damaged; run `twin models pull`")
            if (folder / "unwritable").exists():
                raise PermissionError(13, "Permission denied", "/data")
            async def work():
                while not (folder / "die").exists():
                    await asyncio.sleep(0.02)
                raise RuntimeError("worker died")
            context.tasks.spawn(work(), "worker")
        async def stop(self):
            print("stopped", flush=True)

    class Settings(ServiceSettings):
        bind: str = "127.0.0.1:0"

    def main():
        settings = load_settings(Settings)
        return run(Fake, name="fake", bind=settings.bind, settings=settings)

    sys.exit(one_line_exit("fake", main))
    """
)


class Process:
    def __init__(self, folder: Path, **env: str) -> None:
        self.folder = folder
        self.popen = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **env},
        )
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        # Without a line of addresses the start failed, and standard error says why.
        self.addresses: dict[str, str] = json.loads(line) if line.startswith("{") else {}

    def allow_start(self) -> None:
        (self.folder / "go").touch()

    def wait_until_serving(self) -> None:
        with grpc.insecure_channel(self.addresses["fake"]) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            for response in stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE), timeout=30):
                if response.status == health_pb2.HealthCheckResponse.SERVING:
                    return

    def finish(self) -> tuple[int, str, str]:
        out, err = self.popen.communicate(timeout=30)
        return self.popen.returncode, out, err

    def http(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://{self.addresses['metrics']}{path}", timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


Launch = Callable[..., Process]


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    started: list[Process] = []

    def start(**env: str) -> Process:
        started.append(Process(tmp_path, **env))
        return started[-1]

    yield start
    for process in started:
        process.popen.kill()
        with process.popen:
            pass


@pytest.fixture
def process(launch: Launch) -> Process:
    return launch()


def failure(call: Any) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value


def test_health_turns_from_not_serving_to_serving_when_start_returns(process: Process) -> None:
    with grpc.insecure_channel(process.addresses["fake"]) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", SERVICE):
            answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
            assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert process.http("/readyz")[0] == 503
        assert process.http("/livez") == (200, "ok\n")
        process.allow_start()
        process.wait_until_serving()
        assert process.http("/readyz") == (200, "ok\n")
        assert "twin_ready 1.0" in process.http("/metrics")[1]


def test_a_call_before_ready_is_told_to_come_back(process: Process) -> None:
    with grpc.insecure_channel(process.addresses["fake"]) as channel:
        stub = vs_grpc.VectorStoreServiceStub(channel)
        error = failure(lambda: stub.GetPhoto(vs.GetPhotoRequest(photo_id="x"), timeout=5))
    status = status_from_rpc_error(error)
    info = error_info(status)
    assert status.code == grpc.StatusCode.UNAVAILABLE.value[0]
    assert info is not None and info.reason == "NOT_READY"
    assert retry_delay_s(status) == 1.0


def test_twin_errors_keep_status_reason_and_field(process: Process) -> None:
    process.allow_start()
    process.wait_until_serving()
    with grpc.insecure_channel(process.addresses["fake"]) as channel:
        stub = vs_grpc.VectorStoreServiceStub(channel)
        error = failure(lambda: stub.GetPhoto(vs.GetPhotoRequest(photo_id="x"), timeout=5))
    status = status_from_rpc_error(error)
    info = error_info(status)
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert info is not None and info.reason == "INVALID_FIELD"
    assert any(detail.type_url.endswith("google.rpc.BadRequest") for detail in status.details)


@pytest.mark.parametrize("shape", ["unary", "stream"])
def test_a_bug_reaches_the_client_as_an_id_and_nothing_else(process: Process, shape: str) -> None:
    process.allow_start()
    process.wait_until_serving()
    with grpc.insecure_channel(process.addresses["fake"]) as channel:
        stub = vs_grpc.VectorStoreServiceStub(channel)
        if shape == "unary":
            error = failure(lambda: stub.GetPhoto(vs.GetPhotoRequest(photo_id="bug"), timeout=5))
        else:
            requests = iter([vs.AddPhotosRequest(photo=vs.Photo(photo_id="bug"))])
            error = failure(lambda: list(stub.AddPhotos(requests, timeout=5)))
    status = status_from_rpc_error(error)
    assert status.code == grpc.StatusCode.INTERNAL.value[0]
    assert "secret" not in str(error)
    process.popen.send_signal(signal.SIGTERM)
    _, _, log = process.finish()
    assert status.message.removeprefix("internal error ") in log


def test_request_ids_come_back(process: Process) -> None:
    process.allow_start()
    process.wait_until_serving()
    with grpc.insecure_channel(process.addresses["fake"]) as channel:
        stub = vs_grpc.VectorStoreServiceStub(channel)
        error: Any = failure(
            lambda: stub.GetPhoto(vs.GetPhotoRequest(photo_id="x"), timeout=5, metadata=(("x-request-id", "mine-1"),))
        )
    assert dict(error.trailing_metadata())["x-request-id"] == "mine-1"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_drain_finishes_calls_ends_watches_and_exits_0(process: Process, number: signal.Signals) -> None:
    process.allow_start()
    process.wait_until_serving()
    with grpc.insecure_channel(process.addresses["fake"]) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service=SERVICE), timeout=30)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        stub = vs_grpc.VectorStoreServiceStub(channel)
        slow = stub.GetPhoto.future(vs.GetPhotoRequest(photo_id="slow"), timeout=10)
        # The slow call is under way before the signal: an answered call sent after it proves the connection works.
        failure(lambda: stub.GetPhoto(vs.GetPhotoRequest(photo_id="x"), timeout=5))
        process.popen.send_signal(number)
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert slow.result() == vs.GetPhotoResponse()
        failure(lambda: next(watch))
    code, out, _ = process.finish()
    assert (code, out.strip()) == (0, "stopped")


def test_a_second_signal_ends_the_drain_at_once(launch: Launch) -> None:
    process = launch(TWIN_DRAIN_GRACE_S="300")
    process.allow_start()
    process.wait_until_serving()
    with grpc.insecure_channel(process.addresses["fake"]) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=SERVICE), timeout=30)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        stub = vs_grpc.VectorStoreServiceStub(channel)
        stuck = stub.GetPhoto.future(vs.GetPhotoRequest(photo_id="stuck"), timeout=600)
        failure(lambda: stub.GetPhoto(vs.GetPhotoRequest(photo_id="x"), timeout=5))
        process.popen.send_signal(signal.SIGTERM)
        # The watch ends right before the grace begins.
        failure(lambda: list(watch))
        process.popen.send_signal(signal.SIGTERM)
        code, out, _ = process.finish()
        assert (code, out.strip()) == (0, "stopped")
        failure(stuck.result)


def test_a_failed_start_is_one_line_and_exit_1(process: Process) -> None:
    (process.folder / "bad").touch()
    process.allow_start()
    code, _, err = process.finish()
    assert code == 1
    assert err.strip() == "twin fake: the model is damaged; run `twin models pull`"


def test_what_the_system_refuses_at_the_start_is_one_line(process: Process) -> None:
    (process.folder / "unwritable").touch()
    process.allow_start()
    code, _, err = process.finish()
    assert code == 1
    assert err.strip() == "twin fake: [Errno 13] Permission denied: '/data'"


def test_a_dead_background_task_ends_the_process(process: Process) -> None:
    process.allow_start()
    process.wait_until_serving()
    (process.folder / "die").touch()
    code, out, err = process.finish()
    assert code == 1
    assert out.strip() == "stopped"
    assert "background task died" in err


def test_two_servers_never_share_a_port(process: Process, launch: Launch) -> None:
    second = launch(TWIN_BIND=process.addresses["fake"])
    code, _, err = second.finish()
    assert code == 1
    assert "cannot listen on" in err and "TWIN_FAKE_BIND" in err
    assert len(err.strip().splitlines()) == 1


def test_a_bad_setting_is_one_line(launch: Launch) -> None:
    code, _, err = launch(TWIN_DRAIN_GRACE_S="soon").finish()
    assert code == 1
    assert "TWIN_DRAIN_GRACE_S='soon'" in err.strip().splitlines()[-1]


def test_a_supervised_service_ends_with_its_parent(launch: Launch) -> None:
    process = launch(TWIN_SUPERVISED="1")
    process.allow_start()
    process.wait_until_serving()
    assert process.popen.stdin is not None
    process.popen.stdin.close()
    assert process.popen.wait(timeout=30) == 0


def test_reflection_lists_and_describes(process: Process) -> None:
    with grpc.insecure_channel(process.addresses["fake"]) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        requests = iter(
            [
                reflection_pb2.ServerReflectionRequest(list_services=""),
                reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE),
                reflection_pb2.ServerReflectionRequest(file_containing_symbol=f"{SERVICE}.Search"),
                reflection_pb2.ServerReflectionRequest(file_containing_symbol=f"{SERVICE}.Nothing"),
            ]
        )
        listed, described, method, nothing = stub.ServerReflectionInfo(requests, timeout=5)
    assert {entry.name for entry in listed.list_services_response.service} >= {SERVICE, "grpc.health.v1.Health"}
    assert described.file_descriptor_response.file_descriptor_proto
    assert method.file_descriptor_response == described.file_descriptor_response
    assert nothing.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


async def test_a_call_costs_the_same_however_many_methods_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    waited_for: list[int] = []
    wait = asyncio.wait

    async def noted(awaited: Any, **options: Any) -> Any:
        waited_for.append(len(awaited))
        return await wait(awaited, **options)

    life = _Life(lambda: pytest.fail("no service is made"), "127.0.0.1:0", ServiceSettings())
    server = life._make_server(BoundaryInterceptor(Readiness()))
    servicer = vs_grpc.VectorStoreServiceServicer()  # type: ignore[abstract]
    vs_grpc.add_VectorStoreServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    monkeypatch.setattr(asyncio, "wait", noted)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await vs_grpc.VectorStoreServiceStub(channel).GetPhoto(vs.GetPhotoRequest())
    finally:
        await server.stop(0)
    assert waited_for
    assert max(waited_for) == 1
