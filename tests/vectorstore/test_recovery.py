"""Real processes, killed at bad moments: what was answered stays, what was deleted stays away, service comes back."""

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import psutil
import pytest
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from runtime.vectors import Vector
from tests.vectorstore.processes import StoreProcess, process_is_there, serving
from tests.vectorstore.wire import DIMENSION, MODEL, add, add_one, ids, photo, random_unit, refused, search, take_apart

pytestmark = pytest.mark.chaos

Rng = np.random.Generator
CODE = grpc.StatusCode


@pytest.fixture
def folder() -> Iterator[Path]:
    """Outside pytest's own folder, which other users cannot enter; root's PostgreSQL runs as one."""
    with tempfile.TemporaryDirectory(prefix="twin-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@pytest.fixture
def stores() -> Iterator[list[StoreProcess]]:
    """Every store that a test starts is stopped in good order, which stops its PostgreSQL too."""
    started: list[StoreProcess] = []
    yield started
    for store in reversed(started):
        store.stop()


def _start(stores: list[StoreProcess], folder: Path, **environment: str) -> StoreProcess:
    store = StoreProcess(folder / "data", **environment)
    stores.append(store)
    return store


async def _make_gallery(stub: Any) -> None:
    await stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))


async def test_what_was_answered_survives_a_kill_and_what_was_deleted_stays_gone(
    stores: list[StoreProcess], folder: Path, rng: Rng
) -> None:
    kept: dict[str, Vector] = {}
    deleted: dict[str, Vector] = {}
    postgres_pid = 0
    for turn in range(3):
        store = _start(stores, folder)
        async with serving(store) as stub:
            if turn == 0:
                await _make_gallery(stub)
                postgres_pid = store.postgres_pid()
            else:
                assert store.postgres_pid() == postgres_pid, "the running PostgreSQL was not taken over"
            for photo_id, vector in kept.items():
                (result,) = await search(stub, vector, limit=1)
                assert ids(result.matches) == [photo_id]
            for photo_id, vector in deleted.items():
                (result,) = await search(stub, vector, limit=1)
                assert photo_id not in ids(result.matches)
            (gallery,) = (await stub.ListGalleries(pb.ListGalleriesRequest())).galleries
            # One that was committed and whose answer the kill cut off may be there besides.
            assert gallery.photo_count - len(kept) in (0, 1, 2)

            async def write(own: Rng) -> None:
                try:
                    while True:
                        vector = random_unit(own)
                        added = await add_one(stub, photo(vector))
                        kept[added.photo_id] = vector
                        if own.random() < 0.4:
                            gone = next(iter(kept))
                            vector = kept.pop(gone)
                            await stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=gone))
                            deleted[gone] = vector
                except grpc.aio.AioRpcError:
                    return

            writer = asyncio.create_task(write(np.random.default_rng(turn)))
            await asyncio.sleep(0.5 + 0.3 * turn)
            store.kill()
            await writer
    assert len(kept) > 5
    assert len(deleted) > 2


async def test_a_graceful_stop_takes_postgres_along(stores: list[StoreProcess], folder: Path, rng: Rng) -> None:
    vector = random_unit(rng)
    store = _start(stores, folder)
    async with serving(store) as stub:
        await _make_gallery(stub)
        added = await add_one(stub, photo(vector))
        pid = store.postgres_pid()
    assert store.stop() == 0
    assert not process_is_there(pid)
    again = _start(stores, folder)
    async with serving(again) as stub:
        (result,) = await search(stub, vector, limit=1)
        assert ids(result.matches) == [added.photo_id]


