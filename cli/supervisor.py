"""All services of one machine as separate processes: started together, restarted when one dies, drained in order."""

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cli.child import Child
from cli.errors import CommandError
from cli.settings import ClientSettings
from runtime.channels import open_channel
from runtime.settings import split_address

# Every service after the ones that it dials; ended in the opposite order.
ORDER: Final = ("vectorstore", "embedder", "gateway")
_DIALS: Final = {"vectorstore": (), "embedder": ("vectorstore",), "gateway": ("embedder", "vectorstore")}
# Listeners by the name under which a service announces them.
_LISTENERS: Final = {
    "vectorstore": ("vectorstore",),
    "embedder": ("embedder",),
    "gateway": ("gateway", "gateway_http"),
}
_FIRST_RESTART_DELAY_S: Final = 0.5
_LONGEST_RESTART_DELAY_S: Final = 10.0
# A service that ran for this long has recovered: its next death counts as the first again.
_STEADY_AFTER_S: Final = 30.0
_READY_TIMEOUT_S: Final = 300.0
_READY_POLL_S: Final = 0.1


class Supervisor:
    """Runs every service until it is told to stop."""

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._children = {name: Child(name, _metrics_environment(settings, name)) for name in ORDER}
        self.addresses: dict[str, str] = {}
        self._listening = {name: asyncio.Event() for name in ORDER}
        self._served = False
        self._stop = asyncio.Event()

    async def run(
        self,
        when_ready: Callable[[dict[str, str]], Awaitable[None]],
        when_stopping: Callable[[], None] = lambda: None,
    ) -> int:
        """Starts everything, calls ``when_ready`` with the addresses, and serves until SIGINT or SIGTERM.

        ``when_stopping`` is called as soon as a signal came. Returns the exit code: 0 after a signal, 1 when a service
        could not start.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)
        with _only_one(self._settings):
            keepers = [asyncio.create_task(self._keep(name), name=name) for name in ORDER]
            ready = asyncio.create_task(self._announce(when_ready))
            stop = asyncio.create_task(self._stop.wait())
            try:
                done, _ = await asyncio.wait({stop, ready, *keepers}, return_when=asyncio.FIRST_COMPLETED)
                if ready in done and not self._stop.is_set():
                    ready.result()
                    done, _ = await asyncio.wait({stop, *keepers}, return_when=asyncio.FIRST_COMPLETED)
                for task in done - {stop, ready}:
                    task.result()
                if ready in done:
                    ready.result()
                return 0
            finally:
                if self._stop.is_set():
                    when_stopping()
                for task in (ready, stop, *keepers):
                    task.cancel()
                for name in reversed(ORDER):
                    await self._children[name].stop()

    async def _keep(self, name: str) -> None:
        """Keeps one service alive; raises CommandError when it cannot even start."""
        child = self._children[name]
        delay_s = _FIRST_RESTART_DELAY_S
        while True:
            for peer in _DIALS[name]:
                await self._address_known(peer)
                child.set_environment({f"TWIN_{peer.upper()}_TARGET": self.addresses[peer]})
            started_s = time.monotonic()
            told = await child.start()
            self._note_addresses(name, told)
            code = await child.wait()
            if not self._served:
                raise CommandError(f"{name} could not start (exit code {code}); see above")
            if time.monotonic() - started_s > _STEADY_AFTER_S:
                delay_s = _FIRST_RESTART_DELAY_S
            print(
                f"{name} ended with exit code {code}; starting it again in {delay_s:g} s", file=sys.stderr, flush=True
            )
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, _LONGEST_RESTART_DELAY_S)

    async def _address_known(self, name: str) -> None:
        bind: str = getattr(self._settings, f"{name}_bind")
        if split_address(bind)[1]:
            self.addresses.setdefault(name, bind)
        else:
            await self._listening[name].wait()

    def _note_addresses(self, name: str, told: dict[str, str]) -> None:
        if not told:
            return
        for listener in _LISTENERS[name]:
            self.addresses[listener] = told[listener]
            # A restarted service comes back where its peers and its clients look for it.
            self._children[name].set_environment({f"TWIN_{listener.upper()}_BIND": told[listener]})
        self._listening[name].set()

    async def _announce(self, when_ready: Callable[[dict[str, str]], Awaitable[None]]) -> None:
        for name in ORDER:
            await self._listening[name].wait()
            await wait_until_serving(self.addresses[name], timeout_s=_READY_TIMEOUT_S)
        self._served = True
        await when_ready(
            {name: self.addresses[name] for name in ("gateway_http", "gateway", "embedder", "vectorstore")}
        )


async def wait_until_serving(address: str, *, timeout_s: float) -> None:
    """Polls a service's health until it is SERVING; raises CommandError after the timeout."""
    give_up_s = time.monotonic() + timeout_s
    async with open_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        while time.monotonic() < give_up_s:
            with contextlib.suppress(grpc.RpcError):
                answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=2.0)
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return
            await asyncio.sleep(_READY_POLL_S)
    raise CommandError(f"the service at {address} was not ready after {timeout_s:g} s")


def _metrics_environment(settings: ClientSettings, name: str) -> dict[str, str]:
    """Gives each service its own port where TWIN_METRICS_BIND names one for all: it, and the two after it."""
    if settings.metrics_bind is None:
        return {}
    host, port = split_address(settings.metrics_bind)
    own = port and port + ORDER[::-1].index(name)
    return {"TWIN_METRICS_BIND": f"{host}:{own}"}


@contextlib.contextmanager
def _only_one(settings: ClientSettings) -> Iterator[None]:
    """Holds the data folder's lock, so that two supervisors never share one database."""
    path = settings.data_path("serve.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CommandError(
                f"the services of {path.parent} are running already; stop them, or set TWIN_DATA_DIR to another folder"
            ) from error
        yield
    finally:
        os.close(descriptor)
