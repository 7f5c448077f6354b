"""Which files of a folder are photos to import, and in which order."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from cli.walk import photos_under


def refuse(folder: Path, error: OSError) -> None:
    raise AssertionError(f"{folder}: {error}")


def nothing_else(file: Path, suffix: str) -> None:
    raise AssertionError(f"{file} is of another kind: {suffix}")


def test_photos_come_by_name_without_hidden_ones_and_without_linked_folders(tmp_path: Path) -> None:
    for name in ("b.JPG", "a/2.png", "a/1.webp", "c.jpeg", "notes.txt", ".hidden.jpg", ".trash/x.jpg", "jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "round").symlink_to(tmp_path)
    found = [str(path.relative_to(tmp_path)) for path in photos_under(tmp_path, refuse, nothing_else)]
    assert found == ["a/1.webp", "a/2.png", "b.JPG", "c.jpeg"]


def test_folders_deeper_than_the_interpreters_stack_are_walked(tmp_path: Path) -> None:
    depth = 1_500
    folder = os.open(tmp_path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=folder)
        inner = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(os.open("x.jpg", os.O_CREAT, dir_fd=folder))
    os.close(folder)
    try:
        assert [path.name for path in photos_under(tmp_path, refuse, nothing_else)] == ["x.jpg"]
    finally:
        # Python's own removal of a tree calls itself for each level.
        subprocess.run(["rm", "-r", str(tmp_path / "d")], check=True)


def test_a_folder_that_cannot_be_listed_is_told_and_the_others_are_walked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("closed", "open"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "photo.jpg").touch()
    scandir = os.scandir

    def refuse_closed(path: Path) -> object:
        if path.name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    # The superuser, as whom tests may run, is refused nothing.
    monkeypatch.setattr(os, "scandir", refuse_closed)
    told: list[Path] = []
    found = list(photos_under(tmp_path, lambda folder, _: told.append(folder), nothing_else))
    assert found == [tmp_path / "open" / "photo.jpg"]
    assert told == [tmp_path / "closed"]
