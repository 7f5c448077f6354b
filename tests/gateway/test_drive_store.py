"""Originals in Drive: the real client against the emulator, uploads included."""

import hashlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.drive_credentials import FILE_SCOPE, FULL_SCOPE, READ_SCOPE
from gateway.drive_errors import DriveRefused
from gateway.drive_files import quoted
from gateway.drive_store import DriveStore
from gateway.photo_store import BadKey, is_kept, photo_id_of
from gateway.records import Source
from runtime.errors import DependencyUnavailable, ImageTooLarge, NotFound
from tests.drive_emulator import DriveEmulator
from tests.drive_emulator.query import BadQuery, parse
from tests.gateway.drive_rig import PHOTO, drive_store, put


@pytest.fixture
async def store(emulator: DriveEmulator, tmp_path: Path) -> AsyncIterator[DriveStore]:
    async with drive_store(emulator, tmp_path) as opened:
        yield opened


async def keys(store: DriveStore, prefix: str) -> list[str]:
    return sorted([found.key async for found in store.list(prefix)])


async def test_what_is_put_is_got_listed_and_deleted(emulator: DriveEmulator, store: DriveStore) -> None:
    photo_id = str(uuid.uuid4())
    key = await store.reserve(photo_id, "holiday", "png")
    await store.put(key, PHOTO)
    assert is_kept(Source("drive", key))
    assert photo_id_of(key) == photo_id
    assert await store.get(key, 10_000) == PHOTO
    found = await store.stat(key)
    assert (found.size_bytes, found.md5) == (len(PHOTO), hashlib.md5(PHOTO).hexdigest())
    assert b"".join([piece async for piece in store.read(key, 4, 13)]) == PHOTO[4:13]
    with pytest.raises(DependencyUnavailable):
        [piece async for piece in store.read(key, 4, len(PHOTO) + 1)]
    assert await keys(store, "kept") == [key]
    (file,) = emulator.drive.photos()
    marks = {"twin": "original", "photo_id": photo_id, "gallery": "holiday", "suffix": "png"}
    assert file.app_properties == {**marks, "file_id": file.id}
    assert file.mime_type == "image/png"
    assert file.parents == [emulator.drive.folders()[0].id]
    with pytest.raises(ImageTooLarge):
        await store.get(key, 10)
    await store.delete(key)
    await store.delete(key)
    assert emulator.drive.photos() == []
    assert await keys(store, "kept") == []
    for gone in (store.get(key, 100), store.stat(key)):
        with pytest.raises(NotFound):
            await gone


async def test_a_large_photo_is_uploaded_in_parts(emulator: DriveEmulator, store: DriveStore) -> None:
    data = hashlib.shake_128(b"large").digest(9 * 2**20 + 5)
    key = await put(store, data)
    assert emulator.faults.requests["upload.part"] == 3
    assert emulator.faults.requests["upload.multipart"] == 0
    assert await store.get(key, 2**24) == data


async def test_the_folder_is_made_once_and_found_again(emulator: DriveEmulator, tmp_path: Path) -> None:
    for _ in range(2):
        async with drive_store(emulator, tmp_path, drive_folder="It's \\ our folder") as store:
            await put(store)
    (folder,) = emulator.drive.folders()
    assert folder.name == "It's \\ our folder"
    assert len(emulator.drive.photos()) == 2


async def test_a_folder_that_was_removed_is_made_anew(emulator: DriveEmulator, store: DriveStore) -> None:
    await put(store)
    del emulator.drive.files[emulator.drive.folders()[0].id]
    with pytest.raises(DependencyUnavailable):
        await put(store)
    await put(store)
    assert len(emulator.drive.folders()) == 1


async def test_a_photo_lies_in_the_shared_drive(emulator: DriveEmulator, tmp_path: Path) -> None:
    emulator.drive.shared_drives.add("shared-drive-1")
    async with drive_store(emulator, tmp_path, drive_shared_drive="shared-drive-1") as store:
        key = await put(store)
        assert await keys(store, "kept") == [key]
    assert {file.drive_id for file in emulator.drive.files.values()} == {"shared-drive-1"}


async def test_the_owners_files_are_read_and_never_removed(emulator: DriveEmulator, tmp_path: Path) -> None:
    album = emulator.drive.owner_folder("album")
    below = emulator.drive.owner_folder("it's below", album)
    first = emulator.drive.owner_file("one.jpg", b"one", album)
    second = emulator.drive.owner_file("two/2.jpg", b"two", below)
    async with drive_store(emulator, tmp_path, FILE_SCOPE, READ_SCOPE) as store:
        ours = await put(store)
        found = {item.path: item async for item in store.list(album)}
        assert set(found) == {"one.jpg", "it's below/two_2.jpg"}
        assert found["one.jpg"].md5 == hashlib.md5(b"one").hexdigest()
        assert {item.key for item in found.values()} == {f"file/{first}", f"file/{second}"}
        assert await keys(store, f"https://drive.google.com/drive/folders/{album}?usp=sharing") == sorted(
            item.key for item in found.values()
        )
        assert await store.get(f"file/{first}", 100) == b"one"
        assert not is_kept(Source("drive", f"file/{first}"))
        assert await keys(store, "kept") == [ours]
        with pytest.raises(BadKey):
            await store.delete(f"file/{first}")
        # Nor with a key that pretends that the application put them there.
        with pytest.raises(DriveRefused):
            await store.delete(f"kept/default/{uuid.uuid4()}-{first}.jpg")
    assert first in emulator.drive.files


