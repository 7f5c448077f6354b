"""A proxy between a service and PostgreSQL that misbehaves on demand: slow, silent, cut off or resetting.

It listens on a TCP port and passes bytes to a TCP port or a Unix socket. What it does can change at any moment, for
connections that are open too.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, urlsplit, urlunsplit

_CHUNK_BYTES: Final = 64 * 2**10
# l_onoff and l_linger: closing then sends RST and not FIN.
_RESETTING: Final = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where the real server listens: a Unix socket's path, or a host and a port."""

    path: str = ""
    host: str = ""
    port: int = 0


class Proxy:
    """Passes bytes on, as long as it is told nothing else."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self._open = asyncio.Event()
        self._open.set()
        self._refuses = False
        self.delay_s = 0.0
        # Of what the server says, so many bytes still come through and then the connection is cut; None: all.
        self._cut_after: int | None = None

    async def start(self) -> int:
        """Listens, and returns the port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        """Cuts everything off and listens no more."""
        self.reset()
        if self._server is not None:
            self._server.close()

    def blackhole(self) -> None:
        """Passes nothing on and closes nothing, as a network does that loses every packet; keeps what comes."""
        self._open.clear()

    def silence_open(self) -> None:
        """The same for the connections that are open now alone, as where a router forgot them; new ones are sound."""
        for link in self._links:
            link.open.clear()

    def refuse(self) -> None:
        """Resets what is open, and every new connection at once."""
        self._refuses = True
        self.reset()

    def cut_after(self, byte_count: int) -> None:
        """Resets each connection once so many more bytes have come from the server, in the middle of a message."""
        self._cut_after = byte_count
        for link in self._links:
            link.bytes_left = byte_count

    def heal(self) -> None:
        """Passes on everything again, also what was kept back."""
        self._refuses = False
        self._cut_after = None
        for link in self._links:
            link.bytes_left = None
            link.open.set()
        self.delay_s = 0.0
        self._open.set()

    def reset(self) -> None:
        """Resets every open connection, on both sides."""
        for link in list(self._links):
            link.reset()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(writer)
        if self._refuses:
            link.reset()
            return
        self._links.add(link)
        try:
            # A black hole answers no connection either.
            await self._open.wait()
            server_reader, server_writer = await self._connect()
            link.writers.append(server_writer)
            link.bytes_left = self._cut_after
            await asyncio.gather(
                self._pass_on(reader, server_writer, link), self._pass_on(server_reader, writer, link, may_cut=True)
            )
        except (OSError, asyncio.CancelledError):
            # Cancelled: the test is over, and asyncio would log that as a failure.
            link.reset()
        finally:
            self._links.discard(link)
            link.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._upstream.path:
            return await asyncio.open_unix_connection(self._upstream.path)
        return await asyncio.open_connection(self._upstream.host, self._upstream.port)

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: "_Link", *, may_cut: bool = False
    ) -> None:
        try:
            while data := await reader.read(_CHUNK_BYTES):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                await self._open.wait()
                await link.open.wait()
                if may_cut and link.bytes_left is not None:
                    data, link.bytes_left = data[: link.bytes_left], max(link.bytes_left - len(data), 0)
                    if not link.bytes_left:
                        writer.write(data)
                        with contextlib.suppress(TimeoutError, OSError):
                            await asyncio.wait_for(writer.drain(), 1)
                        link.reset()
                        return
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()


class _Link:
    """One connection's two sides."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writers = [writer]
        self.bytes_left: int | None = None
        self.open = asyncio.Event()
        self.open.set()

    def reset(self) -> None:
        for writer in self.writers:
            with contextlib.suppress(OSError):
                raw = writer.get_extra_info("socket")
                if raw is not None and raw.family != socket.AF_UNIX:
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESETTING)
            writer.transport.abort()

    def close(self) -> None:
        for writer in self.writers:
            writer.close()


def upstream_of(url: str) -> Upstream:
    """Returns where a server's URL leads: ``?host=/folder`` is a Unix socket."""
    parts = urlsplit(url)
    folder = parse_qs(parts.query).get("host", [""])[0]
    port = parts.port or 5432
    if folder.startswith("/"):
        return Upstream(path=f"{folder}/.s.PGSQL.{port}")
    return Upstream(host=parts.hostname or "127.0.0.1", port=port)


def url_through(url: str, port: int) -> str:
    """Returns the URL of the same database and user by way of a proxy's port, without TLS."""
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    return urlunsplit((parts.scheme, f"{user}{at}127.0.0.1:{port}", parts.path, "sslmode=disable", ""))


@contextlib.asynccontextmanager
async def proxied(url: str) -> AsyncIterator[tuple[Proxy, str]]:
    """Lends a proxy before a server, with the URL that leads through it."""
    proxy = Proxy(upstream_of(url))
    port = await proxy.start()
    try:
        yield proxy, url_through(url, port)
    finally:
        await proxy.stop()
