"""Galleries read out of PostgreSQL: the same faces as were added, whatever the pieces, all as of one moment."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from tests.vectorstore.conftest import StartStore, Store
from tests.vectorstore.told import told
from tests.vectorstore.wire import DIMENSION, MODEL, add_one, photo, random_unit
from vectorstore import catalog_load, loading
from vectorstore.database import Database
from vectorstore.gallery_view import GalleryView
from vectorstore.index.choose import IndexMaker
from vectorstore.loading import load_projection
from vectorstore.one_moment import CopyReader, OneMoment
from vectorstore.postgres_errors import POSTGRES_FAILURES, is_unavailable

Rng = np.random.Generator


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many pieces of few faces and photos."""
    monkeypatch.setattr(loading, "_LEAST_ROWS", 4)
    monkeypatch.setattr(loading, "_PIECE_BYTES", 4 * (4 * DIMENSION + 128))
    monkeypatch.setattr(catalog_load, "_PIECE_PHOTOS", 3)


@pytest.fixture
async def own_database(database_url: str) -> Any:
    database = Database()
    await database.open(database_url)
    yield database
    await database.close()


@pytest.fixture
def maker(tmp_path: Path) -> Any:
    maker = IndexMaker("flat", tmp_path / "rows", 1)
    yield maker
    maker.close()


async def _fill(store: Store, rng: Rng) -> None:
    """Three galleries, the last one empty; group photos, names, and holes where photos were deleted."""
    for name, dimension in (("default", DIMENSION), ("small", 3), ("empty", 8)):
        request = pb.CreateGalleryRequest(name=name, model_id=MODEL, dimension=dimension)
        await store.stub.CreateGallery(request)
    added = []
    for number in range(30):
        vectors = [random_unit(rng) for _ in range(1 + number % 3)]
        made = photo(*vectors, person="Zoë" if number % 2 else "", collection=f"c{number % 4}")
        if number % 5 == 0:
            made.faces[0].person = f"face {number}"
        if number % 7 == 0:
            made.faces[0].face.ClearField("box")
        added.append(await add_one(store.stub, made))
        if number % 4 == 0:
            small = np.zeros(3, np.float32)
            small[number % 3] = 1
            await add_one(store.stub, photo(small), gallery="small")
    for deleted in (*added[3:9], added[20]):
        await store.stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=deleted.photo_id))


def _told(view: GalleryView) -> list[Any]:
    ids = view.index.live_ids()
    assert np.array_equal(ids, view.catalog.live_ids())
    vectors = view.index.reconstruct(ids)
    return list(zip(told(view.catalog), vectors.tolist(), strict=True))


@pytest.mark.parametrize("connections", [1, 2, 3])
async def test_what_is_loaded_is_what_was_added(
    start_store: StartStore,
    rng: Rng,
    own_database: Database,
    maker: IndexMaker,
    small_pieces: None,
    connections: int,
) -> None:
    async with start_store() as store:
        await _fill(store, rng)
        loaded = await load_projection(own_database, maker, connections)
        running = {view.gallery.name: view for view in store.service._follower._projection.views()}
        assert loaded.revision == store.service._follower.applied_revision
        assert [view.gallery.name for view in loaded.views] == ["default", "small", "empty"]
        for view in loaded.views:
            assert _told(view) == _told(running[view.gallery.name])
            assert len(view.sample) == len(view.index.live_ids())
        assert len(_told(loaded.views[0])) > 40
        assert loaded.views[0].last_face_id == running["default"].last_face_id
        assert loaded.views[2].last_face_id == -1


async def test_ids_that_lie_far_apart_are_found(
    start_store: StartStore, rng: Rng, own_database: Database, maker: IndexMaker, small_pieces: None, database: Any
) -> None:
    async with start_store() as store:
        await _fill(store, rng)
    # Ten at the beginning, the rest close to one another behind a wide gap.
    await database.execute("UPDATE faces SET face_id = face_id + 1000000000 WHERE face_id > 10")
    loaded = await load_projection(own_database, maker, 2)
    stored = await database.fetch(
        "SELECT face_id FROM faces WHERE gallery_id = $1 ORDER BY 1", loaded.views[0].gallery.gallery_id
    )
    assert loaded.views[0].index.live_ids().tolist() == [row["face_id"] for row in stored]


async def test_all_is_read_as_of_one_moment(
    start_store: StartStore,
    rng: Rng,
    own_database: Database,
    maker: IndexMaker,
    small_pieces: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copy = CopyReader.copy
    async with start_store() as store:
        await _fill(store, rng)
        running = store.service._follower._projection.views()[0]
        before, revision = _told(running), store.service._follower.applied_revision

        async def with_changes(self: CopyReader, sql: str, *arguments: int) -> memoryview:
            # Between any two pieces somebody adds a photo and deletes another.
            await add_one(store.stub, photo(random_unit(rng)))
            (first,) = (await store.stub.ListPhotos(pb.ListPhotosRequest(page_size=1))).photos
            await store.stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=first.photo_id))
            return await copy(self, sql, *arguments)

        monkeypatch.setattr(CopyReader, "copy", with_changes)
        loaded = await load_projection(own_database, maker, 3)
        assert loaded.revision == revision
        assert _told(loaded.views[0]) == before
        assert store.service._follower.applied_revision > revision + 10


async def test_a_start_without_a_snapshot_applies_what_came_while_it_loaded(
    start_store: StartStore, rng: Rng, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start_store("one") as one:
        await _fill(one, rng)
        leave, late = OneMoment.__aexit__, []

        async def add_then_leave(self: OneMoment, *arguments: object) -> None:
            late.append(await add_one(one.stub, photo(random_unit(rng))))
            await leave(self, *arguments)

        monkeypatch.setattr(OneMoment, "__aexit__", add_then_leave)
        async with start_store("two") as two:
            # Before anything waits for it: ready means caught up.
            assert two.service._follower.applied_revision == one.service._follower.applied_revision
            assert len(late) == 1


async def test_a_face_without_its_photo_ends_the_start(
    start_store: StartStore, rng: Rng, own_database: Database, maker: IndexMaker, database: Any
) -> None:
    async with start_store() as store:
        await _fill(store, rng)
    await database.execute("SET session_replication_role = replica")
    await database.execute("DELETE FROM photos WHERE photo_id = (SELECT photo_id FROM faces LIMIT 1)")
    with pytest.raises(ValueError, match="without its photo"):
        await load_projection(own_database, maker, 2)


async def test_a_connection_that_breaks_ends_the_load(
    start_store: StartStore,
    rng: Rng,
    own_database: Database,
    maker: IndexMaker,
    small_pieces: None,
    database: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copy, calls = CopyReader.copy, 0
    async with start_store() as store:
        await _fill(store, rng)

    async def breaking(self: CopyReader, sql: str, *arguments: int) -> memoryview:
        nonlocal calls
        calls += 1
        if calls == 8:
            pid = self.connection.get_server_pid()
            await database.execute("SELECT pg_terminate_backend($1)", pid)
        return await copy(self, sql, *arguments)

    monkeypatch.setattr(CopyReader, "copy", breaking)
    async with asyncio.timeout(20):
        with pytest.raises(POSTGRES_FAILURES) as failure:
            await load_projection(own_database, maker, 2)
    assert is_unavailable(failure.value)
    # The server sees a while later that they are gone.
    async with asyncio.timeout(20):
        while await database.fetchval(  # noqa: ASYNC110
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
        ):
            await asyncio.sleep(0.02)
