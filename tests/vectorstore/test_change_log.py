"""Commit order, migrations, and what a start refuses."""

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
import pytest
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from runtime.errors import StartupError
from tests.vectorstore.conftest import StartStore
from tests.vectorstore.wire import DIMENSION, MODEL, random_unit
from vectorstore import change_log
from vectorstore.change_log import ChangeKind
from vectorstore.database import encode_pgvector, prepare_connection
from vectorstore.history import read_log
from vectorstore.migrate import MIGRATIONS_FOLDER, migrate, read_migrations
from vectorstore.prepare import prepare_database

Rng = np.random.Generator


async def _add_slowly(url: str, gallery_id: int, rng: Rng, count: int) -> None:
    """Another replica's writer, which dawdles between taking a revision and committing."""
    connection: Any = await asyncpg.connect(url)
    await prepare_connection(connection)
    try:
        for _ in range(count):
            await asyncio.sleep(rng.random() * 0.01)
            async with connection.transaction():
                await change_log.take_turn(connection)
                await change_log.take_revisions(connection, 1, above=0)
                face_id = await connection.fetchval("SELECT nextval('face_ids')")
                photo_id = await connection.fetchval(
                    "INSERT INTO photos (photo_id, gallery_id, revision, sha256, person, collection, source_store, "
                    "source_key) VALUES (gen_random_uuid(), $1, $2, $3, '', '', '', '') RETURNING photo_id",
                    gallery_id,
                    -face_id,
                    rng.bytes(32),
                )
                await connection.execute(
                    "INSERT INTO faces (face_id, photo_id, gallery_id, person, embedding) VALUES ($1, $2, $3, '', $4)",
                    face_id,
                    photo_id,
                    gallery_id,
                    random_unit(rng),
                )
                await change_log.write_change(
                    connection, ChangeKind.ADD_PHOTO, gallery_id, above=0, photo_id=photo_id, face_ids=[face_id]
                )
                await asyncio.sleep(rng.random() * 0.01)
    finally:
        await connection.close()


async def test_no_change_is_missed_when_writers_dawdle_before_committing(
    start_store: StartStore, database_url: str, database: Any
) -> None:
    async with start_store("one") as one, start_store("two") as two:
        await one.stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))
        gallery_id = await database.fetchval("SELECT gallery_id FROM galleries")
        await asyncio.gather(
            *(_add_slowly(database_url, gallery_id, np.random.default_rng(seed), 40) for seed in range(6))
        )
        head = await database.fetchval("SELECT max(revision) FROM changes")
        expected = [row["face_id"] for row in await database.fetch("SELECT face_id FROM faces ORDER BY face_id")]
        assert len(expected) == 240
        for replica in (one, two):
            await replica.service._follower.wait_for(head, 20)
            view = replica.service._follower._projection.get("default")
            assert view.index.live_ids().tolist() == expected


async def test_a_follower_only_ever_sees_revisions_in_order(
    start_store: StartStore, database_url: str, database: Any
) -> None:
    async with start_store() as store:
        await store.stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))
        gallery_id = await database.fetchval("SELECT gallery_id FROM galleries")
        writers = asyncio.gather(
            *(_add_slowly(database_url, gallery_id, np.random.default_rng(seed), 15) for seed in range(4))
        )
        seen: list[int] = []
        while not writers.done():
            changes, _ = await read_log(database, None, seen[-1] if seen else 0, 9)
            seen += [change.revision for change in changes]
        await writers
        while changes := (await read_log(database, None, seen[-1], 9))[0]:
            seen += [change.revision for change in changes]
    assert seen == sorted(seen)
    assert len(seen) == 61


async def test_migrations_are_applied_once(empty_database_url: str) -> None:
    connection: Any = await asyncpg.connect(empty_database_url)
    try:
        assert await migrate(connection) == len(read_migrations(MIGRATIONS_FOLDER))
        assert await migrate(connection) == 0
    finally:
        await connection.close()


async def test_services_that_start_at_once_migrate_one_after_the_other(empty_database_url: str) -> None:
    await asyncio.gather(*(prepare_database(empty_database_url) for _ in range(4)))


async def test_an_edited_migration_stops_the_start(empty_database_url: str, tmp_path: Path) -> None:
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE a (b integer)")
    connection: Any = await asyncpg.connect(empty_database_url)
    try:
        assert await migrate(connection, tmp_path) == 1
        (tmp_path / "0002_second.sql").write_text("CREATE TABLE c (d integer)")
        assert await migrate(connection, tmp_path) == 1
        (tmp_path / "0001_first.sql").write_text("CREATE TABLE a (b bigint)")
        with pytest.raises(StartupError, match=r"0001_first\.sql was edited"):
            await migrate(connection, tmp_path)
        (tmp_path / "0001_first.sql").unlink()
        with pytest.raises(StartupError, match="not numbered"):
            await migrate(connection, tmp_path)
    finally:
        await connection.close()


async def test_a_failed_migration_leaves_nothing_behind(empty_database_url: str, tmp_path: Path) -> None:
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE a (b integer); SELECT nonsense")
    connection: Any = await asyncpg.connect(empty_database_url)
    try:
        with pytest.raises(asyncpg.PostgresError):
            await migrate(connection, tmp_path)
        assert await connection.fetchval("SELECT to_regclass('a')") is None
    finally:
        await connection.close()


async def test_a_newer_database_stops_the_start(empty_database_url: str) -> None:
    await prepare_database(empty_database_url)
    connection: Any = await asyncpg.connect(empty_database_url)
    await connection.execute("INSERT INTO migrations VALUES (9999, '9999_later.sql', 'x')")
    await connection.close()
    with pytest.raises(StartupError, match="newer version"):
        await prepare_database(empty_database_url)


@pytest.mark.parametrize("setting", ["synchronous_commit", "fsync"])
async def test_a_database_that_may_lose_photos_stops_the_start(
    empty_database_url: str, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if setting == "synchronous_commit":
        connection: Any = await asyncpg.connect(empty_database_url)
        name = await connection.fetchval("SELECT current_database()")
        await connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
        await connection.close()
    else:
        # A setting of the whole server, which other tests use: another one that can be set stands in for it.
        monkeypatch.setattr("vectorstore.prepare._MUST_BE_ON", ("fsync", "jit"))
        connection = await asyncpg.connect(empty_database_url)
        name = await connection.fetchval("SELECT current_database()")
        await connection.execute(f"ALTER DATABASE {name} SET jit = off")
        await connection.close()
    with pytest.raises(StartupError, match="loses acknowledged photos"):
        await prepare_database(empty_database_url)


async def test_a_database_that_is_not_there_stops_the_start() -> None:
    with pytest.raises(StartupError, match="check TWIN_DATABASE_URL"):
        await prepare_database("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(StartupError, match="check TWIN_DATABASE_URL"):
        await prepare_database("nonsense")


def test_vectors_travel_in_pgvectors_own_form() -> None:
    vector = np.array([1.0, -2.0], dtype=np.float32)
    assert encode_pgvector(vector) == bytes.fromhex("000200003f800000c0000000")
