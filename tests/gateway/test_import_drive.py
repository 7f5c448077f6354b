"""Importing a folder of Google Drive: referenced where it lies, and followed by its changes the next time."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import grpc
import pytest
from twin.gateway.v1 import gateway_pb2 as pb

from tests.drive_emulator import DriveEmulator
from tests.drive_emulator.drive import Held
from tests.drive_emulator.tokens import FILE_SCOPE
from tests.gateway.fakes import NO_FACE
from tests.gateway.harness import ADMIN, Gateway, running_gateway
from tests.gateway.pictures import picture

READ_SCOPE = "https://www.googleapis.com/auth/drive.readonly"
FAULTS = (
    *(("files.media", kind) for kind in ("short_body", "wrong_bytes", "lost_response", "error_500", "rate_limit_429")),
    *(("files.get", kind) for kind in ("rate_limit_403", "unauthorized_401", "error_503", "lost_response")),
    *(("files.list", kind) for kind in ("error_500", "short_body")),
)


@pytest.fixture
def emulator() -> Iterator[DriveEmulator]:
    with DriveEmulator(seed=7) as drive:
        yield drive


def importing(emulator: DriveEmulator, folder: Path, database_url: str) -> AbstractAsyncContextManager[Gateway]:
    return running_gateway(
        folder,
        database_url=database_url,
        import_takeover_s=1.0,
        photo_store="drive",
        google_token_json=emulator.token_json(FILE_SCOPE, READ_SCOPE),
        drive_endpoint=emulator.url,
        drive_imports=True,
    )


@pytest.fixture
async def gateway(tmp_path: Path, database_url: str, emulator: DriveEmulator) -> AsyncIterator[Gateway]:
    async with importing(emulator, tmp_path, database_url) as running:
        yield running


async def run_import(gateway: Gateway, folder: str) -> tuple[tuple[int, int, int, int], list[str]]:
    last, failed = pb.ImportPhotosResponse(), []
    request = pb.ImportPhotosRequest(folder=folder, store="drive")
    async for last in gateway.stub.ImportPhotos(request, metadata=ADMIN):
        failed += [failure.name for failure in last.failures]
    return (last.seen_count, last.added_count, last.unchanged_count, last.failed_count), failed


def names(gateway: Gateway) -> list[str]:
    return sorted(photo.original_filename for _, photo in gateway.vectors.photos.values())


async def test_a_folder_is_referenced_and_nothing_of_the_owners_is_touched(
    gateway: Gateway, emulator: DriveEmulator
) -> None:
    drive = emulator.drive
    album = drive.owner_folder("album")
    below = drive.owner_folder("images", album)
    drive.owner_file("source_info.json", b'{"name": "The album"}', album)
    files = [drive.owner_file(f"{number}.jpg", picture(seed=number), (album, below)[number % 2]) for number in range(6)]
    drive.owner_file("notes.txt", b"no photo", album)
    drive.owner_file("elsewhere.jpg", picture(seed=99))
    before = {file_id: file.metadata() for file_id, file in drive.files.items()}
    assert await run_import(gateway, album) == ((6, 6, 0, 0), [])
    sources = {photo.source.key: photo.collection for _, photo in gateway.vectors.photos.values()}
    assert sources == {f"file/{file}": ("", "The album")[number % 2] for number, file in enumerate(files)}
    assert {file_id: file.metadata() for file_id, file in drive.files.items()} == before
    for photo_id in list(gateway.vectors.photos):
        await gateway.stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=photo_id), metadata=ADMIN)
    assert {file_id: file.metadata() for file_id, file in drive.files.items()} == before


async def test_what_is_known_by_its_checksum_is_not_downloaded(gateway: Gateway, emulator: DriveEmulator) -> None:
    drive = emulator.drive
    first, second = drive.owner_folder("first"), drive.owner_folder("second")
    drive.owner_file("a.jpg", picture(seed=1), first)
    drive.owner_file("the same under another name.jpg", picture(seed=1), second)
    assert (await run_import(gateway, first))[0] == (1, 1, 0, 0)
    downloads = emulator.faults.requests["files.media"]
    assert (await run_import(gateway, second))[0] == (1, 0, 1, 0)
    assert emulator.faults.requests["files.media"] == downloads


async def test_the_next_import_looks_at_what_changed_alone(gateway: Gateway, emulator: DriveEmulator) -> None:
    drive = emulator.drive
    album = drive.owner_folder("album")
    below = drive.owner_folder("images", album)
    drive.owner_file("source_info.json", b'{"name": "The album"}', album)
    files = [drive.owner_file(f"{number}.jpg", picture(seed=number), album) for number in range(4)]
    faceless = drive.owner_file("faceless.jpg", picture(seed=50) + NO_FACE, album)
    assert (await run_import(gateway, album))[0] == (5, 4, 0, 1)
    lists = emulator.faults.requests["files.list"]
    assert (await run_import(gateway, album))[0] == (5, 0, 4, 1), "what failed is tried again"
    drive.owner_file("new.jpg", picture(seed=10), below)
    drive.owner_file("elsewhere.jpg", picture(seed=11))
    shared = drive.owner_file("of somebody else.jpg", picture(seed=13))
    drive.files[shared].parents = []
    drive.note(shared)
    drive.files[files[0]].content = Held(picture(seed=12))
    drive.note(files[0])
    drive.files[faceless].trashed = True
    drive.note(faceless)
    assert (await run_import(gateway, album))[0] == (5, 2, 3, 0)
    assert emulator.faults.requests["files.list"] == lists, "the folder was not listed again"
    collections = {photo.original_filename: photo.collection for _, photo in gateway.vectors.photos.values()}
    assert collections["new.jpg"] == "The album"
    assert not {"elsewhere.jpg", "of somebody else.jpg"} & set(collections)


async def test_a_folder_that_moves_in_brings_its_photos(gateway: Gateway, emulator: DriveEmulator) -> None:
    drive = emulator.drive
    album, other = drive.owner_folder("album"), drive.owner_folder("other")
    drive.owner_file("a.jpg", picture(seed=1), album)
    drive.owner_file("b.jpg", picture(seed=2), other)
    assert (await run_import(gateway, album))[0] == (1, 1, 0, 0)
    drive.files[other].parents = [album]
    drive.note(other)
    assert (await run_import(gateway, album))[0] == (2, 1, 1, 0)
    assert names(gateway) == ["a.jpg", "b.jpg"]


async def test_into_a_gallery_that_was_made_anew_everything_is_imported_again(
    gateway: Gateway, emulator: DriveEmulator
) -> None:
    album = emulator.drive.owner_folder("album")
    emulator.drive.owner_file("a.jpg", picture(seed=1), album)
    gateway.vectors.made_s = 1
    assert (await run_import(gateway, album))[0] == (1, 1, 0, 0)
    gateway.vectors.photos.clear()
    gateway.vectors.made_s = 2
    assert (await run_import(gateway, album))[0] == (1, 1, 0, 0)


def album_of(photo_count: int, emulator: DriveEmulator) -> str:
    """Makes a folder of the owner's, with photos in it; returns its id."""
    album = emulator.drive.owner_folder("album")
    for number in range(photo_count):
        emulator.drive.owner_file(f"{number}.jpg", picture(seed=number), album)
    return album


