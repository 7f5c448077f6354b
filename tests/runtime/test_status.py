"""What errors look like on the wire."""

import inspect
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from twin.error.v1 import error_pb2

from runtime import errors
from runtime.status import error_info, from_rpc_error, retry_delay_s, status_code, to_status

EXAMPLES: list[errors.TwinError] = [
    errors.NoFaceFound(),
    errors.LowQuality(0, ["TOO_SMALL", "BLURRED"], ["it is 18 px across, and at least 20 px are needed"]),
    errors.UnreadableImage("no image", detected_type="text"),
    errors.ImageTooLarge(limit=1, actual=2, unit="pixels"),
    errors.FaceIndexOutOfRange(7, 2),
    errors.InvalidField("limit", "is negative"),
    errors.ModelMismatch(expected="a", actual="b"),
    errors.NotFound("photo"),
    errors.DuplicatePhoto("id"),
    errors.Overloaded(),
    errors.RateLimited(),
    errors.StorageFull(),
    errors.DependencyUnavailable("postgres"),
    errors.UnknownKey(),
    errors.RoleMissing("admin"),
    errors.ConsentMissing(),
    errors.NotReady(),
]


class FakeRpcError(grpc.RpcError):
    def __init__(self, code: grpc.StatusCode, message: str, trailers: tuple[tuple[str, bytes], ...] = ()) -> None:
        self._code, self._message, self._trailers = code, message, trailers

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._message

    def trailing_metadata(self) -> Any:
        return self._trailers


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_every_error_has_a_status_and_a_reason_of_the_contract(error: errors.TwinError) -> None:
    status = to_status(error)
    info = error_info(status)
    assert info is not None
    assert f"ERROR_REASON_{info.reason}" in error_pb2.ErrorReason.DESCRIPTOR.values_by_name
    assert status_code(status) is error.code
    assert status.ByteSize() < 4_000


def test_no_error_class_is_without_an_example() -> None:
    wireless = {errors.TwinError, errors.PeerError, errors.DeadlineExceeded, errors.CallerGone}
    classes = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.TwinError)}
    assert classes - wireless == {type(error) for error in EXAMPLES}


def test_every_reason_of_the_contract_has_an_error() -> None:
    reasons = {name.removeprefix("ERROR_REASON_") for name in error_pb2.ErrorReason.DESCRIPTOR.values_by_name} - {
        "UNSPECIFIED"
    }
    assert {error.reason for error in EXAMPLES} == reasons


def test_a_long_message_stays_under_the_header_limit() -> None:
    status = to_status(errors.InvalidField("field", "x" * 100_000))
    assert status.ByteSize() < 4_000


def test_a_field_error_names_its_field() -> None:
    request = error_details_pb2.BadRequest()
    detail = next(detail for detail in to_status(errors.InvalidField("limit", "bad")).details if detail.Unpack(request))
    assert detail.type_url.endswith("BadRequest")
    assert [violation.field for violation in request.field_violations] == ["limit"]


def test_a_peers_own_status_is_handed_on() -> None:
    status = to_status(errors.Overloaded(retry_delay_s=2.5))
    trailers = (("grpc-status-details-bin", status.SerializeToString()),)
    error = from_rpc_error(FakeRpcError(status_code(status), status.message, trailers), "embedder")
    assert to_status(error) == status
    assert retry_delay_s(to_status(error)) == 2.5


def test_a_peer_that_cannot_be_reached_is_a_missing_dependency() -> None:
    error = from_rpc_error(FakeRpcError(grpc.StatusCode.UNAVAILABLE, "connection refused 10.0.0.1"), "embedder")
    assert isinstance(error, errors.DependencyUnavailable)
    assert "10.0.0.1" not in to_status(error).message


def test_a_peers_deadline_is_ours() -> None:
    error = from_rpc_error(FakeRpcError(grpc.StatusCode.DEADLINE_EXCEEDED, "late"), "vectorstore")
    assert isinstance(error, errors.DeadlineExceeded)
