"""grpc-web's bounds: in time, in size, in number."""

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from twin.gateway.v1 import gateway_pb2 as pb

from tests.gateway.grpc_web_client import BINARY, TEXT, call, frame, post
from tests.gateway.harness import ADMIN, Gateway, running_gateway, until
from tests.gateway.pictures import picture

SERVICE = "/twin.gateway.v1.TwinService"
INVALID_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT.value[0]


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def raw_post(gateway: Gateway, body: bytes, length: int, *lines: str) -> tuple[asyncio.StreamReader, Any]:
    """Sends a request's head, with that Content-Length, and what of its body there is."""
    host, _, port = gateway.http.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=2**16)
    head = [f"POST {SERVICE}/GetPhoto HTTP/1.1", f"Host: {gateway.http}", f"Content-Type: {BINARY}", *lines]
    writer.write("\r\n".join([*head, f"Content-Length: {length}", "", ""]).encode() + body)
    await writer.drain()
    return reader, writer


async def test_a_request_that_does_not_arrive_ends_at_its_deadline(gateway: Gateway) -> None:
    reader, writer = await raw_post(gateway, b"\x00", 100, "grpc-timeout: 200m")
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"grpc-status: 4\r\n" in head.lower()
    writer.close()


async def test_a_client_that_reads_nothing_is_cut_off(
    tmp_path: Path, session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.slow_readers.WRITE_TIMEOUT_S", 0.3)
    async with running_gateway(tmp_path, max_concurrent_calls=1) as gateway:
        added = await gateway.stub.AddPhoto(pb.AddPhotoRequest(image=picture()), metadata=ADMIN)
        gateway.kept_files()[0].write_bytes(bytes(40 * 2**20))
        message = frame(pb.GetPhotoRequest(photo_id=added.saved_photo.photo_id).SerializeToString())
        reader, writer = await raw_post(gateway, message, len(message))
        writer.transport.pause_reading()
        await until(lambda: gateway.vectors.script.calls["GetPhoto"] == 1)
        # The place that the call held is free again.
        while (await call(session, f"{gateway.url}{SERVICE}/GetStats", b"")).code != 0:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        writer.transport.resume_reading()
        with contextlib.suppress(ConnectionError):
            assert len(await reader.read(-1)) < 40 * 2**20
        writer.close()


async def test_a_clients_wish_for_more_time_is_clamped(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    async with running_gateway(tmp_path, max_deadline_s=3.0) as gateway:
        request = pb.SearchRequest(image=picture()).SerializeToString()
        for headers in ({}, {"grpc-timeout": "900S"}):
            answer = await post(session, f"{gateway.url}{SERVICE}/Search", frame(request), headers=headers)
            assert answer.code == 0
            left_s = gateway.embedder.script.time_left_s["Embed"]
            assert left_s is not None and left_s < 4


async def test_a_packed_body_is_never_unpacked(gateway: Gateway, session: aiohttp.ClientSession) -> None:
    body = gzip.compress(frame(b""))
    url = f"{gateway.url}{SERVICE}/GetStats"
    answer = await post(session, url, body, headers={"Content-Encoding": "gzip"})
    assert answer.http_status == 415


async def test_the_number_of_messages_and_of_padded_runs_is_bounded(
    gateway: Gateway, session: aiohttp.ClientSession
) -> None:
    url = f"{gateway.url}/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    answer = await post(session, url, frame(b"") * 1025)
    assert answer.code == INVALID_ARGUMENT
    answer = await post(session, url, b"AA==" * 20_000, content_type=TEXT)
    assert answer.code == INVALID_ARGUMENT
    assert "pieces" in answer.message
