"""What an import makes of a service's refusals, against a gateway that obeys the test."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from grpc_status import rpc_status
from twin.face.v1 import face_pb2
from twin.gateway.v1 import gateway_pb2 as pb
from twin.gateway.v1 import gateway_pb2_grpc

from cli.main import main
from runtime.errors import LowQuality, ModelMismatch, TwinError
from runtime.status import to_status
from tests.cli.serving import serving

POOR = LowQuality(0, ["TOO_SMALL"], ["it is 18 px across, and at least 20 px are needed"])
Refuse = Callable[[pb.AddPhotoRequest], TwinError | None]


class FakeGateway(gateway_pb2_grpc.TwinServiceServicer):
    """Adds every photo that the test does not refuse."""

    def __init__(self, refuse: Refuse) -> None:
        self.refuse = refuse
        self.added: list[str] = []

    def GetStats(self, request: pb.GetStatsRequest, context: Any) -> pb.GetStatsResponse:  # noqa: N802
        return pb.GetStatsResponse()

    def AddPhoto(self, request: pb.AddPhotoRequest, context: Any) -> pb.AddPhotoResponse:  # noqa: N802
        error = self.refuse(request)
        if error is not None:
            context.abort_with_status(rpc_status.to_status(to_status(error)))
        self.added.append(request.original_filename)
        return pb.AddPhotoResponse(faces=[face_pb2.Face()])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("far.jpg", "near.jpg", "nearer.jpg"):
        (folder / name).write_bytes(b"the gateway looks at it: " + name.encode())
    return folder


def run_import(
    gateway: FakeGateway, folder: Path, report: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[int, list[dict[str, str]]]:
    with serving(gateway) as address:
        monkeypatch.setenv("TWIN_GATEWAY_TARGET", address)
        code = main(["import", str(folder), "--report", str(report)])
    if not report.exists():
        return code, []
    with report.open(newline="") as file:
        return code, list(csv.DictReader(file))


def test_a_photo_of_a_poor_face_is_skipped_with_its_reason(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway = FakeGateway(lambda request: POOR if request.original_filename == "far.jpg" else None)  # type: ignore[abstract]
    code, rows = run_import(gateway, folder, tmp_path / "skipped.csv", monkeypatch)
    assert code == 1
    assert sorted(gateway.added) == ["near.jpg", "nearer.jpg"]
    assert rows == [{"path": str(folder / "far.jpg"), "reason": "LOW_QUALITY", "message": POOR.message}]
    assert "18 px across, and at least 20 px are needed" in POOR.message
    assert "2 photos added (2 faces), 0 already there, 1 skipped" in capsys.readouterr().out


def test_a_refusal_that_every_photo_would_meet_ends_the_import(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway = FakeGateway(lambda _: ModelMismatch(expected="a", actual="b"))  # type: ignore[abstract]
    code, rows = run_import(gateway, folder, tmp_path / "skipped.csv", monkeypatch)
    assert (code, rows, gateway.added) == (1, [], [])
    assert "MODEL_MISMATCH" in capsys.readouterr().err


def test_files_beside_the_photos_say_who_is_in_them(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: dict[str, tuple[str, str]] = {}

    def note(request: pb.AddPhotoRequest) -> None:
        said[request.original_filename] = (request.person, request.collection)

    (folder / "source_info.json").write_text('{"name": "The source"}')
    (folder / "images").mkdir()
    (folder / "far.jpg").rename(folder / "images" / "far.jpg")
    (folder / "people.csv").write_text("filename,person\nnear.jpg,Ada\n")
    code, _ = run_import(FakeGateway(note), folder, tmp_path / "skipped.csv", monkeypatch)  # type: ignore[abstract]
    assert code == 0
    assert said == {"far.jpg": ("", "The source"), "near.jpg": ("Ada", ""), "nearer.jpg": ("", "")}


def test_images_of_other_kinds_are_counted_and_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "older").mkdir()
    for name in ("scan.tiff", "older/a.BMP", "older/b.bmp", "notes.txt", ".hidden.bmp"):
        (folder / name).touch()
    gateway = FakeGateway(lambda _: None)  # type: ignore[abstract]
    code, rows = run_import(gateway, folder, tmp_path / "skipped.csv", monkeypatch)
    assert code == 1
    assert sorted(gateway.added) == ["far.jpg", "near.jpg", "nearer.jpg"]
    assert [row["path"] for row in rows] == [str(folder / name) for name in ("older/a.BMP", "older/b.bmp", "scan.tiff")]
    assert {row["reason"] for row in rows} == {"UNSUPPORTED_KIND"}
    assert rows[2]["message"] == ".tiff images are not imported: make it a JPEG, PNG or WebP"
    said = " ".join(capsys.readouterr().out.split())
    assert "3 photos added (3 faces), 0 already there, 3 skipped" in said
    assert "3 of them are images of other kinds than JPEG, PNG and WebP (.bmp: 2, .tiff: 1)" in said


def test_a_folder_of_other_images_alone_is_told_without_a_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TWIN_GATEWAY_TARGET", "127.0.0.1:1")
    (tmp_path / "scan.bmp").touch()
    report = tmp_path / "skipped.csv"
    assert main(["import", str(tmp_path), "--report", str(report)]) == 1
    assert "scan.bmp" in report.read_text()
    assert ".bmp: 1" in capsys.readouterr().out
