"""When snapshots are written unasked, and that what was deleted leaves the disk."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from runtime.errors import StorageFull
from tests.vectorstore.conftest import StartStore, Store
from tests.vectorstore.wire import DIMENSION, MODEL, add_one, photo, random_unit
from vectorstore.snapshots import Snapshots

Rng = np.random.Generator


async def _fill(store: Store, rng: Rng, count: int = 6) -> list[pb.Photo]:
    await store.stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))
    return [await add_one(store.stub, photo(random_unit(rng), person=f"person {number}")) for number in range(count)]


async def _look(store: Store) -> int:
    """Lets the schedule look once; returns the revision of the snapshot that there is then, 0 for none."""
    await store.service._snapshot_schedule.look()
    last = store.service._snapshots.last
    return 0 if last is None else last.revision


def _content(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("snapshot*/*.bin")))


async def test_none_is_written_before_enough_has_changed(start_store: StartStore, rng: Rng, tmp_path: Path) -> None:
    async with start_store(snapshot_least_changes=6) as store:
        await _fill(store, rng, 5)
        assert await _look(store) == 0
        await add_one(store.stub, photo(random_unit(rng)))
        first = await _look(store)
        assert first > 0
        for _ in range(5):
            await add_one(store.stub, photo(random_unit(rng)))
            assert await _look(store) == first
        await add_one(store.stub, photo(random_unit(rng)))
        assert await _look(store) > first
    assert _content(tmp_path)


async def test_a_deleted_photo_leaves_the_snapshot_at_the_next_look(
    start_store: StartStore, rng: Rng, tmp_path: Path
) -> None:
    async with start_store() as store:
        added = await _fill(store, rng)
        await store.stub.CreateSnapshot(pb.CreateSnapshotRequest())
        written = await _look(store)
        assert b"person 2" in _content(tmp_path)
        await store.stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=added[2].photo_id))
        assert await _look(store) > written
        assert b"person 3" in _content(tmp_path)
        assert b"person 2" not in _content(tmp_path)


async def test_a_dropped_gallery_leaves_the_snapshot_too(start_store: StartStore, rng: Rng, tmp_path: Path) -> None:
    async with start_store() as store:
        await _fill(store, rng)
        await store.stub.CreateSnapshot(pb.CreateSnapshotRequest())
        await store.stub.DeleteGallery(pb.DeleteGalleryRequest(name="default"))
        await _look(store)
        assert b"person" not in _content(tmp_path)


@pytest.mark.parametrize("why", ["off", "full"])
async def test_what_cannot_be_replaced_is_removed(
    start_store: StartStore, rng: Rng, tmp_path: Path, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start_store(snapshot_interval_s=0 if why == "off" else 900) as store:
        added = await _fill(store, rng)
        await store.stub.CreateSnapshot(pb.CreateSnapshotRequest())
        assert await _look(store) > 0

        async def fail(_self: Snapshots) -> Any:
            raise StorageFull("no room")

        monkeypatch.setattr(Snapshots, "create", fail)
        await store.stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=added[2].photo_id))
        assert await _look(store) == 0
        assert _content(tmp_path) == b""
        assert (await store.stub.GetStats(pb.GetStatsRequest())).snapshot_time.seconds == 0


async def test_a_snapshot_that_no_start_can_use_is_replaced(
    start_store: StartStore, rng: Rng, tmp_path: Path, database: Any
) -> None:
    async with start_store() as store:
        await _fill(store, rng)
        await store.stub.CreateSnapshot(pb.CreateSnapshotRequest())
        before = _content(tmp_path)
    await database.execute("UPDATE store SET store_id = gen_random_uuid()")
    async with start_store() as store:
        assert store.service._snapshots.last is None
        assert await _look(store) > 0
        assert _content(tmp_path) != before


async def test_a_failure_is_told_and_tried_again(
    start_store: StartStore, rng: Rng, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start_store(snapshot_least_changes=1) as store:
        await _fill(store, rng)
        with monkeypatch.context() as patch:

            async def fail(_self: Snapshots) -> Any:
                raise StorageFull("no room")

            patch.setattr(Snapshots, "create", fail)
            assert await _look(store) == 0
        assert await _look(store) > 0


async def test_an_orderly_stop_writes_what_is_due(start_store: StartStore, rng: Rng, tmp_path: Path) -> None:
    async with start_store(snapshot_least_changes=3) as store:
        await _fill(store, rng)
    assert b"person 5" in _content(tmp_path)
    async with start_store() as store:
        assert store.service._snapshots.last is not None
        (added,) = (await store.stub.ListPhotos(pb.ListPhotosRequest(page_size=1))).photos
        await store.stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=added.photo_id))
    assert b"person 5" in _content(tmp_path)
    assert b"person 0" not in _content(tmp_path)


async def test_a_stop_without_patience_writes_none(start_store: StartStore, rng: Rng, tmp_path: Path) -> None:
    async with start_store(snapshot_least_changes=1, snapshot_stop_patience_s=0) as store:
        await _fill(store, rng)
    assert _content(tmp_path) == b""