async def test_searching_goes_on_while_postgres_is_killed_and_all_is_well_afterwards(
    stores: list[StoreProcess], folder: Path, rng: Rng
) -> None:
    store = _start(stores, folder)
    async with serving(store) as stub:
        await _make_gallery(stub)
        planted = [random_unit(rng) for _ in range(20)]
        answers = await add(stub, *[photo(vector) for vector in planted])
        kept = {answer.photo_id: vector for answer, vector in zip(answers, planted, strict=True)}
        outcomes: list[str] = []
        stop, recovered = asyncio.Event(), asyncio.Event()

        async def write() -> None:
            own = np.random.default_rng(1)
            while not stop.is_set():
                vector = random_unit(own)
                (answer,) = await add(stub, photo(vector))
                if answer.HasField("photo"):
                    kept[answer.photo_id] = vector
                    if outcomes:
                        recovered.set()
                else:
                    refusal = take_apart(answer.error)
                    outcomes.append(refusal.reason)
                    assert refusal.code is CODE.UNAVAILABLE, _errors_in(store.log)
                await asyncio.sleep(0.01)

        async def look() -> int:
            count = 0
            while not stop.is_set():
                (result,) = await search(stub, planted[count % 20], limit=1)
                assert ids(result.matches) == [answers[count % 20].photo_id]
                count += 1
                await asyncio.sleep(0.005)
            return count

        writer, looker = asyncio.create_task(write()), asyncio.create_task(look())
        await asyncio.sleep(0.5)
        store.kill_postgres()
        async with asyncio.timeout(60):
            waiting = asyncio.create_task(recovered.wait())
            await asyncio.wait({waiting, writer, looker}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
        stop.set()
        await writer
        assert "DEPENDENCY_UNAVAILABLE" in outcomes
        assert await looker > 20
        for photo_id, vector in kept.items():
            (result,) = await search(stub, vector, limit=1)
            assert ids(result.matches) == [photo_id]


async def test_a_stalled_postgres_makes_writes_unavailable_and_leaves_searching_alone(
    stores: list[StoreProcess], folder: Path, rng: Rng
) -> None:
    store = _start(stores, folder)
    async with serving(store) as stub:
        await _make_gallery(stub)
        vector = random_unit(rng)
        added = await add_one(stub, photo(vector))
        backends = _stop_everything(store.postgres_pid())
        try:
            with refused(CODE.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE") as refusal:
                await stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=added.photo_id), timeout=5)
            assert refusal.metadata == {"dependency": "postgres"}
            assert refusal.retry
            (answer,) = await add(stub, photo(random_unit(rng)))
            assert take_apart(answer.error).reason == "DEPENDENCY_UNAVAILABLE"
            with refused(CODE.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE"):
                await stub.GetPhoto(pb.GetPhotoRequest(photo_id=added.photo_id), timeout=5)
            (result,) = await search(stub, vector)
            assert ids(result.matches) == [added.photo_id]
            assert (await stub.GetStats(pb.GetStatsRequest())).revision == 2
        finally:
            for pid in backends:
                _signal(pid, signal.SIGCONT)
        async with asyncio.timeout(30):
            while True:
                try:
                    await stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=added.photo_id))
                    break
                except grpc.aio.AioRpcError as error:
                    assert error.code() is CODE.UNAVAILABLE
                    await asyncio.sleep(0.1)
        (result,) = await search(stub, vector)
        assert ids(result.matches) == []


def _errors_in(log: Path) -> str:
    return "\n".join(line for line in log.read_text().splitlines() if '"level": "error"' in line)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _stop_everything(postmaster: int) -> list[int]:
    pids = [postmaster, *(child.pid for child in psutil.Process(postmaster).children())]
    for pid in pids:
        _signal(pid, signal.SIGSTOP)
    return pids


async def test_a_folder_whose_path_is_too_long_for_a_socket_works(
    stores: list[StoreProcess], folder: Path, rng: Rng
) -> None:
    store = _start(stores, folder / ("long-" * 30))
    async with serving(store) as stub:
        await _make_gallery(stub)
        assert (await add_one(stub, photo(random_unit(rng)))).photo_id


async def test_a_second_store_on_the_same_folder_says_so_and_ends(stores: list[StoreProcess], folder: Path) -> None:
    first = _start(stores, folder)
    async with serving(first):
        second = _start(stores, folder)
        assert await asyncio.to_thread(second.process.wait, 60) == 1
        assert "another vector store runs on" in first.log.read_text()


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("TWIN_INDEX", "hnsw", "TWIN_INDEX='hnsw' is no kind of index"),
        ("TWIN_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none", "check TWIN_DATABASE_URL"),
        ("TWIN_SEARCH_THREADS", "0", "TWIN_SEARCH_THREADS"),
    ],
)
async def test_a_bad_setting_ends_the_start_with_one_line(
    stores: list[StoreProcess], folder: Path, setting: str, value: str, says: str
) -> None:
    (folder / "data").mkdir()
    store = _start(stores, folder, **{setting: value})
    assert await asyncio.to_thread(store.process.wait, 60) == 1
    lines = [line for line in store.log.read_text().splitlines() if line.startswith("twin vectorstore:")]
    assert len(lines) == 1
    assert says in lines[0]


async def test_a_process_ends_though_its_snapshot_does_not_reach_the_disk(
    stores: list[StoreProcess], folder: Path, rng: Rng
) -> None:
    failpoints = {"TWIN_FAILPOINTS": "snapshot.before_fsync=sleep:600", "TWIN_ALLOW_FAILPOINTS": "1"}
    store = _start(stores, folder, TWIN_SNAPSHOT_STOP_PATIENCE_S="0.5", **failpoints)
    async with serving(store) as stub:
        await _make_gallery(stub)
        vector = random_unit(rng)
        added = await add_one(stub, photo(vector))
        creating = asyncio.ensure_future(stub.CreateSnapshot(pb.CreateSnapshotRequest()))
        async with asyncio.timeout(20):
            while not list(folder.glob("data/vectorstore/snapshot.new/*")):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        # Within the minute that it waits, and not when the disk has slept.
        assert await asyncio.to_thread(store.stop) == 0
        with contextlib.suppress(grpc.aio.AioRpcError):
            await creating
    async with serving(_start(stores, folder)) as stub:
        assert list(folder.glob("data/vectorstore/snapshot*")) == []
        (result,) = await search(stub, vector)
        assert ids(result.matches) == [added.photo_id]
