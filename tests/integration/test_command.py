"""The ``twin`` command against real services."""

import csv
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from twin.vectorstore.v1 import vectorstore_pb2 as vs
from twin.vectorstore.v1 import vectorstore_pb2_grpc as vs_grpc

from tests.support import photos
from tests.support.stack import TWIN, Stack


@pytest.fixture
def gallery(stack: Stack, request: pytest.FixtureRequest) -> Iterator[str]:
    """A gallery's name of the test's own; the gallery is dropped afterwards."""
    name = f"test-{abs(hash(request.node.nodeid)) % 10**9}"
    yield name
    with grpc.insecure_channel(stack.addresses["vectorstore"]) as channel:
        try:
            vs_grpc.VectorStoreServiceStub(channel).DeleteGallery(vs.DeleteGalleryRequest(name=name), timeout=20)
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.NOT_FOUND


def photo_count(stack: Stack, gallery: str) -> int:
    with grpc.insecure_channel(stack.addresses["vectorstore"]) as channel:
        stub = vs_grpc.VectorStoreServiceStub(channel)
        return len(stub.ListPhotos(vs.ListPhotosRequest(gallery=gallery, page_size=1000), timeout=20).photos)


@pytest.fixture
def folder(tmp_path: Path, newton_photo: Path, gauss_photo: Path, six_faces_photo: Path) -> Path:
    """Photos of every kind, two of them the same, and four that cannot be added."""
    folder = tmp_path / "photos"
    (folder / "Carl Friedrich Gauss").mkdir(parents=True)
    (folder / "Isaac Newton").mkdir()
    (folder / "Carl Friedrich Gauss" / "portrait.png").write_bytes(gauss_photo.read_bytes())
    (folder / "Isaac Newton" / "portrait.webp").write_bytes(photos.converted(newton_photo, "WEBP"))
    (folder / "Isaac Newton" / "phone.jpg").write_bytes(photos.phone_jpeg(newton_photo, orientation=6))
    (folder / "six.jpg").write_bytes(six_faces_photo.read_bytes())
    (folder / "six-again.jpg").write_bytes(six_faces_photo.read_bytes())
    (folder / "text.jpg").write_text("no picture")
    (folder / "empty.png").touch()
    (folder / "nobody.jpg").write_bytes(photos.no_face_jpeg())
    (folder / "notes.txt").write_text("not looked at")
    (folder / ".hidden.jpg").write_text("not looked at")
    return folder


def test_a_folder_is_imported_once_and_what_was_skipped_is_reported(
    stack: Stack, gallery: str, folder: Path, tmp_path: Path
) -> None:
    report = tmp_path / "skipped.csv"
    arguments = ["import", str(folder), "--gallery", gallery, "--collection", "Portraits", "--report", str(report)]
    first = stack.twin(*arguments, "--person-from-folder", "--all-faces")
    assert first.returncode == 1, first.stderr
    assert "4 photos added (9 faces), 1 already there, 3 skipped" in first.stdout
    with report.open(newline="") as file:
        rows = {Path(row["path"]).name: row["reason"] for row in csv.DictReader(file)}
    assert rows == {"text.jpg": "UNREADABLE_IMAGE", "empty.png": "UNREADABLE_IMAGE", "nobody.jpg": "NO_FACE"}
    assert photo_count(stack, gallery) == 4

    again = stack.twin(*arguments)
    assert "0 photos added (0 faces), 5 already there, 3 skipped" in again.stdout
    assert photo_count(stack, gallery) == 4

    found = stack.twin("search", str(folder / "Isaac Newton" / "portrait.webp"), "--gallery", gallery)
    assert found.returncode == 0, found.stderr
    assert "Isaac Newton" in found.stdout and "Portraits" in found.stdout


def test_names_of_every_kind_are_imported_and_shown_as_they_are(
    stack: Stack, gallery: str, tmp_path: Path, newton_photo: Path, gauss_photo: Path
) -> None:
    folder = tmp_path / "photos"
    # To the table's library, brackets are markup; to a terminal, an escape character begins a command.
    for name in (b"Isaac [bold] Newton", b"Gau\xdf \x1b[2J"):
        (folder / os.fsdecode(name)).mkdir(parents=True)
    (folder / "Isaac [bold] Newton" / os.fsdecode(b"\xff\n.png")).write_bytes(newton_photo.read_bytes())
    (folder / os.fsdecode(b"Gau\xdf \x1b[2J") / "photo.png").write_bytes(gauss_photo.read_bytes())
    os.mkfifo(folder / "pipe.jpg")
    report = tmp_path / "skipped.csv"
    arguments = ["import", str(folder), "--gallery", gallery, "--collection", "[/x] :smile:", "--report", str(report)]
    imported = stack.twin(*arguments, "--person-from-folder")
    assert "2 photos added (2 faces), 0 already there, 1 skipped" in imported.stdout, imported.stderr
    with report.open(newline="") as file:
        assert [(Path(row["path"]).name, row["reason"]) for row in csv.DictReader(file)] == [
            ("pipe.jpg", "UNREADABLE_FILE")
        ]
    for photo, person in ((newton_photo, "Isaac [bold] Newton"), (gauss_photo, "Gau� �[2J")):
        found = stack.twin("search", str(photo), "--gallery", gallery, "--mode", "nearest")
        assert found.returncode == 0, found.stderr
        assert person in found.stdout and "[/x] :smile:" in found.stdout


