"""``twin import drive:FOLDER``: what this end makes of the gateway's states, against a gateway that obeys the test."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from grpc_status import rpc_status
from twin.gateway.v1 import gateway_pb2 as pb
from twin.gateway.v1 import gateway_pb2_grpc

from cli import import_stored
from cli.main import main
from runtime.errors import DependencyUnavailable, NoFaceFound, TwinError
from runtime.status import to_status
from tests.cli.serving import serving

NO_FACE = pb.ImportFailure(name="holiday/sea.jpg", error=to_status(NoFaceFound()))


class FakeGateway(gateway_pb2_grpc.TwinServiceServicer):
    """Answers each call with the states of its own, and then with its error."""

    def __init__(self, *calls: tuple[list[pb.ImportPhotosResponse], TwinError | None]) -> None:
        self.calls = list(calls)
        self.requests: list[pb.ImportPhotosRequest] = []

    def GetStats(self, request: pb.GetStatsRequest, context: Any) -> pb.GetStatsResponse:  # noqa: N802
        return pb.GetStatsResponse()

    def ImportPhotos(  # noqa: N802
        self, request: pb.ImportPhotosRequest, context: Any
    ) -> Iterator[pb.ImportPhotosResponse]:
        self.requests.append(request)
        states, error = self.calls.pop(0)
        yield from states
        if error is not None:
            context.abort_with_status(rpc_status.to_status(to_status(error)))


def run_import(
    gateway: FakeGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> tuple[int, list[dict[str, str]]]:
    monkeypatch.setattr(import_stored, "_DELAY_S", 0.01)
    report = tmp_path / "skipped.csv"
    with serving(gateway) as address:
        monkeypatch.setenv("TWIN_GATEWAY_TARGET", address)
        monkeypatch.setenv("TWIN_ADMIN_KEY", "an-administrators-key")
        code = main(["import", *arguments, "--report", str(report)])
    if not report.exists():
        return code, []
    with report.open(newline="") as file:
        return code, list(csv.DictReader(file))


def state(**fields: Any) -> pb.ImportPhotosResponse:
    return pb.ImportPhotosResponse(**fields)


def test_an_import_that_is_cut_off_is_taken_up_and_reported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = DependencyUnavailable("embedder", retry_delay_s=0.01)
    gateway = FakeGateway(  # type: ignore[abstract]
        ([state(seen_count=3, added_count=1, failed_count=1, failures=[NO_FACE])], gone),
        ([], gone),
        ([state(seen_count=3, added_count=2, failed_count=1, failures=[NO_FACE], listed=True)], None),
    )
    code, rows = run_import(gateway, tmp_path, monkeypatch, "drive:folder-1", "--gallery", "g", "--all-faces")
    assert code == 1
    assert rows == [{"path": "holiday/sea.jpg", "reason": "NO_FACE", "message": "no face was found in the image"}]
    assert "2 photos added, 0 already there, 1 skipped" in capsys.readouterr().out
    request = pb.ImportPhotosRequest(gallery="g", folder="folder-1", all_faces=True, store="drive")
    assert gateway.requests == [request] * 3


def test_an_import_that_cannot_begin_says_why_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway = FakeGateway(([], DependencyUnavailable("postgres")))  # type: ignore[abstract]
    code, rows = run_import(gateway, tmp_path, monkeypatch, "store:inbox")
    assert (code, rows) == (1, [])
    assert "postgres does not answer" in capsys.readouterr().err
    assert gateway.requests[0].store == ""


def test_a_whole_import_is_a_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = FakeGateway(([state(seen_count=2, added_count=1, unchanged_count=1, listed=True)], None))  # type: ignore[abstract]
    assert run_import(gateway, tmp_path, monkeypatch, "drive:") == (0, [])
