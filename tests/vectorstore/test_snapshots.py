"""Snapshots: loaded when right in every way, else the index is rebuilt; never a wrong answer."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from twin.face.v1 import face_pb2
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from tests.vectorstore.conftest import StartStore, Store
from tests.vectorstore.wire import DIMENSION, MODEL, add_one, ids, photo, random_unit, search
from vectorstore.follower import Follower
from vectorstore.snapshots import Snapshots

Rng = np.random.Generator


@pytest.fixture
def rebuilds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the starts that read every vector out of PostgreSQL."""
    count: list[int] = []
    load = Follower.load

    async def counted(self: Follower) -> None:
        count.append(1)
        await load(self)

    monkeypatch.setattr(Follower, "load", counted)
    return count


async def _fill(store: Store, rng: Rng) -> list[pb.Photo]:
    await store.stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))
    return [
        await add_one(store.stub, photo(random_unit(rng), random_unit(rng), collection="ü", person="Zoë"))
        for _ in range(6)
    ]


async def _all_matches(stub: Any, rng_seed: int = 9) -> Any:
    probe = random_unit(np.random.default_rng(rng_seed))
    (result,) = await search(stub, probe, limit=1000)
    return list(result.matches)


async def test_a_start_loads_the_snapshot_and_replays_what_came_after(
    start_store: StartStore, rng: Rng, rebuilds: list[int]
) -> None:
    async with start_store() as store:
        added = await _fill(store, rng)
        written = await store.stub.CreateSnapshot(pb.CreateSnapshotRequest())
        assert written.size_bytes > 12 * DIMENSION * 4
        assert (await store.stub.GetStats(pb.GetStatsRequest())).snapshot_time.seconds > 0
        await store.stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=added[0].photo_id))
        late = await add_one(store.stub, photo(random_unit(rng)))
        await store.stub.CreateGallery(pb.CreateGalleryRequest(name="new", model_id="x", dimension=4))
        before = await _all_matches(store.stub)
    rebuilds.clear()
    async with start_store() as store:
        assert rebuilds == []
        after = await _all_matches(store.stub)
        stats = await store.stub.GetStats(pb.GetStatsRequest())
        assert stats.snapshot_time.seconds > 0
        assert stats.revision > written.revision
    assert after == before
    assert late.photo_id in ids(after)
    assert added[0].photo_id not in ids(after)


async def test_a_dropped_and_remade_gallery_is_not_brought_back(
    start_store: StartStore, rng: Rng, rebuilds: list[int]
) -> None:
    async with start_store() as store:
        await _fill(store, rng)
        await store.stub.CreateSnapshot(pb.CreateSnapshotRequest())
        await store.stub.DeleteGallery(pb.DeleteGalleryRequest(name="default"))
        await store.stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))
    async with start_store() as store:
        assert await _all_matches(store.stub) == []


@pytest.mark.parametrize("damage", ["flip", "cut", "lose", "manifest"])
async def test_a_damaged_snapshot_is_rebuilt(
    start_store: StartStore, rng: Rng, rebuilds: list[int], tmp_path: Path, damage: str
) -> None:
    async with start_store() as store:
        await _fill(store, rng)
        await store.stub.CreateSnapshot(pb.CreateSnapshotRequest())
        before = await _all_matches(store.stub)
    folder = tmp_path / "data" / "vectorstore" / "snapshot"
    (path,) = folder.glob("manifest.bin" if damage == "manifest" else "index-*.bin")
    content = bytearray(path.read_bytes())
    if damage == "lose":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    rebuilds.clear()
    async with start_store() as store:
        assert rebuilds == [1]
        assert await _all_matches(store.stub) == before


async def test_a_snapshot_of_another_database_is_not_loaded(
    start_store: StartStore, rng: Rng, rebuilds: list[int], database: Any
) -> None:
    async with start_store() as store:
        await _fill(store, rng)
        await store.stub.CreateSnapshot(pb.CreateSnapshotRequest())
    await database.execute("UPDATE store SET store_id = gen_random_uuid()")
    rebuilds.clear()
    async with start_store():
        assert rebuilds == [1]


async def test_a_snapshot_from_after_a_restored_backup_is_not_loaded(
    start_store: StartStore, rng: Rng, rebuilds: list[int], database: Any
) -> None:
    async with start_store() as store:
        added = await _fill(store, rng)
        await store.stub.CreateSnapshot(pb.CreateSnapshotRequest())
    # The database as it was one photo earlier, as a backup would have it.
    await database.execute("DELETE FROM photos WHERE photo_id = $1", added[-1].photo_id)
    await database.execute("DELETE FROM changes WHERE revision = (SELECT max(revision) FROM changes)")
    rebuilds.clear()
    async with start_store() as store:
        assert rebuilds == [1]
        assert added[-1].photo_id not in ids(await _all_matches(store.stub))


async def test_an_empty_store_can_be_saved_and_loaded(start_store: StartStore, rebuilds: list[int]) -> None:
    async with start_store() as store:
        calibration = face_pb2.Calibration(percent_slope=1)
        await store.stub.CreateGallery(pb.CreateGalleryRequest(model_id="m", dimension=4, calibration=calibration))
        await store.stub.CreateSnapshot(pb.CreateSnapshotRequest())
    rebuilds.clear()
    async with start_store() as store:
        assert rebuilds == []
        assert (await store.stub.GetStats(pb.GetStatsRequest())).indexes[0].face_count == 0


async def test_no_change_is_applied_beneath_a_snapshot_whose_caller_left(
    start_store: StartStore, rng: Rng, rebuilds: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    write, begun, go_on = Snapshots._write, threading.Event(), threading.Event()

    def slow(*arguments: Any) -> int:
        begun.set()
        assert go_on.wait(20)
        return write(*arguments)

    async with start_store() as store:
        await _fill(store, rng)
        monkeypatch.setattr(Snapshots, "_write", slow)
        call = store.stub.CreateSnapshot(pb.CreateSnapshotRequest())
        await asyncio.to_thread(begun.wait, 20)
        revision = store.service._follower.applied_revision
        call.cancel()
        adding = asyncio.create_task(add_one(store.stub, photo(random_unit(rng))))
        await asyncio.sleep(0.5)
        assert store.service._follower.applied_revision == revision
        go_on.set()
        added = await adding
        assert added.photo_id in ids(await _all_matches(store.stub))
    rebuilds.clear()
    async with start_store() as store:
        assert rebuilds == []
        assert added.photo_id in ids(await _all_matches(store.stub))
