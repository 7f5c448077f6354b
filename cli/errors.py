"""Failures that the command tells in one line."""

from typing import Final

import grpc
import grpc.aio

from runtime.status import error_info, status_from_rpc_error

# What passes by itself when one waits.
PASSING: Final = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED}
)


class CommandError(Exception):
    """Ends the command with one line on standard error and exit code 1."""


def in_words(error: grpc.RpcError, target: str) -> str:
    """Returns a failed call as one line for a person at a terminal."""
    status = status_from_rpc_error(error)
    info = error_info(status)
    if info is None and error.code() is grpc.StatusCode.UNAVAILABLE:
        return f"no service answers at {target}; start one with `twin serve all`, or `twin doctor` says what is missing"
    reason = info.reason if info is not None else error.code().name
    return f"{status.message} ({reason})"
