"""Outbound calls: channels, deadlines, and what a peer's failure means to our own caller."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import grpc.aio

from runtime import logs
from runtime.errors import DeadlineExceeded
from runtime.interceptor import REQUEST_ID_KEY
from runtime.status import from_rpc_error

# A call whose caller has less than this left cannot be finished in time.
_LEAST_USEFUL_S = 0.001

# The services never go through a proxy of the environment, which would take loopback addresses for its own.
LOCAL_OPTIONS = (("grpc.enable_http_proxy", 0),)
_DEFAULT_MESSAGE_BYTES = 4 * 2**20


def open_channel(target: str, *, max_message_bytes: int = _DEFAULT_MESSAGE_BYTES) -> grpc.aio.Channel:
    """Returns a channel that spreads calls over every address behind the target and notices a peer that is gone."""
    options = [
        ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        # A restarted peer is found again within a second.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        *LOCAL_OPTIONS,
    ]
    return grpc.aio.insecure_channel(target, options=options)


def request_metadata() -> tuple[tuple[str, str], ...]:
    """Returns the metadata to send with an outbound call: the id of the call that is being served."""
    current = logs.request_id.get()
    return ((REQUEST_ID_KEY, current),) if current else ()


def time_left_s(context: grpc.aio.ServicerContext[Any, Any], at_most_s: float) -> float:
    """Returns the deadline for an outbound call, in seconds: what the caller has left, and no more than ``at_most_s``.

    Raises DeadlineExceeded when nothing is left.
    """
    left_s: float | None = context.time_remaining()
    if left_s is None:
        return at_most_s
    if left_s < _LEAST_USEFUL_S:
        raise DeadlineExceeded
    return min(left_s, at_most_s)


@contextmanager
def peer_errors(dependency: str) -> Iterator[None]:
    """Turns the RpcError of an outbound call into the TwinError that our own caller is told."""
    try:
        yield
    except grpc.RpcError as error:
        raise from_rpc_error(error, dependency) from error
