"""Snapshots: loaded when right in every way, else the index is rebuilt; never a wrong answer."""

import asyncio
import shutil
import threading
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from twin.face.v1 import face_pb2
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from runtime.errors import NotReady
from tests.vectorstore.conftest import StartStore, Store
from tests.vectorstore.wire import DIMENSION, MODEL, add_one, ids, photo, random_unit, search
from vectorstore.follower import Follower
from vectorstore.snapshot_files import SnapshotFolder

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


async def _create(store: Store) -> Any:
    return await store.stub.CreateSnapshot(pb.CreateSnapshotRequest())


async def _all_matches(stub: Any, rng_seed: int = 9) -> Any:
    probe = random_unit(np.random.default_rng(rng_seed))
    (result,) = await search(stub, probe, limit=1000)
    for match in result.matches:
        # Products are rounded differently where rows lie elsewhere.
        match.similarity.cosine, match.similarity.percent = round(match.similarity.cosine, 5), 0
    return list(result.matches)


async def test_a_start_loads_the_snapshot_and_replays_what_came_after(
    start_store: StartStore, rng: Rng, rebuilds: list[int]
) -> None:
    async with start_store(snapshot_stop_patience_s=0) as store:
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
    async with start_store(snapshot_stop_patience_s=0) as store:
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


def _hold_writing(
    monkeypatch: pytest.MonkeyPatch, writes: list[int] | None = None
) -> tuple[threading.Event, threading.Event]:
    """Makes snapshots wait before they are written; returns what tells that one does, and what lets it go on."""
    write, begun, go_on = SnapshotFolder.write, threading.Event(), threading.Event()

    def slow(self: SnapshotFolder, *arguments: Any) -> Any:
        if writes is not None:
            writes.append(1)
        begun.set()
        assert go_on.wait(20)
        return write(self, *arguments)

    monkeypatch.setattr(SnapshotFolder, "write", slow)
    return begun, go_on


async def test_changes_go_on_while_a_snapshot_is_written_and_are_replayed_at_a_start(
    start_store: StartStore, rng: Rng, rebuilds: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = _hold_writing(monkeypatch)
    async with start_store(snapshot_stop_patience_s=0) as store:
        added = await _fill(store, rng)
        creating = asyncio.create_task(_create(store))
        assert await asyncio.to_thread(begun.wait, 20)
        more = await add_one(store.stub, photo(random_unit(rng)))
        await store.stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=added[0].photo_id))
        before = await _all_matches(store.stub)
        assert more.photo_id in ids(before)
        assert added[0].photo_id not in ids(before)
        go_on.set()
        assert (await creating).revision < store.service._follower.applied_revision
    rebuilds.clear()
    async with start_store() as store:
        assert rebuilds == []
        assert await _all_matches(store.stub) == before


