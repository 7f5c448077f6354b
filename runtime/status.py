"""Errors on the wire: google.rpc.Status and its details, both ways.

Every failed call carries a canonical status and ``ErrorInfo{reason, domain: "twin"}`` with a reason of
``twin.error.v1.ErrorReason``; ``BadRequest`` and ``RetryInfo`` accompany it where they help.
"""

from typing import Any

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from runtime.errors import CallerGone, DeadlineExceeded, DependencyUnavailable, PeerError, TwinError

ERROR_DOMAIN = "twin"
# grpc.StatusCode members carry (number, name); the wire wants the number.
CODE_BY_NUMBER: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}
# Details of 9 kB already reached clients as RESOURCE_EXHAUSTED, because they outgrew the header limit.
MAX_MESSAGE_CHARACTERS = 500
MAX_METADATA_CHARACTERS = 200


def to_status(error: TwinError) -> status_pb2.Status:
    """Returns the status, details included, that tells a caller of the error."""
    if isinstance(error, PeerError):
        return error.status
    message = error.message[:MAX_MESSAGE_CHARACTERS]
    status = status_pb2.Status(code=error.code.value[0], message=message)
    if error.reason:
        metadata = {key: value[:MAX_METADATA_CHARACTERS] for key, value in error.metadata.items()}
        _attach(status, error_details_pb2.ErrorInfo(reason=error.reason, domain=ERROR_DOMAIN, metadata=metadata))
    if error.field is not None:
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=message)
        _attach(status, error_details_pb2.BadRequest(field_violations=[violation]))
    if error.retry_delay_s is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(int(error.retry_delay_s * 1000))
        _attach(status, retry)
    return status


def internal_status(opaque_id: str) -> status_pb2.Status:
    """Returns the status for a bug: INTERNAL and an id that the log also has, never the exception's text."""
    return status_pb2.Status(code=grpc.StatusCode.INTERNAL.value[0], message=f"internal error {opaque_id}")


def status_code(status: status_pb2.Status) -> grpc.StatusCode:
    """Returns the status's code as grpcio names it; UNKNOWN for a number that is no code."""
    return CODE_BY_NUMBER.get(status.code, grpc.StatusCode.UNKNOWN)


def error_info(status: status_pb2.Status) -> error_details_pb2.ErrorInfo | None:
    """Returns the status's ErrorInfo of this project's domain, if it carries one."""
    info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        if detail.Is(info.DESCRIPTOR):
            detail.Unpack(info)
            if info.domain == ERROR_DOMAIN:
                return info
    return None


def retry_delay_s(status: status_pb2.Status) -> float | None:
    """Returns how long the status asks its caller to wait, in seconds, if it says so."""
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        if detail.Is(retry.DESCRIPTOR):
            detail.Unpack(retry)
            return float(retry.retry_delay.ToMilliseconds() / 1000)
    return None


def status_from_rpc_error(error: Any) -> status_pb2.Status:
    """Returns the full status of a failed call, a grpc.RpcError; code and message alone where no details were sent."""
    try:
        status = rpc_status.from_call(error)
    except ValueError:
        status = None  # The details contradict the call's own status: they are not to be trusted.
    if status is not None:
        return status
    return status_pb2.Status(code=error.code().value[0], message=error.details() or "")


def from_rpc_error(error: grpc.RpcError, dependency: str) -> TwinError:
    """Turns a failed outbound call into what our own caller is told.

    A status of this project is handed on as it is; a peer that cannot be reached becomes DEPENDENCY_UNAVAILABLE;
    anything else is handed on too, as it came.
    """
    status = status_from_rpc_error(error)
    code = status_code(status)
    if error_info(status) is not None or code is grpc.StatusCode.INTERNAL:
        return PeerError(status)
    if code is grpc.StatusCode.UNAVAILABLE:
        return DependencyUnavailable(dependency)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded(f"{dependency} did not answer before the deadline")
    if code is grpc.StatusCode.CANCELLED:
        return CallerGone()
    return PeerError(status)


def _attach(
    status: status_pb2.Status,
    detail: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest | error_details_pb2.RetryInfo,
) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)
