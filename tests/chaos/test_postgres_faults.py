"""PostgreSQL killed, cut off, silent, slow or full: searching goes on, nothing acknowledged is lost, all heals."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import grpc.aio
import numpy as np
import pytest
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from tests.chaos.history import ADD, OK, READ, History, check
from tests.chaos.proxy import Proxy, proxied
from tests.chaos.stores import Died, PostgresServer, RunningStore, running_store
from tests.chaos.workload import Caller, Known, look, make_gallery, photo_of, vector_of, work
from tests.vectorstore.wire import add, add_one, ids, refused, search, take_apart

pytestmark = pytest.mark.chaos

CODE = grpc.StatusCode
# A write is refused within a second; the deadline leaves room for a busy machine.
WRITE_DEADLINE_S = 4.0
FAULT_S = 5.0


def _key(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012x}"


async def test_a_postgres_that_is_killed_loses_nothing_that_was_answered(
    postgres: PostgresServer, folder: Path
) -> None:
    known, wrong = Known(), []
    async with running_store(folder / "data", await postgres.make_database()) as store:
        await make_gallery(store.stub)
        for number in range(3):
            end = asyncio.Event()
            working = asyncio.create_task(_work_until(end, store, known, number))
            await asyncio.sleep(1.5)
            await postgres.kill()
            await asyncio.sleep(1.0)
            end.set()
            await working
            known.history.settle(f"PostgreSQL was killed, round {number}")
            caller = Caller(store.stub, known, np.random.default_rng([number, 99]))
            async with asyncio.timeout(30):
                while not await caller.add():  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            wrong += await look(store.stub, known)
        assert store.is_running
    print(known.history.counts())
    assert wrong == []
    assert check(known.history.events) == []
    assert known.history.counts()["ok"] > 50


async def _work_until(end: asyncio.Event, store: RunningStore, known: Known, seed: int) -> None:
    # No crowds: those whose deletion got no answer stay, and a look shows no more than a thousand faces.
    await work(store.stub, known, [seed], lambda: not end.is_set(), churn=0.0)


async def test_a_postgres_that_answers_before_it_has_written_is_found_out(
    postgres: PostgresServer, folder: Path
) -> None:
    """The same kill with the safeguard off, once the start has looked: the check tells the difference."""
    history = History()
    await postgres.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
    url = await postgres.make_database()
    async with running_store(folder / "data", url) as store:
        await make_gallery(store.stub)
        name = url.partition("?")[0].rpartition("/")[2]
        await postgres.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
        # Connections that are open keep what they began with.
        await postgres.kill()
        await _until_written(store, _key(1))
        for answer in await add(store.stub, *[photo_of(_key(number)) for number in range(2, 200)]):
            history.end(OK, history.invoke(ADD, answer.photo_id))
        # The store may end now: it sees that the log no longer has what it has applied.
        await postgres.kill()
    stored = await _stored_ids(url)
    history.end(OK, history.invoke(READ), [key for key in stored if key != _key(1)])
    assert "lost" in {violation.kind for violation in check(history.events)}
    # The safeguard: a store does not start on such a server.
    with pytest.raises(Died, match="loses acknowledged photos"):
        async with running_store(folder / "data", url):
            pass
    await postgres.execute("ALTER SYSTEM RESET wal_writer_delay")


async def _stored_ids(url: str) -> list[str]:
    connection: Any = await asyncpg.connect(url)
    try:
        return [str(row["photo_id"]) for row in await connection.fetch("SELECT photo_id FROM photos")]
    finally:
        await connection.close()


async def _until_written(store: RunningStore, key: str) -> float:
    """Adds a photo, again and again, until it is answered well; returns how long that took."""
    start_s = time.monotonic()
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(grpc.aio.AioRpcError):
                (answer,) = await add(store.stub, photo_of(key))
                if answer.HasField("photo"):
                    return time.monotonic() - start_s
            await asyncio.sleep(0.05)


@dataclass(slots=True)
class _Seen:
    """What callers met while PostgreSQL was away."""

    searches: int = 0
    slowest_refusal_s: float = 0.0
    refusals: int = 0
    wrong: list[str] = field(default_factory=list)


@contextlib.asynccontextmanager
async def _callers(store: RunningStore, planted: list[str]) -> AsyncIterator[_Seen]:
    """Searches and writes for the length of the block; every search must be right, every write done or UNAVAILABLE."""
    seen, end = _Seen(), asyncio.Event()
    numbers = itertools.count(10_000)

    async def searching() -> None:
        for key in itertools.cycle(planted):
            if end.is_set():
                return
            (result,) = await search(store.stub, vector_of(key), limit=1)
            if ids(result.matches) != [key]:
                seen.wrong.append("a planted photo was not found")
            seen.searches += 1
            await asyncio.sleep(0.005)

    async def writing(write: Callable[[], Any]) -> None:
        while not end.is_set():
            start_s = time.monotonic()
            try:
                await write()
            except grpc.aio.AioRpcError as error:
                if error.code() is not CODE.UNAVAILABLE:
                    seen.wrong.append(f"a write was answered {error.code().name}: {error.details()}")
                seen.refusals += 1
                seen.slowest_refusal_s = max(seen.slowest_refusal_s, time.monotonic() - start_s)
            await asyncio.sleep(0.02)

    async def add_photo() -> None:
        request = pb.AddPhotosRequest(photo=photo_of(_key(next(numbers))))
        async for answer in store.stub.AddPhotos(iter([request]), timeout=WRITE_DEADLINE_S):
            refusal = take_apart(answer.error)
            if not answer.HasField("photo"):
                if (refusal.code, refusal.retry) != (CODE.UNAVAILABLE, True):
                    seen.wrong.append(f"an add was answered {refusal}")
                seen.refusals += 1

    async def delete_photo() -> None:
        with contextlib.suppress(StopAsyncIteration):
            request = pb.DeletePhotoRequest(photo_id=_key(1), deletion_token="wrong")
            try:
                await store.stub.DeletePhoto(request, timeout=WRITE_DEADLINE_S)
            except grpc.aio.AioRpcError as error:
                if error.code() is not CODE.NOT_FOUND:
                    raise

    tasks = [asyncio.create_task(task) for task in (searching(), writing(add_photo), writing(delete_photo))]
    try:
        yield seen
    finally:
        end.set()
        await asyncio.gather(*tasks)


def _silence(proxy: Proxy) -> None:
    proxy.blackhole()


def _refuse(proxy: Proxy) -> None:
    proxy.refuse()


def _cut(proxy: Proxy) -> None:
    proxy.cut_after(37)


@pytest.mark.parametrize("fault", [_silence, _refuse, _cut])
async def test_a_postgres_that_cannot_be_reached_leaves_searching_alone_and_all_heals(
    postgres: PostgresServer, folder: Path, fault: Callable[[Proxy], None]
) -> None:
    planted = [_key(number) for number in range(1, 21)]
    async with (
        proxied(await postgres.make_database()) as (proxy, url),
        running_store(folder / "data", url) as store,
    ):
        await make_gallery(store.stub)
        await add(store.stub, *[photo_of(key) for key in planted])
        async with _callers(store, planted) as seen:
            await asyncio.sleep(0.3)
            fault(proxy)
            await asyncio.sleep(FAULT_S)
            searches_during_fault = seen.searches
            proxy.heal()
            healed_s = await _until_written(store, _key(2_000))
        print(f"{fault.__name__}: healed after {healed_s:.2f} s, {seen}")
        assert seen.wrong == []
        assert searches_during_fault > 100
        assert seen.refusals > 3
        assert await store.is_serving()
        (result,) = await search(store.stub, vector_of(_key(2_000)), limit=1)
        assert ids(result.matches) == [_key(2_000)]


async def test_a_slow_way_to_postgres_is_slow_and_nothing_else(postgres: PostgresServer, folder: Path) -> None:
    async with (
        proxied(await postgres.make_database()) as (proxy, url),
        running_store(folder / "data", url) as store,
    ):
        await make_gallery(store.stub)
        proxy.delay_s = 0.02
        for number in range(5):
            await add_one(store.stub, photo_of(_key(number)))
        for number in range(5):
            (result,) = await search(store.stub, vector_of(_key(number)), limit=1)
            assert ids(result.matches) == [_key(number)]


async def test_a_full_disk_refuses_what_is_new_and_leaves_reading_alone(postgres: PostgresServer, folder: Path) -> None:
    url = await postgres.make_database()
    async with running_store(folder / "data", url) as store:
        await make_gallery(store.stub)
        await add_one(store.stub, photo_of(_key(1)))
        connection: Any = await asyncpg.connect(url)
        # PostgreSQL's own error, raised where the rows are copied in.
        await connection.execute(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$; "
            "CREATE TRIGGER full_disk BEFORE INSERT ON faces FOR EACH ROW EXECUTE FUNCTION full_disk()"
        )
        (answer,) = await add(store.stub, photo_of(_key(2)))
        refusal = take_apart(answer.error)
        assert (refusal.code, refusal.retry) == (CODE.RESOURCE_EXHAUSTED, True)
        (result,) = await search(store.stub, vector_of(_key(1)), limit=1)
        assert ids(result.matches) == [_key(1)]
        assert (await store.stub.GetPhoto(pb.GetPhotoRequest(photo_id=_key(1)))).photo.photo_id == _key(1)
        await connection.execute("DROP TRIGGER full_disk ON faces")
        await connection.close()
        await add_one(store.stub, photo_of(_key(2)))


async def test_a_full_disk_refuses_a_snapshot_and_keeps_the_last_one(postgres: PostgresServer, folder: Path) -> None:
    url = await postgres.make_database()
    snapshot = folder / "data" / "vectorstore" / "snapshot"
    async with running_store(folder / "data", url) as store:
        await make_gallery(store.stub)
        await add_one(store.stub, photo_of(_key(1)))
        await store.stub.CreateSnapshot(pb.CreateSnapshotRequest())
    before = {path.name: path.read_bytes() for path in snapshot.iterdir()}
    async with running_store(folder / "data", url, failpoints="snapshot.before_fsync=raise:disk_full") as store:
        await add_one(store.stub, photo_of(_key(2)))
        with refused(CODE.RESOURCE_EXHAUSTED, "OVERLOADED"):
            await store.stub.CreateSnapshot(pb.CreateSnapshotRequest())
        (result,) = await search(store.stub, vector_of(_key(2)), limit=1)
        assert ids(result.matches) == [_key(2)]
        assert await store.is_serving()
        assert {path.name: path.read_bytes() for path in snapshot.iterdir()} == before
        assert [path.name for path in snapshot.parent.iterdir()] == ["snapshot"]
