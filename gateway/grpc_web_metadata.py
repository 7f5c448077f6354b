"""Which of an HTTP request's headers become metadata, which metadata becomes headers, and how long a call may take."""

import re
from collections.abc import Iterable
from typing import Final

from multidict import CIMultiDict, CIMultiDictProxy

from gateway.grpc_web_frames import MalformedBody, decode_binary, encode_metadata

Metadata = tuple[tuple[str, str | bytes], ...]

# Those of the connection, of the HTTP message, and of the browser's own business; gRPC makes its own.
_NOT_METADATA: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    }
)
_NOT_HEADERS: Final = _NOT_METADATA | {"set-cookie", "server", "date"}
_KEY: Final = re.compile(r"[0-9a-z_.-]{1,128}")
_VALUE: Final = re.compile(r"[\x20-\x7e]*")
_TIMEOUT: Final = re.compile(r"([0-9]{1,8})([HMSmun])")
_UNIT_S: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


def request_metadata(headers: CIMultiDictProxy[str]) -> Metadata:
    """Returns the metadata to send on; headers that gRPC cannot carry are left out. Raises MalformedBody."""
    metadata: list[tuple[str, str | bytes]] = []
    for name, value in headers.items():
        key = name.lower()
        if key in _NOT_METADATA or key.startswith(("grpc-", "sec-")) or not _KEY.fullmatch(key):
            continue
        if key.endswith("-bin"):
            metadata.extend((key, decode_binary(part.strip())) for part in value.split(","))
        elif _VALUE.fullmatch(value):
            metadata.append((key, value))
    return tuple(metadata)


def response_pairs(metadata: Iterable[tuple[str, str | bytes]]) -> list[tuple[str, str]]:
    """Returns initial or trailing metadata as headers or trailers, without what the status itself says."""
    pairs = []
    for key, value in metadata:
        if key in _NOT_HEADERS or (key.startswith("grpc-") and key != "grpc-status-details-bin"):
            continue
        text = encode_metadata(key, value)
        if _VALUE.fullmatch(text):
            pairs.append((key, text))
    return pairs


def exposed_names(headers: CIMultiDict[str]) -> str:
    """Returns the header names that a page of another origin has to be allowed to read."""
    names = {"grpc-status", "grpc-message", "grpc-status-details-bin", "x-request-id"}
    return ", ".join(sorted(names | {name.lower() for name in headers if name.lower().startswith("x-")}))


def timeout_s(header: str | None, at_most_s: float) -> float:
    """Returns how long a call may take, in seconds, clamped; raises MalformedBody for a malformed grpc-timeout."""
    if header is None:
        return at_most_s
    match = _TIMEOUT.fullmatch(header.strip())
    if match is None:
        raise MalformedBody("grpc-timeout is no number with a unit")
    return min(int(match[1]) * _UNIT_S[match[2]], at_most_s)
