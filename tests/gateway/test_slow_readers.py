"""Who takes nothing of an answer is cut off; who takes it slowly is not."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import grpc
import pytest
from twin.gateway.v1 import gateway_pb2 as pb

from tests.gateway.harness import ADMIN, Gateway, refusal, running_gateway, until
from tests.gateway.pictures import picture

LARGE_BYTES = 40 * 2**20


@asynccontextmanager
async def sent(
    gateway: Gateway, line: str, form: bytes = b""
) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.ReadTransport]]:
    """A request that was sent, and what its answer comes through: nothing but what is read takes it."""
    host, _, port = gateway.http.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=2**16)
    head = [f"{line} HTTP/1.1", f"Host: {gateway.http}", "Connection: close"]
    if form:
        head += ["Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(form)}"]
    writer.write("\r\n".join([*head, "", ""]).encode() + form)
    transport = writer.transport
    assert isinstance(transport, asyncio.ReadTransport)
    try:
        yield reader, transport
    finally:
        writer.close()


async def _kept(gateway: Gateway, size_bytes: int) -> tuple[str, bytes]:
    """Keeps a photo whose original is large; returns its id and the form that asks for its export."""
    consent = pb.ConsentGrant(policy_version="2026-11")
    added = await gateway.stub.AddPhoto(pb.AddPhotoRequest(image=picture(), consent=consent))
    gateway.kept_files()[0].write_bytes(bytes(size_bytes))
    receipt = added.saved_photo
    return receipt.photo_id, urlencode({"deletion_token": receipt.deletion_token}).encode()


async def test_who_reads_nothing_of_an_archive_holds_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.slow_readers.WRITE_TIMEOUT_S", 1.0)
    async with running_gateway(tmp_path, max_concurrent_calls=1) as gateway, aiohttp.ClientSession() as session:
        photo_id, form = await _kept(gateway, LARGE_BYTES)
        other = f"{gateway.url}/photos/{photo_id}/export"

        async def status() -> int:
            async with session.post(other, data={"deletion_token": "A" * 43}) as response:
                return response.status

        async with sent(gateway, f"POST /photos/{photo_id}/export", form) as (reader, transport):
            transport.pause_reading()
            await until(lambda: gateway.vectors.script.calls["ExportPhoto"] == 1)
            assert await status() == 503, "the one place is taken"
            async with asyncio.timeout(30):
                while await status() == 503:  # noqa: ASYNC110 - only another call can tell
                    await asyncio.sleep(0.05)
            transport.resume_reading()
            with contextlib.suppress(ConnectionError):
                assert len(await reader.read(-1)) < LARGE_BYTES


async def test_who_reads_nothing_of_an_original_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.slow_readers.WRITE_TIMEOUT_S", 0.2)
    async with running_gateway(tmp_path) as gateway:
        await gateway.stub.AddPhoto(pb.AddPhotoRequest(image=picture()), metadata=ADMIN)
        gateway.kept_files()[0].write_bytes(bytes(LARGE_BYTES))
        found = await gateway.stub.Search(pb.SearchRequest(image=picture()))
        address = found.results[0].yourself[0].image_url.replace("size=large", "size=original")
        async with sent(gateway, f"GET {address}") as (reader, transport):
            transport.pause_reading()
            await asyncio.sleep(1.0)
            transport.resume_reading()
            with contextlib.suppress(ConnectionError):
                assert len(await reader.read(-1)) < LARGE_BYTES


async def _has_place(gateway: Gateway) -> bool:
    try:
        await gateway.stub.GetStats(pb.GetStatsRequest())
    except grpc.aio.AioRpcError as error:
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        return False
    return True


async def _read_to_the_end(call: Any) -> None:
    while await call.read() is not grpc.aio.EOF:
        pass


@pytest.mark.parametrize("method", ["ExportPhoto", "GetPhoto"])
async def test_who_reads_nothing_of_a_stream_holds_no_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr("gateway.slow_readers.WRITE_TIMEOUT_S", 1.0)
    async with running_gateway(tmp_path, max_concurrent_calls=1) as gateway:
        photo_id, _ = await _kept(gateway, LARGE_BYTES)
        request = getattr(pb, f"{method}Request")(photo_id=photo_id)
        call = getattr(gateway.stub, method)(request, metadata=ADMIN)
        assert (await call.read()).data
        assert not await _has_place(gateway)
        async with asyncio.timeout(20):
            while not await _has_place(gateway):  # noqa: ASYNC110 - only another call can tell
                await asyncio.sleep(0.05)
            assert await refusal(_read_to_the_end(call)) == (grpc.StatusCode.DEADLINE_EXCEEDED, "")


async def test_who_reads_slowly_gets_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.slow_readers.WRITE_TIMEOUT_S", 0.8)
    async with running_gateway(tmp_path) as gateway:
        photo_id, form = await _kept(gateway, LARGE_BYTES)
        size = 0
        async with sent(gateway, f"POST /photos/{photo_id}/export", form) as (reader, _):
            while piece := await reader.read(2**18):
                size += len(piece)
                end = piece[-5:]
                await asyncio.sleep(0.01)
        assert size > LARGE_BYTES
        assert end == b"0\r\n\r\n"
