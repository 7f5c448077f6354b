"""A grpc-web client that speaks byte by byte, so that a test can also speak wrongly."""

import base64
import io
import struct
from dataclasses import dataclass
from urllib.parse import unquote

import aiohttp
from google.rpc import status_pb2

BINARY, TEXT = "application/grpc-web+proto", "application/grpc-web-text"


def frame(message: bytes, flags: int = 0) -> bytes:
    return struct.pack(">BI", flags, len(message)) + message


@dataclass(frozen=True)
class Answer:
    """What came back: the messages, and the trailers, be they in the body or in the headers."""

    http_status: int
    content_type: str
    messages: list[bytes]
    trailers: dict[str, str]
    trailers_in_headers: bool
    headers: dict[str, str]

    @property
    def code(self) -> int:
        return int(self.trailers["grpc-status"])

    @property
    def message(self) -> str:
        return unquote(self.trailers.get("grpc-message", ""))

    @property
    def status(self) -> status_pb2.Status:
        text = self.trailers["grpc-status-details-bin"]
        return status_pb2.Status.FromString(base64.b64decode(text + "=" * (-len(text) % 4)))


def decode_text(body: bytes) -> bytes:
    """Decodes four characters at a time, as clients do that read a stream."""
    assert len(body) % 4 == 0
    return b"".join(base64.b64decode(body[start : start + 4]) for start in range(0, len(body), 4))


def read_frames(body: bytes) -> tuple[list[bytes], dict[str, str] | None]:
    messages, trailers, position = [], None, 0
    while position < len(body):
        assert trailers is None, "nothing follows the trailers"
        flags, length = struct.unpack_from(">BI", body, position)
        part = body[position + 5 : position + 5 + length]
        assert len(part) == length
        position += 5 + length
        if flags == 0x80:
            lines = part.decode("latin-1").split("\r\n")
            assert lines.pop() == ""
            trailers = dict(line.split(":", 1) for line in lines)
            trailers = {key: value.strip() for key, value in trailers.items()}
            assert all(key == key.lower() for key in trailers)
        else:
            assert flags == 0
            messages.append(part)
    return messages, trailers


async def post(
    session: aiohttp.ClientSession,
    url: str,
    body: bytes,
    *,
    content_type: str = BINARY,
    accept: str | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    """Sends the body as it is and reads the answer."""
    sent = {"Content-Type": content_type, "Accept": accept or content_type, "X-Grpc-Web": "1", **(headers or {})}
    async with session.post(url, data=io.BytesIO(body), headers=sent) as response:
        data = await response.read()
        kind = response.headers.get("Content-Type", "")
        if kind.startswith("application/grpc-web-text"):
            data = decode_text(data)
        got = {key.lower(): value for key, value in response.headers.items()}
        if response.status != 200 or not kind.startswith("application/grpc"):
            return Answer(response.status, kind, [], {}, False, got)
        messages, trailers = read_frames(data)
        in_headers = "grpc-status" in got
        assert in_headers != (trailers is not None), "trailers come once"
        return Answer(response.status, kind, messages, got if trailers is None else trailers, in_headers, got)


async def call(
    session: aiohttp.ClientSession, url: str, message: bytes, *, text: bool = False, **headers: str
) -> Answer:
    """Makes one call as it should be made."""
    body = base64.b64encode(frame(message)) if text else frame(message)
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return await post(session, url, body, content_type=TEXT if text else BINARY, headers=named)