def test_an_import_that_is_killed_goes_on_where_it_was(
    stack: Stack, gallery: str, tmp_path: Path, newton_photo: Path
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    count = 40
    for number in range(count):
        size = (600 + number, 800 + number)
        (folder / f"{number:03}.jpg").write_bytes(photos.phone_jpeg(newton_photo, orientation=1, size=size))
    arguments = ["import", str(folder), "--gallery", gallery]
    process = subprocess.Popen(
        [str(TWIN), *arguments], env=stack.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    give_up_s = time.monotonic() + 60
    while time.monotonic() < give_up_s:
        try:
            if photo_count(stack, gallery) >= 3:
                break
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.NOT_FOUND
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait(20)
    kept = photo_count(stack, gallery)
    assert kept >= 3

    finished = stack.twin(*arguments)
    assert finished.returncode == 0, finished.stderr
    told = re.search(r"(\d+) photos added \(\d+ faces\), (\d+) already there, 0 skipped", finished.stdout)
    assert told is not None, finished.stdout
    added, already = int(told[1]), int(told[2])
    assert added + already == count
    assert added > 0, "the import was over before it was killed"
    assert already >= kept
    assert photo_count(stack, gallery) == count


def test_search_prints_a_table_and_json(stack: Stack, newton_photo: Path) -> None:
    table = stack.twin("search", str(newton_photo), "--limit", "3")
    assert table.returncode == 0, table.stderr
    assert "Solvay Conference, 1927" in table.stdout
    answer = json.loads(stack.twin("search", str(newton_photo), "--limit", "3", "--json").stdout)
    assert len(answer["results"][0]["twins"]) == 3


def test_compare_gives_a_verdict(stack: Stack, newton_photo: Path, gauss_photo: Path) -> None:
    assert "two people" in stack.twin("compare", str(newton_photo), str(gauss_photo)).stdout
    assert "the same person" in stack.twin("compare", str(newton_photo), str(newton_photo)).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("search", "/nowhere/photo.jpg"), "No such file"),
        (("import", "/nowhere"), "is no folder"),
        (("import", "drive:abc"), "photos are kept in the store 'local' here"),
        (("search", "{newton}", "--gallery", "nobody-made-this"), "NOT_FOUND"),
        (("search", "{newton}", "--gallery", "Bad Name"), "a gallery's name"),
        (("search", "{newton}", "--limit", "-1"), "INVALID_FIELD"),
        (("compare", "{newton}", "{text}"), "UNREADABLE_IMAGE"),
    ],
)
def test_what_goes_wrong_is_one_line(
    stack: Stack, newton_photo: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    text = tmp_path / "text.jpg"
    text.write_text("no picture")
    answer = stack.twin(*(argument.format(newton=newton_photo, text=text) for argument in arguments))
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert len(answer.stderr.splitlines()) == 1
    assert said in answer.stderr


def test_doctor_finds_everything_in_place_while_the_services_run(stack: Stack) -> None:
    answer = stack.twin("doctor")
    assert answer.returncode == 0, answer.stdout
    assert answer.stdout.count("SERVING") == 3
    assert "Everything is in place" in answer.stdout


def test_doctor_says_how_to_get_a_missing_pack(stack: Stack, tmp_path: Path) -> None:
    environment = {**stack.environment, "TWIN_MODELS_DIR": str(tmp_path / "none"), "COLUMNS": "200"}
    arguments = [str(TWIN), "doctor"]
    answer = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 1
    assert "twin models pull starter" in answer.stdout


def test_no_service_at_all_is_one_line_that_says_what_to_start(newton_photo: Path) -> None:
    environment = {**os.environ, "TWIN_GATEWAY_TARGET": "127.0.0.1:1"}
    arguments = [str(TWIN), "search", str(newton_photo)]
    answer = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 1
    assert "twin serve all" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_models_are_listed_and_verified(models_dir: Path) -> None:
    listed = subprocess.run([str(TWIN), "models", "list"], capture_output=True, text=True, timeout=60, check=False)
    assert listed.returncode == 0 and "starter" in listed.stdout and "buffalo_l" in listed.stdout
    verified = subprocess.run([str(TWIN), "models", "verify"], capture_output=True, text=True, timeout=60, check=False)
    assert verified.returncode == 0 and "BAD" not in verified.stdout
