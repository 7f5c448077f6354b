"""The whole life of a service process: listen, load, serve, drain, stop."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import grpc
import grpc.aio
from aiohttp import web
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from runtime import failpoints, reflection
from runtime.errors import StartupError
from runtime.interceptor import BoundaryInterceptor
from runtime.logs import configure_logs, get_logger
from runtime.readiness import Readiness
from runtime.settings import ServiceSettings
from runtime.tasks import TaskSupervisor
from runtime.telemetry import start_probe_server

# Set by a parent that holds the write end of standard input: its end, however it comes, is ours too.
SUPERVISED_VARIABLE = "TWIN_SUPERVISED"
# What watchers get to hear of NOT_SERVING before their streams end.
_WATCHER_NOTICE_S = 0.05

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ServiceContext:
    """What a service is given to live in."""

    # This service's own gRPC address, HOST:PORT with the actual port.
    address: str
    readiness: Readiness
    tasks: TaskSupervisor


class Service(Protocol):
    """One service, from its servicers to its end."""

    name: str
    # Full names, such as "twin.embedder.v1.EmbedderService".
    grpc_services: Sequence[str]

    def register(self, server: grpc.aio.Server) -> None:
        """Adds the servicers."""

    async def bind(self, context: ServiceContext) -> dict[str, str]:
        """Opens further listeners, quickly; returns their names and actual addresses."""

    async def start(self, context: ServiceContext) -> None:
        """Loads what the service needs; it is SERVING once this returns."""

    async def stop(self) -> None:
        """Releases everything; called once, after the drain, also when start failed."""


def run(
    make_service: Callable[[], Service],
    *,
    name: str,
    bind: str,
    settings: ServiceSettings,
    make_loop: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> int:
    """Runs a service until SIGTERM or SIGINT, and returns the process's exit code.

    Prints one JSON line with the actual addresses once it listens. Exit code 1: it could not start, or a part that it
    cannot work without died. make_loop: for another event loop than asyncio's own.
    """
    configure_logs(name, settings.log_level)

    def live() -> int:
        failpoints.arm_from_environment(os.environ)
        with asyncio.Runner(loop_factory=make_loop) as runner:
            return runner.run(_Life(make_service, bind, settings).run())

    return one_line_exit(name, live)


def one_line_exit(name: str, body: Callable[[], int]) -> int:
    """Returns the body's exit code; a StartupError becomes one line on standard error, and 1.

    So does what the system refuses, such as a data folder that cannot be written.
    """
    try:
        return body()
    except (StartupError, OSError) as error:
        print(f"twin {name}: {error}", file=sys.stderr, flush=True)  # noqa: T201
        return 1


class _Life:
    def __init__(self, make_service: Callable[[], Service], bind: str, settings: ServiceSettings) -> None:
        self._make_service = make_service
        self._bind = bind
        self._settings = settings
        self._readiness = Readiness()
        self._stop_asked = asyncio.Event()
        self._stop_now = asyncio.Event()

    async def run(self) -> int:
        self._listen_for_signals()
        service = self._make_service()
        interceptor = BoundaryInterceptor(self._readiness)
        server = self._make_server(interceptor)
        servicer = health.aio.HealthServicer()
        self._register(server, service, servicer)
        tasks = TaskSupervisor(self._readiness)
        probes: web.AppRunner | None = None
        try:
            address = self._listen(server, service.name)
            probes, metrics_address = await start_probe_server(self._settings.metrics_bind, self._readiness)
            context = ServiceContext(address, self._readiness, tasks)
            more = await service.bind(context)
            await self._follow_readiness(servicer, service, tasks)
            await server.start()
            print(json.dumps({service.name: address, **more, "metrics": metrics_address}), flush=True)  # noqa: T201
            if await self._start(service, context):
                await self._until_stop(tasks)
            await self._drain(server, servicer, interceptor)
        finally:
            await server.stop(0)
            await tasks.stop()
            await service.stop()
            if probes is not None:
                await probes.cleanup()
        return 1 if tasks.failed.is_set() else 0

    def _make_server(self, interceptor: BoundaryInterceptor) -> grpc.aio.Server:
        limit = self._settings.max_message_bytes
        server = grpc.aio.server(
            interceptors=[interceptor],
            options=[
                # With port sharing, two servers listen on one port and each gets half of the calls.
                ("grpc.so_reuseport", 0),
                ("grpc.max_send_message_length", limit),
                ("grpc.max_receive_message_length", limit),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
            ],
        )
        # With every call, grpcio waits anew for the next one of each registered method: a seventh of an echo's time for
        # 26 methods. Generated code adds all of a service's methods together too, for which it waits once.
        server.add_registered_method_handlers = lambda *_: None  # type: ignore[method-assign]
        return server

    def _register(self, server: grpc.aio.Server, service: Service, servicer: health.aio.HealthServicer) -> None:
        service.register(server)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        names = [*service.grpc_services, health.SERVICE_NAME, reflection.SERVICE_NAME]
        reflection.enable(server, names)

    def _listen(self, server: grpc.aio.Server, name: str) -> str:
        try:
            port = server.add_insecure_port(self._bind)
        except RuntimeError:
            port = 0
        if port == 0:
            raise StartupError(
                f"cannot listen on {self._bind}: is another one running? Set TWIN_{name.upper()}_BIND to another"
                " address, or to port 0"
            )
        return f"{self._bind.rpartition(':')[0]}:{port}"

    async def _follow_readiness(
        self, servicer: health.aio.HealthServicer, service: Service, tasks: TaskSupervisor
    ) -> None:
        changes: asyncio.Queue[bool] = asyncio.Queue()

        async def publish() -> None:
            while True:
                ready = await changes.get()
                status = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
                for name in ("", *service.grpc_services):
                    await servicer.set(name, status)

        for name in ("", *service.grpc_services):
            await servicer.set(name, health_pb2.HealthCheckResponse.NOT_SERVING)
        tasks.spawn(publish(), "health")
        self._readiness.on_change(changes.put_nowait)

    async def _start(self, service: Service, context: ServiceContext) -> bool:
        """Returns True once the service is ready, False when it was asked to stop first."""
        starting = asyncio.create_task(service.start(context), name="start")
        stopping = asyncio.create_task(self._stop_asked.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not starting.done():
            starting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await starting
            return False
        await starting
        self._readiness.mark_ready()
        _log.info("ready", address=context.address)
        return True

    async def _until_stop(self, tasks: TaskSupervisor) -> None:
        waits = [asyncio.create_task(event.wait()) for event in (self._stop_asked, tasks.failed)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _drain(
        self, server: grpc.aio.Server, servicer: health.aio.HealthServicer, interceptor: BoundaryInterceptor
    ) -> None:
        self._readiness.mark_draining()
        await servicer.enter_graceful_shutdown()
        await asyncio.sleep(_WATCHER_NOTICE_S)
        interceptor.end_open_ended_streams()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop_now.wait(), self._settings.drain_pause_s)
        # A second signal is heard at any moment of the grace, which then ends at once.
        stopping = asyncio.create_task(server.stop(self._settings.drain_grace_s))
        hurrying = asyncio.create_task(self._stop_now.wait())
        await asyncio.wait({stopping, hurrying}, return_when=asyncio.FIRST_COMPLETED)
        hurrying.cancel()
        if not stopping.done():
            await server.stop(0)
        await stopping

    def _listen_for_signals(self) -> None:
        """The first signal drains; a second one ends without a grace."""

        def stop() -> None:
            if self._stop_asked.is_set():
                self._stop_now.set()
            self._stop_asked.set()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
        if os.environ.get(SUPERVISED_VARIABLE):

            def wait_for_parent() -> None:
                while os.read(0, 1024):
                    pass
                with contextlib.suppress(RuntimeError):  # The loop has ended by itself.
                    loop.call_soon_threadsafe(self._stop_asked.set)

            threading.Thread(target=wait_for_parent, name="parent-watch", daemon=True).start()
