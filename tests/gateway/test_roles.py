"""Every RPC × every kind of caller, enumerated from the descriptor: an RPC without a row fails."""

import contextlib
from pathlib import Path

import grpc
import pytest
from google.protobuf.message import Message
from twin.gateway.v1 import gateway_pb2 as pb

from gateway.auth import REQUIRED_ROLES, Authorizer, Role, read_admin_key
from runtime.errors import StartupError
from tests.gateway.harness import ADMIN, Gateway
from tests.gateway.pictures import picture

OK, INVALID, NOT_FOUND = grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
WRONG_KEYS = (
    "Bearer wrong",
    "Bearer",
    "Basic dHdpbjp0d2lu",
    "",
    "Bearer an-administrators-ke",
    "an-administrators-key",
)
NOBODYS_ID = "00000000-0000-4000-8000-000000000000"

# RPC: a request, what a visitor is told, what an administrator is told.
TABLE: dict[str, tuple[Message, grpc.StatusCode, grpc.StatusCode]] = {
    "Search": (pb.SearchRequest(image=picture()), OK, OK),
    "DetectFaces": (pb.DetectFacesRequest(image=picture()), OK, OK),
    "Compare": (pb.CompareRequest(first_image=picture(), second_image=picture()), OK, OK),
    "AddPhoto": (pb.AddPhotoRequest(image=picture()), grpc.StatusCode.FAILED_PRECONDITION, OK),
    "DeletePhoto": (pb.DeletePhotoRequest(photo_id=NOBODYS_ID), INVALID, NOT_FOUND),
    "GetPhoto": (pb.GetPhotoRequest(photo_id=NOBODYS_ID), NOT_FOUND, NOT_FOUND),
    "ExportPhoto": (pb.ExportPhotoRequest(photo_id=NOBODYS_ID), INVALID, NOT_FOUND),
    "GetStats": (pb.GetStatsRequest(), OK, OK),
    "ListGalleries": (pb.ListGalleriesRequest(), OK, OK),
    # This gateway has no database for the jobs of imports.
    "ImportPhotos": (pb.ImportPhotosRequest(), grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAVAILABLE),
    "ReconcilePhotos": (pb.ReconcilePhotosRequest(), grpc.StatusCode.PERMISSION_DENIED, OK),
}
METHODS = [method.name for method in pb.DESCRIPTOR.services_by_name["TwinService"].methods]


async def told(gateway: Gateway, name: str, metadata: tuple[tuple[str, str], ...]) -> grpc.StatusCode:
    call = getattr(gateway.stub, name)(TABLE[name][0], metadata=metadata)
    if hasattr(call, "__aiter__"):
        with contextlib.suppress(grpc.aio.AioRpcError):
            async for _ in call:
                pass
    code: grpc.StatusCode = await call.code()
    return code


def test_every_rpc_has_a_row() -> None:
    assert set(METHODS) == set(TABLE) == set(REQUIRED_ROLES)


@pytest.mark.parametrize("name", METHODS)
async def test_each_caller_is_told_what_the_table_says(gateway: Gateway, name: str) -> None:
    _, visitor, admin = TABLE[name]
    assert await told(gateway, name, ()) is visitor
    assert await told(gateway, name, ADMIN) is admin
    for wrong in WRONG_KEYS:
        assert await told(gateway, name, (("authorization", wrong),)) is grpc.StatusCode.UNAUTHENTICATED
    assert await told(gateway, name, ADMIN + ADMIN) is grpc.StatusCode.UNAUTHENTICATED


def test_the_scheme_is_read_in_any_case() -> None:
    authorizer = Authorizer("an-administrators-key")
    assert authorizer.authorize("GetStats", (("authorization", "bearer an-administrators-key"),)) is Role.ADMIN


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "admin.key"
    key = read_admin_key(None, path)
    assert len(bytes.fromhex(key)) == 32
    assert path.read_text().strip() == key
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_admin_key(None, path) == key


def test_a_key_that_could_be_guessed_stops_the_start_and_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(StartupError) as caught:
        read_admin_key("hunter2", tmp_path / "admin.key")
    assert "hunter2" not in str(caught.value)