async def test_the_owners_files_may_lie_in_another_drive_than_ours(emulator: DriveEmulator, tmp_path: Path) -> None:
    emulator.drive.shared_drives.add("shared-drive-1")
    album = emulator.drive.owner_folder("album")
    file_id = emulator.drive.owner_file("one.jpg", b"one", album)
    async with drive_store(emulator, tmp_path, FILE_SCOPE, READ_SCOPE, drive_shared_drive="shared-drive-1") as store:
        assert await keys(store, album) == [f"file/{file_id}"]
        token = await store.start_token(album)
        second = emulator.drive.owner_file("two.jpg", b"two", album)
        (page,) = [page async for page in store.changed(album, token)]
        assert [item.key for item in page.found] == [f"file/{second}"]


async def test_a_photo_that_another_drive_lacks_does_not_count_as_removed(
    emulator: DriveEmulator, store: DriveStore, tmp_path: Path
) -> None:
    key = await put(store)
    with DriveEmulator() as another:
        async with drive_store(another, tmp_path) as wrong:
            with pytest.raises(DependencyUnavailable, match="another Drive"):
                await wrong.delete(key)
    assert len(emulator.drive.photos()) == 1


async def test_an_original_whose_mark_is_not_seen_does_not_count_as_removed(
    emulator: DriveEmulator, store: DriveStore
) -> None:
    key = await put(store)
    emulator.drive.photos()[0].app_properties.clear()
    with pytest.raises(DependencyUnavailable, match="another OAuth client"):
        await store.delete(key)
    assert len(emulator.drive.photos()) == 1


async def test_installations_that_share_a_drive_leave_each_others_originals_alone(
    emulator: DriveEmulator, store: DriveStore, tmp_path: Path
) -> None:
    async with drive_store(emulator, tmp_path, drive_folder="Another's") as other:
        assert await keys(other, "kept") == []
        ours, theirs = await put(store), await put(other)
        assert await keys(store, "kept") == [ours]
        assert await keys(other, "kept") == [theirs]
    assert {folder.name for folder in emulator.drive.folders()} == {"Find Your Twin", "Another's"}


async def test_a_copy_that_the_owner_made_of_an_original_is_the_owners(emulator: DriveEmulator, tmp_path: Path) -> None:
    async with drive_store(emulator, tmp_path, FULL_SCOPE) as store:
        key = await put(store)
        original = emulator.drive.photos()[0]
        copy = emulator.drive.add(replace(original, id=emulator.drive.new_id(), by_application=False))
        assert await keys(store, "kept") == [key]
        with pytest.raises(BadKey):
            await store.delete(key.replace(original.id, copy.id))
    assert copy.id in emulator.drive.files


async def test_another_photos_file_is_not_removed(emulator: DriveEmulator, store: DriveStore) -> None:
    key = await put(store)
    file_id = emulator.drive.photos()[0].id
    with pytest.raises(BadKey):
        await store.delete(f"kept/default/{uuid.uuid4()}-{file_id}.jpg")
    assert await store.get(key, 10_000) == PHOTO


@pytest.mark.parametrize("key", ["", "..", "kept/x.jpg", "file/../x", "file/short", "kept/default/not-a-uuid.jpg"])
async def test_no_other_key_is_taken(store: DriveStore, key: str) -> None:
    for call in (store.put(key, b"data"), store.get(key, 100), store.delete(key)):
        with pytest.raises(BadKey):
            await call


async def test_listing_goes_through_every_page(
    emulator: DriveEmulator, store: DriveStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.drive_files._PAGE_SIZE", 2)
    put_there = sorted([await put(store, PHOTO + bytes([number])) for number in range(5)])
    assert await keys(store, "kept") == put_there
    assert emulator.faults.requests["files.list"] > 3


async def test_a_listing_that_lacks_something_fails(emulator: DriveEmulator, store: DriveStore) -> None:
    await put(store)
    emulator.drive.incomplete = True
    with pytest.raises(DependencyUnavailable):
        await keys(store, "kept")


async def test_a_folder_that_is_none_is_not_found(emulator: DriveEmulator, tmp_path: Path) -> None:
    file_id = emulator.drive.owner_file("one.jpg", b"one")
    async with drive_store(emulator, tmp_path, FILE_SCOPE, READ_SCOPE) as store:
        for folder in ("no-such-folder-1", file_id):
            with pytest.raises(NotFound):
                await keys(store, folder)
        with pytest.raises(BadKey):
            await keys(store, "x' or name != '")


async def test_changes_are_followed_from_where_they_were_left(emulator: DriveEmulator, tmp_path: Path) -> None:
    async with drive_store(emulator, tmp_path, FILE_SCOPE, READ_SCOPE) as store:
        token = await store.start_token("")
        file_id = emulator.drive.owner_file("one.jpg", b"one")
        (page,) = [page async for page in store.changed("", token)]
        assert [(item.key, item.path) for item in page.found] == [(f"file/{file_id}", "one.jpg")]
        del emulator.drive.files[file_id]
        emulator.drive.note(file_id)
        (page,) = [page async for page in store.changed("", page.next_token)]
        assert (page.found, page.gone) == ((), (f"file/{file_id}",))


@pytest.mark.parametrize("name", ["plain", "it's", "\\", "a\\' or name != '", "'", "''\\\\'"])
def test_a_name_stays_one_string_of_a_query(name: str) -> None:
    assert parse(f"name = {quoted(name)}")({"name": name})
    assert not parse(f"name = {quoted(name)}")({"name": "another"})
    if "'" in name:
        with pytest.raises(BadQuery):
            parse(f"name = '{name}' and trashed = false")
