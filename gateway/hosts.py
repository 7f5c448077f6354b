"""Which names the gateway answers to.

A page may have its own name point at this machine once it is loaded, and its calls are then of its own origin. They
still carry that name in Host. Numbers need no list: nobody else can have them point elsewhere.
"""

import ipaddress
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def host_rule(bind_host: str, allowed: tuple[str, ...]) -> Callable[[str], bool]:
    """Returns what tells whether a Host header, with or without a port, is answered to.

    A gateway that this machine alone reaches answers to "localhost", its own bind host and the allowed names. One that
    others reach answers to every name, since it cannot know its own, unless its names are given.
    """
    if not allowed and not _is_loopback(bind_host):
        return lambda _host: True
    names = {"localhost", bind_host.lower(), *allowed}

    def answers_to(host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name in names or _is_number(name)

    return answers_to


def add_host_rule(app: web.Application, answers_to: Callable[[str], bool]) -> None:
    """Refuses requests to other names with 421, before any work."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        # Without a Host it is no browser's request.
        if not answers_to(request.headers.get("Host", "localhost")):
            return web.Response(status=421, text="the gateway does not go by this name; see TWIN_ALLOWED_HOSTS\n")
        return await handler(request)

    app.middlewares.append(check)


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(name: str) -> bool:
    return name.lower() == "localhost" or (_is_number(name) and ipaddress.ip_address(name).is_loopback)
