"""/metrics, /livez and /readyz, and the metrics that every service has."""

import logging
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, Histogram, generate_latest

from runtime.errors import StartupError
from runtime.readiness import Readiness
from runtime.settings import split_address

RPC_SECONDS: Final = Histogram(
    "twin_rpc_seconds",
    "Time from a call's arrival to its end.",
    ("method", "code"),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
)
RPCS_IN_PROGRESS: Final = Gauge("twin_rpcs_in_progress", "Calls that are being served.", ("method",))
# What aiohttp has to say of a request that is no HTTP holds its sender's address and a piece of it, keys included.
_SILENT: Final = logging.getLogger("runtime.http")
_SILENT.disabled = True
READY: Final = Gauge("twin_ready", "1 while health is SERVING.")


def add_probe_routes(app: web.Application, readiness: Readiness) -> None:
    """Adds /livez (200 unless a part of the service died) and /readyz (200 while SERVING, else 503 and why).

    A part that does not work, and that the rest can do without, is named in a line that begins with "degraded:".
    """

    async def livez(_request: web.Request) -> web.Response:
        if readiness.has_failed:
            return web.Response(status=503, text=readiness.reason + "\n")
        return web.Response(text="ok\n")

    async def readyz(_request: web.Request) -> web.Response:
        if not readiness.is_ready:
            return web.Response(status=503, text=readiness.reason + "\n")
        return web.Response(text="\n".join(("ok", *(f"degraded: {line}" for line in readiness.degraded))) + "\n")

    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)


async def start_probe_server(bind: str, readiness: Readiness) -> tuple[web.AppRunner, str]:
    """Serves /metrics, /livez and /readyz; returns the runner, to be cleaned up by the caller, and the actual address.

    Raises StartupError when the address cannot be had.
    """

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    add_probe_routes(app, readiness)
    readiness.on_change(lambda ready: READY.set(1 if ready else 0))
    return await start_http(app, bind, "TWIN_METRICS_BIND")


async def start_http(app: web.Application, bind: str, setting: str) -> tuple[web.AppRunner, str]:
    """Serves an HTTP application at a checked address; returns the runner and the actual address.

    The application's handlers are cancelled when their client disconnects, and log their own failures. Raises
    StartupError, naming the setting, when the address cannot be had.
    """
    # A body is taken as it comes: unpacked, a small one can be of any size before a handler sees it.
    runner = web.AppRunner(
        app, access_log=None, handler_cancellation=True, shutdown_timeout=2.0, auto_decompress=False, logger=_SILENT
    )
    await runner.setup()
    host, port = split_address(bind)
    try:
        await web.TCPSite(runner, host, port, reuse_port=False).start()
    except OSError as error:
        await runner.cleanup()
        raise StartupError(
            f"cannot listen on {bind} ({error.strerror or error}); set {setting} to another address"
        ) from error
    return runner, f"{host}:{runner.addresses[0][1]}"
