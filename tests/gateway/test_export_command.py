"""``twin export``, against a gateway that runs in this process."""

import asyncio
import uuid
import zipfile
from pathlib import Path

import pytest
from twin.gateway.v1 import gateway_pb2 as pb

from cli.main import main
from tests.gateway.harness import ADMIN_KEY, Gateway
from tests.gateway.pictures import picture

CONSENT = pb.ConsentGrant(policy_version="2026-11")


@pytest.fixture(autouse=True)
def settings(gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWIN_GATEWAY_TARGET", gateway.address)
    monkeypatch.setenv("TWIN_ADMIN_KEY", ADMIN_KEY)
    monkeypatch.setenv("TWIN_DATA_DIR", str(tmp_path / "operator"))
    monkeypatch.chdir(tmp_path)


async def _twin(*arguments: str) -> int:
    """In a thread: the gateway answers from this one."""
    return await asyncio.to_thread(main, ["export", *arguments])


async def test_an_archive_is_written_for_its_owner_alone(gateway: Gateway, tmp_path: Path) -> None:
    added = await gateway.stub.AddPhoto(pb.AddPhotoRequest(image=picture(), consent=CONSENT))
    receipt = added.saved_photo
    file = tmp_path / "mine.zip"
    assert await _twin(receipt.photo_id, "--token", receipt.deletion_token, "-o", str(file)) == 0
    with zipfile.ZipFile(file) as archive:
        assert sorted(archive.namelist()) == ["consent.txt", "original.jpg", "photo.json"]
        assert archive.testzip() is None
    assert file.stat().st_mode & 0o777 == 0o600
    assert await _twin(receipt.photo_id) == 0, "whoever runs the service needs no token"
    assert (tmp_path / f"photo-{receipt.photo_id}.zip").stat().st_size == file.stat().st_size


async def test_a_refusal_is_one_line_and_leaves_no_file(
    gateway: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    added = await gateway.stub.AddPhoto(pb.AddPhotoRequest(image=picture(), consent=CONSENT))
    file = tmp_path / "mine.zip"
    said = []
    for photo_id, token in ((added.saved_photo.photo_id, "A" * 43), (str(uuid.uuid4()), "A" * 43), ("nonsense", "A")):
        capsys.readouterr()
        assert await _twin(photo_id, "--token", token, "-o", str(file)) == 1
        assert not file.exists()
        said.append(capsys.readouterr().err)
    assert said[0] == said[1] and "NOT_FOUND" in said[0]
    assert all(len(lines.splitlines()) == 1 for lines in said)


async def test_a_file_that_is_there_is_left_as_it_is(gateway: Gateway, tmp_path: Path) -> None:
    added = await gateway.stub.AddPhoto(pb.AddPhotoRequest(image=picture(), consent=CONSENT))
    file = tmp_path / "mine.zip"
    file.write_text("something else")
    assert await _twin(added.saved_photo.photo_id, "-o", str(file)) == 1
    assert file.read_text() == "something else"


async def test_an_archive_that_lacks_the_original_is_not_called_all_that_is_held(
    gateway: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    added = await gateway.stub.AddPhoto(pb.AddPhotoRequest(image=picture(), consent=CONSENT))
    gateway.vectors.photos[added.saved_photo.photo_id][1].source.store = "drive"
    file = tmp_path / "mine.zip"
    assert await _twin(added.saved_photo.photo_id, "-o", str(file)) == 1
    with zipfile.ZipFile(file) as archive:
        assert sorted(archive.namelist()) == ["consent.txt", "original-left-out.txt", "photo.json"]
    said = capsys.readouterr().out
    assert "all that is held" not in said
    assert "but for the original" in said
