"""The bytes of grpc-web: frames, trailers, and the base64 of its text form (gRPC's PROTOCOL-WEB.md)."""

import base64
import binascii
import re
import struct
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

HEADER_BYTES: Final = 5
# Of clients that stream; without a bound, a body of empty frames would keep the event loop busy for seconds.
MAX_MESSAGES: Final = 1024
_MAX_PADDED_RUNS: Final = 16_384
_COMPRESSED: Final = 0x01
_TRAILERS: Final = 0x80
# Clients may flush at any point, so padding can stand within the body: every padded run is a whole of its own.
_PADDED_RUN: Final = re.compile(rb"[A-Za-z0-9+/]*={0,2}")
# What gRPC lets stand in grpc-message; everything else is percent-encoded.
_PLAIN_MESSAGE: Final = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


class MalformedBody(ValueError):
    """The body is no sequence of frames."""


class CompressedFrame(ValueError):
    """A frame is compressed, which was not agreed on."""


def decode_text(body: bytes) -> bytes:
    """Returns the bytes of a grpc-web-text body: base64, in one run or several padded ones; raises MalformedBody."""
    decoded = bytearray()
    position = run_count = 0
    while position < len(body):
        run_count += 1
        if run_count > _MAX_PADDED_RUNS:
            raise MalformedBody(f"the body is base64 in more than {_MAX_PADDED_RUNS} pieces")
        match = _PADDED_RUN.match(body, position)
        run = match.group() if match is not None else b""
        if not run or len(run) % 4:
            raise MalformedBody("the body is no base64 in groups of four")
        try:
            decoded += binascii.a2b_base64(run, strict_mode=True)
        except binascii.Error as error:
            raise MalformedBody("the body is no base64") from error
        position += len(run)
    return bytes(decoded)


def split_frames(body: bytes) -> list[bytes]:
    """Returns the messages of a request's body; raises MalformedBody or CompressedFrame."""
    messages: list[bytes] = []
    position = 0
    while position < len(body):
        if position + HEADER_BYTES > len(body):
            raise MalformedBody("a frame's header is cut off")
        flags, length = struct.unpack_from(">BI", body, position)
        position += HEADER_BYTES
        if position + length > len(body):
            raise MalformedBody("a frame is cut off")
        if flags == _COMPRESSED:
            raise CompressedFrame("compressed messages are not taken")
        if len(messages) == MAX_MESSAGES:
            raise MalformedBody(f"the body holds more than {MAX_MESSAGES} messages")
        if flags:
            raise MalformedBody("a frame's flags are none that a request has")
        messages.append(body[position : position + length])
        position += length
    return messages


def message_frame(message: bytes) -> bytes:
    """Returns one message as a frame."""
    return struct.pack(">BI", 0, len(message)) + message


def trailer_frame(trailers: Iterable[tuple[str, str]]) -> bytes:
    """Returns the trailers as the frame that ends a response."""
    block = "".join(f"{key}:{value}\r\n" for key, value in trailers).encode("latin-1", "replace")
    return struct.pack(">BI", _TRAILERS, len(block)) + block


def encode_message(text: str) -> str:
    """Returns a status message as grpc-message carries it."""
    return quote(text, safe=_PLAIN_MESSAGE)


def encode_metadata(key: str, value: str | bytes) -> str:
    """Returns a metadata value as a header or trailer carries it: "-bin" keys as base64."""
    if key.endswith("-bin"):
        raw = value.encode() if isinstance(value, str) else bytes(value)
        return base64.b64encode(raw).decode().rstrip("=")
    return value if isinstance(value, str) else bytes(value).decode("latin-1")


def decode_binary(value: str) -> bytes:
    """Returns the bytes of a "-bin" header, padded or not; raises MalformedBody."""
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except binascii.Error as error:
        raise MalformedBody("a -bin header is no base64") from error
