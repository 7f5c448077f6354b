"""The proxy itself: what each of its faults looks like from the client's side."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.chaos.proxy import Upstream, proxied, upstream_of, url_through


@pytest.fixture
async def echo(tmp_path: Path) -> AsyncIterator[str]:
    """A server on a Unix socket that says everything twice, as a database's URL."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1024):
                writer.write(data * 2)
        writer.close()

    server = await asyncio.start_unix_server(answer, tmp_path / ".s.PGSQL.5432")
    yield f"postgresql://me@/base?host={tmp_path}"
    server.close()


async def _open(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    upstream = upstream_of(url)
    return await asyncio.open_connection(upstream.host, upstream.port)


async def test_a_sound_proxy_passes_everything_on(echo: str) -> None:
    async with proxied(echo) as (_, url):
        reader, writer = await _open(url)
        writer.write(b"hello")
        assert await reader.readexactly(10) == b"hellohello"
        writer.close()


async def test_a_black_hole_keeps_back_and_heals(echo: str) -> None:
    async with proxied(echo) as (proxy, url):
        reader, writer = await _open(url)
        proxy.blackhole()
        writer.write(b"ab")
        answer = asyncio.create_task(reader.readexactly(4))
        assert not (await asyncio.wait({answer}, timeout=0.2))[0]
        proxy.heal()
        assert await asyncio.wait_for(answer, 5) == b"abab"
        writer.close()


async def test_open_connections_can_be_silent_alone(echo: str) -> None:
    async with proxied(echo) as (proxy, url):
        reader, writer = await _open(url)
        writer.write(b"a")
        await reader.readexactly(2)
        proxy.silence_open()
        writer.write(b"b")
        answer = asyncio.create_task(reader.readexactly(2))
        other_reader, other_writer = await _open(url)
        other_writer.write(b"c")
        assert await asyncio.wait_for(other_reader.readexactly(2), 5) == b"cc"
        assert not answer.done()
        proxy.heal()
        assert await asyncio.wait_for(answer, 5) == b"bb"
        writer.close()
        other_writer.close()


async def test_a_reset_reaches_the_client_as_one(echo: str) -> None:
    async with proxied(echo) as (proxy, url):
        reader, writer = await _open(url)
        writer.write(b"ab")
        await reader.readexactly(4)
        proxy.refuse()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 5)
        writer.close()
        reader, writer = await _open(url)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 5)
        writer.close()


async def test_a_message_is_cut_in_the_middle(echo: str) -> None:
    async with proxied(echo) as (proxy, url):
        reader, writer = await _open(url)
        proxy.cut_after(3)
        writer.write(b"abcd")
        with contextlib.suppress(ConnectionResetError):
            # A reset may overtake what was sent before it.
            assert len(await asyncio.wait_for(reader.read(), 5)) <= 3
        writer.close()


async def test_what_is_delayed_comes_late(echo: str) -> None:
    async with proxied(echo) as (proxy, url):
        reader, writer = await _open(url)
        proxy.delay_s = 0.1
        start_s = time.monotonic()
        writer.write(b"a")
        assert await reader.readexactly(2) == b"aa"
        assert time.monotonic() - start_s > 0.19
        writer.close()


def test_where_a_url_leads() -> None:
    assert upstream_of("postgresql://u@/base?host=/tmp/x") == Upstream(path="/tmp/x/.s.PGSQL.5432")
    assert upstream_of("postgresql://u:p@h:6/base") == Upstream(host="h", port=6)
    assert url_through("postgresql://u:p@/base?host=/tmp/x", 9) == "postgresql://u:p@127.0.0.1:9/base?sslmode=disable"
