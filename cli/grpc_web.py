"""One unary grpc-web call, as the page makes it, from the terminal."""

import contextlib
import http.client
import struct
from typing import TypeVar
from urllib.parse import unquote

from google.protobuf.message import Message

from cli.errors import CommandError

ResponseType = TypeVar("ResponseType", bound=Message)

_HEADER = struct.Struct(">BI")
_TRAILER_FLAG = 0x80


def call(
    target: str, method: str, request: Message, response_type: type[ResponseType], *, timeout_s: float
) -> ResponseType:
    """Calls one method, such as "/twin.gateway.v1.TwinService/Search", over grpc-web at HOST:PORT.

    Raises CommandError when the gateway cannot be reached or answers with anything but OK.
    """
    payload = request.SerializeToString()
    body = _HEADER.pack(0, len(payload)) + payload
    headers = {
        "Content-Type": "application/grpc-web+proto",
        "X-Grpc-Web": "1",
        "grpc-timeout": f"{int(timeout_s * 1000)}m",
    }
    answer, data = _exchange(target, "POST", method, body, headers, timeout_s)
    messages, trailers = _split(data)
    code = trailers.get("grpc-status") or answer.getheader("grpc-status")
    if code != "0":
        message = trailers.get("grpc-message") or answer.getheader("grpc-message") or f"HTTP {answer.status}"
        raise CommandError(f"{method.rpartition('/')[2]} failed with status {code}: {unquote(message)}")
    if len(messages) != 1:
        raise CommandError(f"{method.rpartition('/')[2]} answered {len(messages)} messages instead of one")
    response = response_type()
    response.ParseFromString(messages[0])
    return response


def get(target: str, path: str, *, timeout_s: float) -> bytes:
    """Fetches a path of the gateway's; raises CommandError unless it answers 200."""
    answer, data = _exchange(target, "GET", path, None, {}, timeout_s)
    if answer.status != http.client.OK:
        raise CommandError(f"http://{target}{path.partition('?')[0]} answered HTTP {answer.status}")
    return data


def _exchange(
    target: str, verb: str, path: str, body: bytes | None, headers: dict[str, str], timeout_s: float
) -> tuple[http.client.HTTPResponse, bytes]:
    try:
        with contextlib.closing(http.client.HTTPConnection(target, timeout=timeout_s)) as connection:
            connection.request(verb, path, body, headers)
            answer = connection.getresponse()
            return answer, answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise CommandError(
            f"the gateway does not answer at http://{target} ({error}); start it with `make demo`"
        ) from error


def _split(data: bytes) -> tuple[list[bytes], dict[str, str]]:
    messages: list[bytes] = []
    trailers: dict[str, str] = {}
    offset = 0
    while offset + _HEADER.size <= len(data):
        flags, length = _HEADER.unpack_from(data, offset)
        frame = data[offset + _HEADER.size : offset + _HEADER.size + length]
        offset += _HEADER.size + length
        if flags & _TRAILER_FLAG:
            for line in frame.decode("latin-1").splitlines():
                name, _, value = line.partition(":")
                trailers[name.strip().lower()] = value.strip()
        else:
            messages.append(frame)
    return messages, trailers
