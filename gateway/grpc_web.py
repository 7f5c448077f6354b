"""grpc-web for browsers: passes calls through to the gateway's own gRPC port, byte for byte.

Every service of that port is reachable, health and reflection included. A request's body is read whole; responses are
passed on message by message. The client's disconnect cancels the handler, and with it the call.
"""

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import grpc
import grpc.aio
from aiohttp import web
from google.protobuf import descriptor_pool
from multidict import CIMultiDict

from gateway.admission import Admission
from gateway.grpc_web_frames import (
    HEADER_BYTES,
    CompressedFrame,
    MalformedBody,
    decode_text,
    encode_message,
    message_frame,
    split_frames,
    trailer_frame,
)
from gateway.grpc_web_metadata import Metadata, request_metadata, response_pairs, timeout_s
from gateway.metrics import GRPC_WEB_CALLS
from gateway.slow_readers import end_in_time, write_in_time
from runtime.errors import Overloaded
from runtime.status import to_status

_BINARY: Final = frozenset({"application/grpc-web", "application/grpc-web+proto"})
_TEXT: Final = frozenset({"application/grpc-web-text", "application/grpc-web-text+proto"})
# base64 takes four characters for three bytes; some more for padding within.
_TEXT_FACTOR: Final = 1.4


@dataclass(frozen=True, slots=True)
class _Status:
    """How a call ended; pairs are its trailing metadata."""

    code: grpc.StatusCode
    message: str = ""
    pairs: tuple[tuple[str, str], ...] = ()

    def trailers(self) -> list[tuple[str, str]]:
        number: int = self.code.value[0]
        trailers = [("grpc-status", str(number))]
        if self.message:
            trailers.append(("grpc-message", encode_message(self.message)))
        return [*trailers, *self.pairs]


class _BodyTooLarge(Exception):
    pass


class GrpcWebProxy:
    """Serves POST /<service>/<method>."""

    def __init__(
        self, channel: grpc.aio.Channel, *, max_message_bytes: int, max_deadline_s: float, admission: Admission
    ) -> None:
        self._channel = channel
        self._max_message_bytes = max_message_bytes
        self._max_deadline_s = max_deadline_s
        self._admission = admission

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answers one call. Always HTTP 200 with a gRPC status, but for what is no grpc-web at all (415)."""
        content_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if content_type not in _BINARY | _TEXT or request.headers.get("Content-Encoding", "identity") != "identity":
            text = "grpc-web is expected: application/grpc-web+proto or -text+proto, without a Content-Encoding\n"
            return web.Response(status=415, text=text)
        # As Envoy does it: the request's type says how to read, Accept says how to answer.
        accept = request.headers.get("Accept", "").partition(";")[0].strip().lower()
        answer = _Answer(request, as_text=accept in _TEXT or (accept not in _BINARY and content_type in _TEXT))
        try:
            with self._admission.enter():
                status = await self._serve(request, answer, as_text=content_type in _TEXT)
        except Overloaded as error:
            details = to_status(error).SerializeToString()
            pairs = response_pairs((("grpc-status-details-bin", details),))
            status = _Status(error.code, error.message, tuple(pairs))
        except _BodyTooLarge:
            message = f"the request is larger than {self._max_message_bytes} bytes"
            status = _Status(grpc.StatusCode.RESOURCE_EXHAUSTED, message)
        except CompressedFrame as error:
            status = _Status(grpc.StatusCode.UNIMPLEMENTED, str(error))
        except MalformedBody as error:
            status = _Status(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        GRPC_WEB_CALLS.labels(status.code.name).inc()
        return await answer.finish(status)

    async def _serve(self, request: web.Request, answer: "_Answer", *, as_text: bool) -> _Status:
        metadata = request_metadata(request.headers)
        deadline_s = timeout_s(request.headers.get("grpc-timeout"), self._max_deadline_s)
        loop = asyncio.get_running_loop()
        end_s = loop.time() + deadline_s
        try:
            async with asyncio.timeout_at(end_s):
                body = await self._read(request, as_text=as_text)
            # A body that was here already is read in one go; and gRPC may answer before it looks at the clock.
            if loop.time() >= end_s:
                raise TimeoutError
        except TimeoutError:
            return _Status(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline passed before the request was here")
        messages = split_frames(decode_text(body) if as_text else body)
        if any(len(message) > self._max_message_bytes for message in messages):
            raise _BodyTooLarge
        if len(messages) != 1 and _takes_one_message(request.path):
            # gRPC itself would take the first of several, and wait for one that never comes.
            raise MalformedBody(f"the method takes one message, and {len(messages)} came")
        return await self._call(request.path, messages, metadata, max(0.0, end_s - loop.time()), answer)

    async def _call(
        self, path: str, messages: list[bytes], metadata: Metadata, deadline_s: float, answer: "_Answer"
    ) -> _Status:
        # On the wire all four shapes are alike, so one serves every method; what does not fit, the server refuses.
        method: Any = self._channel.stream_stream(path)
        call = method(_each(messages), timeout=deadline_s, metadata=metadata)
        try:
            async for message in call:
                await answer.send(message, call)
        except grpc.aio.AioRpcError:
            pass  # The status below says it.
        finally:
            if not call.done():
                call.cancel()
        code: grpc.StatusCode = await call.code()
        trailing = await call.trailing_metadata()
        pairs = tuple(response_pairs(trailing or ()))
        return _Status(code, (await call.details()) or "", pairs)

    async def _read(self, request: web.Request, *, as_text: bool) -> bytes:
        limit = self._max_message_bytes + HEADER_BYTES
        if as_text:
            limit = int(limit * _TEXT_FACTOR) + 64
        if request.content_length is not None and request.content_length > limit:
            raise _BodyTooLarge
        body = bytearray()
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > limit:
                raise _BodyTooLarge
        return bytes(body)


class _Answer:
    """The response, begun with the first message; without one, the status goes into the headers."""

    def __init__(self, request: web.Request, *, as_text: bool) -> None:
        self._request = request
        self._as_text = as_text
        self._response: web.StreamResponse | None = None

    async def send(self, message: bytes, call: Any) -> None:
        if self._response is None:
            await self._begin(response_pairs(await call.initial_metadata()))
        await self._write(message_frame(message))

    async def finish(self, status: _Status) -> web.StreamResponse:
        if self._response is None and status.code is not grpc.StatusCode.OK:
            return web.Response(headers=self._headers(status.trailers()))
        response = self._response or await self._begin([])
        await self._write(trailer_frame(status.trailers()))
        await end_in_time(self._request, response)
        return response

    async def _begin(self, headers: list[tuple[str, str]]) -> web.StreamResponse:
        response = web.StreamResponse(headers=self._headers(headers))
        self._response = response
        await response.prepare(self._request)
        return response

    def _headers(self, pairs: list[tuple[str, str]]) -> CIMultiDict[str]:
        kind = "application/grpc-web-text+proto" if self._as_text else "application/grpc-web+proto"
        return CIMultiDict([("Content-Type", kind), ("Cache-Control", "no-store"), *pairs])

    async def _write(self, frame: bytes) -> None:
        if self._response is None:
            return
        await write_in_time(self._request, self._response, base64.b64encode(frame) if self._as_text else frame)


def _takes_one_message(path: str) -> bool:
    """True for a method that is known not to take a stream."""
    service, _, method = path.strip("/").partition("/")
    try:
        found = descriptor_pool.Default().FindServiceByName(service).methods_by_name.get(method)
    except KeyError:
        return False
    return found is not None and not found.client_streaming


async def _each(messages: list[bytes]) -> AsyncIterator[bytes]:
    for message in messages:
        yield message
