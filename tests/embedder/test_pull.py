"""How packs are pulled: from their archives, whole or not at all, by one at a time."""

import dataclasses
import io
import shutil
import sys
import tarfile
import threading
from pathlib import Path

import pytest

from embedder.models import LicenseNotAccepted, PackState, make, pull
from embedder.models.archives import Archive, Member, Progress, extract_members, fetch_archive
from embedder.models.digest import model_id_of, sha256_of
from embedder.models.load import load_pack
from embedder.models.make import pack_lock, replacing
from embedder.models.manifest import MANIFEST_NAME, manifest_text, read_manifest
from runtime.errors import StartupError


def no_work(message: str) -> None:
    raise AssertionError(f"nothing was to be done, and yet: {message}")


def test_insightface_pack_needs_its_licence_accepted(tmp_path: Path) -> None:
    with pytest.raises(LicenseNotAccepted) as caught:
        pull("buffalo_l", tmp_path, accept_license=False, progress=no_work)
    assert "non-commercial" in caught.value.license_text
    assert not (tmp_path / "buffalo_l").exists()


def test_insightface_pack_is_pulled_by_its_own_downloader_and_recorded(
    layout_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from insightface.utils import storage

    def download(sub_dir: str, name: str, root: str) -> str:
        # As the real one leaves it for antelopev2: the archive holds a folder of its own.
        folder = Path(root) / sub_dir / name / name
        shutil.copytree(layout_dir / "own", folder)
        return str(folder.parent)

    monkeypatch.setattr(storage, "download", download)
    summary = pull("antelopev2", tmp_path, accept_license=True, progress=lambda _: None)
    assert summary.state is PackState.READY and "non-commercial" in summary.license
    assert "accepted" in (tmp_path / "antelopev2" / "license-accepted.txt").read_text()
    assert load_pack(tmp_path, "antelopev2").manifest.recognizer.channel_order == "RGB"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".antelopev2.lock", "antelopev2"]


def test_failed_pull_leaves_nothing_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from insightface.utils import storage

    def download(sub_dir: str, name: str, root: str) -> str:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(storage, "download", download)
    with pytest.raises(StartupError, match="could not fetch buffalo_s"):
        pull("buffalo_s", tmp_path, accept_license=True, progress=lambda _: None)
    assert [path.name for path in tmp_path.iterdir()] == [".buffalo_s.lock"]


def test_two_pulls_take_turns(tmp_path: Path) -> None:
    order: list[str] = []
    waiting = threading.Event()

    def second() -> None:
        with pack_lock(tmp_path, "p", lambda _: waiting.set()):
            order.append("second")

    with pack_lock(tmp_path, "p", no_work):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(10)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_failed_replacement_keeps_the_old_folder(tmp_path: Path) -> None:
    folder = tmp_path / "pack"
    folder.mkdir()
    (folder / "old").touch()
    (tmp_path / ".pack.new-left-by-a-crash").mkdir()
    with pytest.raises(RuntimeError), replacing(folder) as fresh:
        (fresh / "half").touch()
        raise RuntimeError
    assert [path.name for path in tmp_path.rglob("*")] == ["pack", "old"]
    with replacing(folder) as fresh:
        (fresh / "new").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["pack", "new"]


