"""Which pages may call: the gateway's own, and those of origins named exactly. Decided before any work."""

from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from gateway.grpc_web_metadata import exposed_names

_METHODS: Final = "GET, HEAD, POST, OPTIONS"
_HEADERS: Final = (
    "authorization, content-type, grpc-timeout, x-grpc-web, x-request-id, x-user-agent, "
    "x-accept-content-transfer-encoding, x-accept-response-streaming"
)
_PREFLIGHT_MAX_AGE_S: Final = 600
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def origin_kind(request: web.Request, allowed: frozenset[str]) -> str:
    """Returns "own" (no Origin, or the gateway's own), "allowed" or "foreign"."""
    origin = request.headers.get("Origin")
    if origin is None:
        return "own"
    try:
        host = urlsplit(origin.lower()).netloc
    except ValueError:
        return "foreign"  # Such as "http://[", which no browser sends.
    if host == request.headers.get("Host", "").lower() != "":
        return "own"
    return "allowed" if origin.lower() in allowed else "foreign"


def add_origin_rules(app: web.Application, origins: tuple[str, ...]) -> None:
    """Answers preflights, refuses foreign pages' calls with 403, and marks what allowed pages may read."""
    allowed = frozenset(origins)

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        kind = origin_kind(request, allowed)
        if request.method == "OPTIONS":
            return _preflight(kind)
        if request.method not in ("GET", "HEAD") and kind == "foreign":
            return web.Response(status=403, text="pages of this origin may not call; see TWIN_ALLOWED_ORIGINS\n")
        return await handler(request)

    async def mark(request: web.Request, response: web.StreamResponse) -> None:
        response.headers.add("Vary", "Origin")
        if origin_kind(request, allowed) == "allowed":
            response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
            response.headers["Access-Control-Expose-Headers"] = exposed_names(response.headers)

    app.middlewares.append(check)
    app.on_response_prepare.append(mark)


def _preflight(kind: str) -> web.Response:
    if kind == "foreign":
        return web.Response(status=403)
    headers = {
        "Access-Control-Allow-Methods": _METHODS,
        "Access-Control-Allow-Headers": _HEADERS,
        "Access-Control-Max-Age": str(_PREFLIGHT_MAX_AGE_S),
    }
    return web.Response(status=204, headers=headers)
