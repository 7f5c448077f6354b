"""``twin delete``: what an operator removes without a receipt."""

import uuid
import zipfile
from pathlib import Path

from tests.support.stack import Stack


def test_an_operator_deletes_an_imported_photo_by_its_id(own_stack: Stack, tmp_path: Path, newton_photo: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "newton.png").write_bytes(newton_photo.read_bytes())
    assert own_stack.twin("import", str(folder)).returncode == 0
    found = own_stack.twin("search", str(newton_photo), "--mode", "nearest", "--limit", "1")
    photo_id = next(word for word in found.stdout.split() if len(word) == 36 and word.count("-") == 4)

    archive = tmp_path / "export.zip"
    assert own_stack.twin("export", photo_id, "-o", str(archive)).returncode == 0
    with zipfile.ZipFile(archive) as opened:
        assert opened.namelist() == ["photo.json", "original.png"]

    deleted = own_stack.twin("delete", photo_id)
    assert (deleted.returncode, deleted.stdout.strip()) == (0, f"{photo_id} deleted, faces: 1")
    assert "nobody" in own_stack.twin("search", str(newton_photo)).stdout
    assert [path for path in (own_stack.data_dir / "photos").rglob("*") if path.is_file()] == []

    listed = own_stack.twin("audit", "list").stdout
    for action in ("add_photo", "export_photo", "delete_photo", "confirm_removal"):
        assert action in listed
    verified = own_stack.twin("audit", "verify")
    assert verified.returncode == 0, verified.stdout
    assert "entries are as they were written" in verified.stdout


def test_an_unknown_or_malformed_id_is_one_line(own_stack: Stack) -> None:
    unknown = own_stack.twin("delete", str(uuid.uuid4()))
    assert unknown.returncode == 1 and "NOT_FOUND" in unknown.stderr
    malformed = own_stack.twin("delete", "nonsense")
    assert malformed.returncode == 1 and len(malformed.stderr.splitlines()) == 1