def test_archive_members_are_taken_only_when_they_are_what_is_named(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name, data in (("package/good", b"good"), ("package/../../evil", b"evil")):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
        link = tarfile.TarInfo("package/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    good = Member("package/good", "source/good", 4, sha256_of(b"good"))
    folder = tmp_path / "out"
    extract_members(archive, (good,), folder)
    assert [path.name for path in folder.rglob("*")] == ["source", "good"]
    wrong = (
        dataclasses.replace(good, size_bytes=5),
        dataclasses.replace(good, sha256="0" * 64),
        dataclasses.replace(good, path="package/absent"),
        dataclasses.replace(good, path="package/link"),
    )
    for member in wrong:
        with pytest.raises(StartupError):
            extract_members(archive, (member,), tmp_path / "nothing")
    archive.write_bytes(archive.read_bytes()[:40])
    with pytest.raises(StartupError):
        extract_members(archive, (good,), tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def packed(archive: Archive, pack: Path, folder: Path) -> Path:
    """Returns the archive as its registry has it, made of a pack that came from it."""
    file = folder / "archive.tar.gz"
    with tarfile.open(file, "w:gz") as tar:
        for member in archive.members:
            tar.add(pack / member.place, member.path)
    return file


def test_pack_is_made_from_its_archives(models_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def fetch_archive(archive: Archive, folder: Path, progress: Progress) -> Path:
        asked.append(f"{archive.client} {archive.package} {archive.version}")
        return packed(archive, models_dir / "starter", folder)

    monkeypatch.setattr(make, "fetch_archive", fetch_archive)
    summary = pull("starter", tmp_path, accept_license=False, progress=lambda _: None)
    assert asked == ["pip scrfd 0.3.0", "npm faceplugin-face-recognition-js 0.0.1"]
    assert summary.state is PackState.READY
    assert sorted(path.name for path in tmp_path.iterdir()) == [".starter.lock", "starter"]
    # A repair takes what is intact from the damaged pack.
    (tmp_path / "starter" / "recognizer.onnx").write_bytes(b"damaged")
    assert pull("starter", tmp_path, accept_license=False, progress=lambda _: None) == summary
    assert len(asked) == 2
    (tmp_path / "starter" / "source" / "scrfd.onnx").write_bytes(b"damaged")
    assert pull("starter", tmp_path, accept_license=False, progress=lambda _: None) == summary
    assert asked[2:] == ["pip scrfd 0.3.0"]


def test_pack_of_an_earlier_version_is_noticed_and_completed(
    models_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def fetch_archive(archive: Archive, folder: Path, progress: Progress) -> Path:
        asked.append(archive.package)
        return packed(archive, models_dir / "starter", folder)

    monkeypatch.setattr(make, "fetch_archive", fetch_archive)
    # As it was pulled before there were networks for age and gender.
    folder = tmp_path / "starter"
    shutil.copytree(models_dir / "starter", folder)
    for file in ("age.onnx", "gender.onnx", "source/fr_age.onnx", "source/fr_gender.onnx"):
        (folder / file).unlink()
    manifest = read_manifest(folder / MANIFEST_NAME, "starter")
    earlier = dataclasses.replace(manifest, age=None, gender=None)
    (folder / MANIFEST_NAME).write_text(manifest_text(earlier), encoding="utf-8")
    with pytest.raises(StartupError, match="of another version; run: twin models pull starter"):
        load_pack(tmp_path, "starter")
    summary = pull("starter", tmp_path, accept_license=False, progress=lambda _: None)
    assert asked == ["faceplugin-face-recognition-js"]
    assert summary.state is PackState.READY and summary.model_id == model_id_of(earlier)
    assert load_pack(tmp_path, "starter").attributes is not None


@pytest.mark.parametrize("client", ["pip", "npm"])
def test_registry_client_that_fails_is_quoted_in_one_line(
    client: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = tmp_path / "client"
    failing.write_text("#!/bin/sh\necho 'some context' >&2\necho 'no such package' >&2\nexit 1\n")
    failing.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(failing))
    monkeypatch.setattr(shutil, "which", lambda _: str(failing))
    (tmp_path / "empty").mkdir()
    with pytest.raises(StartupError, match="could not fetch thing: no such package"):
        fetch_archive(Archive(client, "thing", "1.0", ()), tmp_path / "empty", lambda _: None)


def test_missing_npm_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(StartupError, match=r"npm is needed.*Node\.js"):
        fetch_archive(Archive("npm", "thing", "1.0", ()), tmp_path, lambda _: None)
