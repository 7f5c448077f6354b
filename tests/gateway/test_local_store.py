"""The local photo store: whole or not at all, and never outside its root."""

import errno
import os
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from gateway.local_store import LocalStore
from gateway.photo_store import BadKey, PhotoStore, is_kept, new_key, photo_id_of
from gateway.records import Source
from runtime.errors import DependencyUnavailable, ImageTooLarge, NotFound, StorageFull
from tests.gateway.memory_store import MemoryStore


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> PhotoStore:
    return LocalStore(tmp_path / "photos") if request.param == "local" else MemoryStore()


async def keys(store: PhotoStore, prefix: str) -> list[str]:
    return [found.key async for found in store.list(prefix)]


async def test_what_is_put_is_got_listed_and_deleted(store: PhotoStore) -> None:
    await store.put("kept/ab/one.jpg", b"one")
    await store.put("kept/ab/two.jpg", b"two")
    await store.put("album/three.jpg", b"three")
    assert await store.get("kept/ab/one.jpg", 100) == b"one"
    assert sorted(await keys(store, "kept")) == ["kept/ab/one.jpg", "kept/ab/two.jpg"]
    assert len(await keys(store, "")) == 3
    found = await store.stat("kept/ab/one.jpg")
    assert (found.key, found.size_bytes) == ("kept/ab/one.jpg", 3)
    assert b"".join([piece async for piece in store.read("kept/ab/one.jpg", 1, 3)]) == b"ne"
    with pytest.raises(DependencyUnavailable):
        [piece async for piece in store.read("kept/ab/one.jpg", 1, 4)]
    await store.put("kept/ab/one.jpg", b"another")
    assert await store.get("kept/ab/one.jpg", 100) == b"another"
    await store.delete("kept/ab/one.jpg")
    await store.delete("kept/ab/one.jpg")
    with pytest.raises(NotFound):
        await store.get("kept/ab/one.jpg", 100)
    with pytest.raises(NotFound):
        await store.stat("kept/ab/one.jpg")
    assert await keys(store, "kept") == ["kept/ab/two.jpg"]
    with pytest.raises(BadKey):
        await store.delete("album/three.jpg")
    with pytest.raises(ImageTooLarge):
        await store.get("album/three.jpg", 4)
    with pytest.raises(NotFound):
        await keys(store, "nowhere")


ESCAPES = ["", "..", "../x", "a/../../x", "/etc/passwd", "kept/../../x", "a\\..\\x", "a\0", ".hidden", "kept/.draft-1"]


@pytest.mark.parametrize("key", ESCAPES)
async def test_no_key_leads_out_of_the_root(tmp_path: Path, key: str) -> None:
    (tmp_path / "x").write_bytes(b"secret")
    store = LocalStore(tmp_path / "photos")
    for call in (store.put(key, b"data"), store.get(key, 100), store.delete(key)):
        with pytest.raises(BadKey):
            await call
    assert (tmp_path / "x").read_bytes() == b"secret"


async def test_a_link_out_of_the_root_is_no_way_out(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"secret")
    store = LocalStore(tmp_path / "photos")
    (tmp_path / "photos" / "link").symlink_to(tmp_path)
    for call in (store.put("link/x", b"data"), store.get("link/x", 100), store.delete("link/x")):
        with pytest.raises(BadKey):
            await call
    assert (tmp_path / "x").read_bytes() == b"secret"


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.ENOSPC, StorageFull), (errno.EDQUOT, StorageFull), (errno.EIO, DependencyUnavailable)],
)
async def test_a_failed_write_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, expected: type[Exception]
) -> None:
    store = LocalStore(tmp_path / "photos")

    def fail(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(expected):
            await store.put("kept/ab/one.jpg", b"one")
    assert not [path for path in (tmp_path / "photos").rglob("*") if path.is_file()]
    await store.put("kept/ab/one.jpg", b"one")


async def test_drafts_of_a_process_that_died_are_removed_once_they_are_old(tmp_path: Path) -> None:
    LocalStore(tmp_path / "photos")
    old, young = (tmp_path / "photos" / "kept" / name for name in (".draft-old", ".draft-young"))
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    store = LocalStore(tmp_path / "photos")
    assert not old.exists()
    assert young.exists()
    assert await keys(store, "") == []


async def test_a_folder_that_cannot_be_read_fails_the_listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path / "photos")
    real = os.scandir

    def fail(path: Any) -> Any:
        if str(path).endswith("locked"):
            raise PermissionError(errno.EACCES, "no")
        return real(path)

    (tmp_path / "photos" / "kept" / "locked").mkdir()
    monkeypatch.setattr(os, "scandir", fail)
    with pytest.raises(DependencyUnavailable):
        await keys(store, "kept")


def test_keys_of_ours_are_told_from_the_owners() -> None:
    photo_id = str(uuid.uuid4())
    first, second = new_key(photo_id, "jpg"), new_key(photo_id, "jpg")
    assert first != second
    assert photo_id_of(first) == photo_id_of(second) == photo_id
    assert is_kept(Source("local", first))
    assert not is_kept(Source("local", "album/kept/x.jpg"))
    assert photo_id_of("kept/notes.txt") is None
    assert photo_id_of(f"album/{photo_id}.jpg") is None


async def test_a_failed_overwrite_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path / "photos")
    await store.put("kept/ab/one.jpg", b"one")
    real = os.open

    def full(path: Any, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.ENOSPC, "full")
        return real(path, flags, mode)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", full)
        with pytest.raises(StorageFull):
            await store.put("kept/ab/one.jpg", b"two")
    assert await store.get("kept/ab/one.jpg", 100) == b"one"


async def test_a_removal_is_made_durable_in_the_folder_that_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalStore(tmp_path / "photos")
    await store.put("kept/ab/one.jpg", b"one")
    synced: list[Path] = []
    monkeypatch.setattr("gateway.local_store._sync_folder", synced.append)
    await store.delete("kept/ab/one.jpg")
    assert not (tmp_path / "photos" / "kept" / "ab").exists()
    assert synced == [tmp_path / "photos" / "kept"]


async def test_a_pipe_is_no_photo_and_is_not_waited_for(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "photos")
    os.mkfifo(tmp_path / "photos" / "pipe.jpg")
    with pytest.raises(NotFound):
        await store.get("pipe.jpg", 100)


async def test_a_file_that_grows_while_it_is_read_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path / "photos")
    await store.put("album/one.jpg", bytes(10))
    real = os.fstat

    def grow(descriptor: int) -> os.stat_result:
        status = real(descriptor)
        with (tmp_path / "photos" / "album" / "one.jpg").open("ab") as file:
            file.write(bytes(10))
        return status

    monkeypatch.setattr(os, "fstat", grow)
    with pytest.raises(ImageTooLarge):
        await store.get("album/one.jpg", 15)