async def test_requests_that_fail_cost_no_photo(gateway: Gateway, emulator: DriveEmulator) -> None:
    album = album_of(40, emulator)
    for operation, kind in FAULTS:
        emulator.faults.add(kind, operation, percent=5, times=None)
    assert await run_import(gateway, album) == ((40, 40, 0, 0), [])
    assert len(names(gateway)) == 40
    assert sum(emulator.faults.happened.values()) > 8


async def test_a_drive_that_is_away_ends_the_import_and_fails_no_photo(
    gateway: Gateway, emulator: DriveEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.import_share.FIRST_DELAY_S", 0.001)
    album = album_of(3, emulator)
    emulator.faults.add("error_503", "files.media", times=None)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await run_import(gateway, album)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    emulator.faults.clear()
    assert await run_import(gateway, album) == ((3, 3, 0, 0), [])


async def test_credentials_that_are_taken_back_end_the_import_and_new_ones_go_on(
    gateway: Gateway, emulator: DriveEmulator, tmp_path: Path, database_url: str
) -> None:
    album = album_of(3, emulator)
    emulator.faults.add("unauthorized_401", "files.media", times=None)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await run_import(gateway, album)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    emulator.faults.clear()
    async with importing(emulator, tmp_path / "renewed", database_url) as renewed:
        assert await run_import(renewed, album) == ((3, 3, 0, 0), [])
