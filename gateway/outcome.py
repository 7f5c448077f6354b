"""Whether a failed call did nothing for sure, or may have done its work before its answer was lost."""

from typing import Final

import grpc

from runtime.errors import PeerError, TwinError
from runtime.status import status_code

_MAY_HAVE_HAPPENED: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.DATA_LOSS,
        grpc.StatusCode.UNKNOWN,
    }
)


def code_of(error: TwinError) -> grpc.StatusCode:
    """Returns the status code that a caller is told."""
    return status_code(error.status) if isinstance(error, PeerError) else error.code


def may_have_happened(error: TwinError) -> bool:
    """True when the failure leaves open whether the peer did what it was asked to."""
    return code_of(error) in _MAY_HAVE_HAPPENED