async def test_a_snapshot_is_seen_through_when_its_caller_leaves(
    start_store: StartStore, rng: Rng, rebuilds: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = _hold_writing(monkeypatch)
    async with start_store() as store:
        await _fill(store, rng)
        call = store.stub.CreateSnapshot(pb.CreateSnapshotRequest())
        assert await asyncio.to_thread(begun.wait, 20)
        call.cancel()
        await asyncio.sleep(0.1)
        go_on.set()
        # The next one waits for it.
        await _create(store)
    rebuilds.clear()
    async with start_store():
        assert rebuilds == []


async def test_callers_share_the_snapshot_that_began_after_they_asked(
    start_store: StartStore, rng: Rng, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[int] = []
    begun, go_on = _hold_writing(monkeypatch, writes)
    async with start_store() as store:
        await _fill(store, rng)
        first = asyncio.create_task(_create(store))
        assert await asyncio.to_thread(begun.wait, 20)
        await add_one(store.stub, photo(random_unit(rng)))
        others = [asyncio.create_task(_create(store)) for _ in range(5)]
        await asyncio.sleep(0.2)
        revision = store.service._follower.applied_revision
        go_on.set()
        assert (await first).revision < revision
        shared = [await other for other in others]
        assert {written.revision for written in shared} == {revision}
    assert len(writes) == 2


async def test_a_stop_ends_a_snapshot_that_takes_too_long(
    start_store: StartStore, rng: Rng, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = _hold_writing(monkeypatch)
    async with start_store(snapshot_stop_patience_s=0.1) as store:
        await _fill(store, rng)
        creating = asyncio.create_task(store.service._snapshots.create())
        assert await asyncio.to_thread(begun.wait, 20)
        store.service._snapshots._is_closing.set()
        go_on.set()
        with pytest.raises(NotReady):
            await creating
    assert [path.name for path in (tmp_path / "data" / "vectorstore").glob("snapshot*")] == []


async def test_a_stop_does_not_wait_for_a_disk_that_takes_nothing(
    start_store: StartStore, rng: Rng, rebuilds: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vectorstore.snapshots._END_PATIENCE_S", 0.1)
    folder, begun, go_on = tmp_path / "data" / "vectorstore", threading.Event(), threading.Event()

    def stuck(_file: int) -> None:
        # The last file, behind which nothing would be left to do but to put all in its place.
        if (folder / "snapshot.new" / "manifest.bin.tmp").exists():
            begun.set()
            go_on.wait()

    try:
        async with asyncio.timeout(20), start_store(snapshot_stop_patience_s=0.1) as store:
            await _fill(store, rng)
            monkeypatch.setattr("os.fsync", stuck)
            creating = asyncio.create_task(store.service._snapshots.create())
            assert await asyncio.to_thread(begun.wait, 20)
        monkeypatch.undo()
        assert not creating.done()
        assert (folder / "snapshot.new").exists()
    finally:
        go_on.set()
    with pytest.raises(NotReady):
        await creating
    assert list(folder.glob("snapshot*")) == []


async def test_a_full_disk_fails_the_snapshot_and_nothing_else(
    start_store: StartStore, rng: Rng, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start_store() as store:
        await _fill(store, rng)
        before = await store.stub.CreateSnapshot(pb.CreateSnapshotRequest())
        with monkeypatch.context() as patch:
            patch.setattr(shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(2**40, 2**40, 1000))
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await store.stub.CreateSnapshot(pb.CreateSnapshotRequest())
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert store.service._snapshots.last is not None
        assert store.service._snapshots.last.revision == before.revision
        assert [path.name for path in (tmp_path / "data" / "vectorstore").glob("snapshot*")] == ["snapshot"]
        await add_one(store.stub, photo(random_unit(rng)))
        assert (await store.stub.CreateSnapshot(pb.CreateSnapshotRequest())).revision > before.revision


@pytest.mark.parametrize("left", [".new", ".old"])
async def test_what_a_killed_writer_left_is_cleared_away(
    start_store: StartStore, rng: Rng, rebuilds: list[int], tmp_path: Path, left: str
) -> None:
    folder = tmp_path / "data" / "vectorstore"
    async with start_store() as store:
        await _fill(store, rng)
        await store.stub.CreateSnapshot(pb.CreateSnapshotRequest())
        before = await _all_matches(store.stub)
    if left == ".old":
        # Killed between the two renames.
        (folder / "snapshot").rename(folder / "snapshot.old")
        (folder / "snapshot.new").mkdir()
    else:
        shutil.copytree(folder / "snapshot", folder / "snapshot.new")
    rebuilds.clear()
    async with start_store() as store:
        assert rebuilds == []
        assert await _all_matches(store.stub) == before
        assert [path.name for path in folder.glob("snapshot*")] == ["snapshot"]


async def test_one_damaged_snapshot_is_kept_aside_until_the_next_is_written(
    start_store: StartStore, rng: Rng, tmp_path: Path
) -> None:
    folder = tmp_path / "data" / "vectorstore"
    async with start_store() as store:
        await _fill(store, rng)
    (folder / "snapshot.damaged-earlier").mkdir(parents=True)
    async with start_store() as store:
        await store.stub.CreateSnapshot(pb.CreateSnapshotRequest())
    (folder / "snapshot" / "manifest.bin").write_bytes(b"nothing")
    (folder / "snapshot.damaged-earlier").mkdir()
    async with start_store() as store:
        (aside,) = folder.glob("snapshot*")
        assert aside.name.startswith("snapshot.damaged-2")
        await store.stub.CreateSnapshot(pb.CreateSnapshotRequest())
        assert [path.name for path in folder.glob("snapshot*")] == ["snapshot"]


async def test_a_file_of_an_earlier_snapshot_is_damage(
    start_store: StartStore, rng: Rng, rebuilds: list[int], tmp_path: Path
) -> None:
    folder = tmp_path / "data" / "vectorstore" / "snapshot"
    async with start_store() as store:
        await _fill(store, rng)
        await store.stub.CreateSnapshot(pb.CreateSnapshotRequest())
        earlier = {path.name: path.read_bytes() for path in folder.glob("*-*.bin")}
        await add_one(store.stub, photo(random_unit(rng)))
        await store.stub.CreateSnapshot(pb.CreateSnapshotRequest())
        before = await _all_matches(store.stub)
    for name, content in earlier.items():
        (folder / name).write_bytes(content)
    rebuilds.clear()
    async with start_store() as store:
        assert rebuilds == [1]
        assert await _all_matches(store.stub) == before


async def test_a_snapshot_from_before_the_change_log_begins_is_not_loaded(
    start_store: StartStore, rng: Rng, rebuilds: list[int], database: Any
) -> None:
    async with start_store(snapshot_stop_patience_s=0) as store:
        await _fill(store, rng)
        written = await store.stub.CreateSnapshot(pb.CreateSnapshotRequest())
        late = await add_one(store.stub, photo(random_unit(rng)))
    await database.execute("DELETE FROM changes WHERE revision <= $1", written.revision)
    rebuilds.clear()
    async with start_store() as store:
        assert rebuilds == [1]
        assert late.photo_id in ids(await _all_matches(store.stub))


async def test_a_snapshot_of_nothing_is_not_loaded_once_the_change_log_was_cut(
    start_store: StartStore, rng: Rng, rebuilds: list[int], database: Any
) -> None:
    async with start_store(snapshot_stop_patience_s=0) as store:
        # Of revision 0, which no row of the log can vouch for.
        assert (await _create(store)).revision == 0
        added = await _fill(store, rng)
    await database.execute("DELETE FROM changes WHERE revision < (SELECT max(revision) FROM changes)")
    rebuilds.clear()
    async with start_store() as store:
        assert rebuilds == [1]
        assert len(ids(await _all_matches(store.stub))) == 2 * len(added)


async def test_a_snapshot_whose_revision_is_another_change_now_is_not_loaded(
    start_store: StartStore, rng: Rng, rebuilds: list[int], database: Any
) -> None:
    async with start_store() as store:
        added = await _fill(store, rng)
        await _create(store)
    # A backup of one photo earlier was restored, and somebody deleted another photo since: under the same revision.
    await database.execute("DELETE FROM photos WHERE photo_id = ANY($1)", [added[0].photo_id, added[-1].photo_id])
    await database.execute(
        "UPDATE changes SET kind = 'delete_photo', change_time = now() + interval '1 minute' "
        "WHERE revision = (SELECT max(revision) FROM changes)"
    )
    rebuilds.clear()
    async with start_store() as store:
        assert rebuilds == [1]
        assert added[0].photo_id not in ids(await _all_matches(store.stub))


@pytest.mark.parametrize(("saved", "started"), [("flat", "compressed"), ("compressed", "flat"), ("auto", "auto")])
async def test_a_snapshot_is_used_by_an_index_of_another_kind(
    start_store: StartStore, rng: Rng, rebuilds: list[int], saved: str, started: str
) -> None:
    async with start_store(index=saved) as store:
        await _fill(store, rng)
        await _create(store)
        before = await _all_matches(store.stub)
    rebuilds.clear()
    async with start_store(index=started) as store:
        assert rebuilds == []
        assert await _all_matches(store.stub) == before
        await add_one(store.stub, photo(random_unit(rng)))
        assert len(await _all_matches(store.stub)) == len(before) + 1
