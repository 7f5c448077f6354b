"""The schema: earlier versions with data in them, vectors in their rows, and the least that a role must own."""

import asyncio
import shutil
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
import pytest
from pydantic import SecretStr
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from tests.vectorstore.conftest import _running
from tests.vectorstore.wire import DIMENSION, MODEL, add_one, ids, photo, random_unit, search
from vectorstore.database import prepare_connection
from vectorstore.galleries import MAX_DIMENSION
from vectorstore.migrate import MIGRATIONS_FOLDER, migrate, read_migrations
from vectorstore.prepare import prepare_database
from vectorstore.pruning import Pruner
from vectorstore.settings import VectorStoreSettings

Rng = np.random.Generator
_VERSIONS = range(1, len(read_migrations(MIGRATIONS_FOLDER)) + 1)


async def _rows_of_version(url: str, version: int, vectors: list[Any], folder: Path) -> list[uuid.UUID]:
    """Makes the schema as it was after that many migrations, with photos of one face each in it."""
    for path in sorted(MIGRATIONS_FOLDER.glob("*.sql"))[:version]:
        shutil.copy(path, folder)
    connection: Any = await asyncpg.connect(url)
    try:
        await migrate(connection, folder)
        await prepare_connection(connection)
        gallery_id = await connection.fetchval(
            "INSERT INTO galleries (name, model_id, dimension, same_person_similarity, duplicate_similarity, "
            "percent_slope, percent_midpoint) VALUES ('default', $1, $2, 0.6, 0.95, 12, 0.4) RETURNING gallery_id",
            MODEL,
            DIMENSION,
        )
        photo_ids = [uuid.uuid4() for _ in vectors]
        for number, (photo_id, vector) in enumerate(zip(photo_ids, vectors, strict=True), start=1):
            await connection.execute(
                "INSERT INTO photos (photo_id, gallery_id, revision, source_store, source_key, sha256, width, height, "
                "collection, original_filename, person, has_consent, deletion_token_sha256) "
                "VALUES ($1, $2, $3, 'local', $4, $5, 640, 480, 'old', 'old.jpg', '', false, '')",
                photo_id,
                gallery_id,
                number,
                f"{photo_id}.jpg",
                photo_id.bytes * 2,
            )
            face_id = await connection.fetchval(
                "INSERT INTO faces (face_id, photo_id, gallery_id, face_index, box, detection_score, is_primary, "
                "person, embedding) VALUES (nextval('face_ids'), $1, $2, 0, '{1,2,3,4}', 0.5, true, '', $3) "
                "RETURNING face_id",
                photo_id,
                gallery_id,
                vector,
            )
            if version >= 2:
                await connection.execute(
                    "INSERT INTO changes (revision, kind, gallery_id, photo_id, face_ids) "
                    "VALUES (nextval('revisions'), 'add_photo', $1, $2, $3)",
                    gallery_id,
                    photo_id,
                    [face_id],
                )
        return photo_ids
    finally:
        await connection.close()


@pytest.mark.parametrize("version", _VERSIONS)
async def test_a_database_of_every_earlier_version_is_served(
    empty_database_url: str, tmp_path: Path, rng: Rng, version: int
) -> None:
    vectors = [random_unit(rng) for _ in range(5)]
    (tmp_path / "migrations").mkdir()
    photo_ids = await _rows_of_version(empty_database_url, version, vectors, tmp_path / "migrations")
    settings = _settings(tmp_path, empty_database_url)
    async with _running(settings) as store:
        found = await search(store.stub, *vectors, limit=1)
        assert [ids(result.matches) for result in found] == [[str(photo_id)] for photo_id in photo_ids]
        await store.stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=str(photo_ids[0])))
        new = await add_one(store.stub, photo(vectors[0]))
        (listed, gallery) = await asyncio.gather(
            store.stub.ListPhotos(pb.ListPhotosRequest()), store.stub.ListGalleries(pb.ListGalleriesRequest())
        )
        assert [one.photo_id for one in listed.photos][-1] == new.photo_id
        assert (gallery.galleries[0].photo_count, gallery.galleries[0].face_count) == (5, 5)
    connection: Any = await asyncpg.connect(empty_database_url)
    try:
        assert await connection.fetchval("SELECT count(*) FROM faces") == 5
        await _inline(connection)
    finally:
        await connection.close()


def _settings(folder: Path, url: str) -> VectorStoreSettings:
    given: dict[str, Any] = {"data_dir": folder / "data", "database_url": SecretStr(url)}
    return VectorStoreSettings(**given)


async def _inline(connection: Any) -> None:
    storage = await connection.fetchval(
        "SELECT attstorage FROM pg_attribute WHERE attrelid = 'faces'::regclass AND attname = 'embedding'"
    )
    # The type "char": asyncpg gives it as bytes.
    assert storage == b"p"


# Of 512 numbers too, which are just too large for PostgreSQL to leave them there by itself.
@pytest.mark.parametrize("dimension", [512, 1024, MAX_DIMENSION])
async def test_faces_lie_whole_in_their_rows(faces: Any, rng: Rng, dimension: int) -> None:
    await _insert_face(faces, random_unit(rng, dimension))
    assert await faces.fetchval(f"SELECT pg_relation_size(({_SIDE_TABLE_SQL}))") == 0


async def test_what_does_not_fit_beside_a_vector_as_large_as_a_row_is_kept_elsewhere(faces: Any, rng: Rng) -> None:
    vector = random_unit(rng, 2000)
    await _insert_face(faces, vector)
    row = await faces.fetchrow("SELECT box, landmarks, quality, quality_issues, embedding FROM faces")
    assert (row["box"], row["landmarks"], row["quality"], row["quality_issues"]) == (
        _BOX,
        _LANDMARKS,
        _QUALITY,
        _ISSUES,
    )
    assert np.array_equal(row["embedding"], vector)


_SIDE_TABLE_SQL = "SELECT reltoastrelid FROM pg_class WHERE oid = 'faces'::regclass"
_BOX = [0.5, 1.5, 2.5, 3.5]
_LANDMARKS = [place / 4 for place in range(10)]
_QUALITY = [place / 8 for place in range(6)]
_ISSUES = list(range(1, 33))


@pytest.fixture
async def faces(empty_database_url: str) -> AsyncIterator[Any]:
    """A connection to the schema as it is today, with vectors in their rows and nothing in it."""
    await prepare_database(empty_database_url)
    connection: Any = await asyncpg.connect(empty_database_url)
    await prepare_connection(connection)
    await _inline(connection)
    yield connection
    await connection.close()


async def _insert_face(connection: Any, vector: Any) -> None:
    """Adds a face that has everything a face can have."""
    await connection.execute(
        "INSERT INTO faces (face_id, photo_id, gallery_id, face_index, box, landmarks, detection_score, quality, "
        "quality_issues, is_primary, person, embedding) VALUES (1, $1, 1, 0, $2, $3, 0.5, $4, $5, true, 'Ada', $6)",
        uuid.uuid4(),
        _BOX,
        _LANDMARKS,
        _QUALITY,
        _ISSUES,
        vector,
    )


async def test_photos_take_their_faces_along_whoever_deletes_them(stub: Any, database: Any, rng: Rng) -> None:
    for _ in range(4):
        await add_one(stub, photo(random_unit(rng), random_unit(rng)))
    await database.execute("DELETE FROM photos WHERE photo_id IN (SELECT photo_id FROM photos LIMIT 3)")
    assert await database.fetchval("SELECT count(*) FROM faces") == 2
    assert await database.fetchval("SELECT count(*) FROM faces JOIN photos USING (photo_id)") == 2


# As the operator's guide has it.
_ROLE_SQL = """
    CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
    CREATE EXTENSION IF NOT EXISTS vector;
    REVOKE CREATE ON SCHEMA public FROM PUBLIC;
    CREATE SCHEMA {role} AUTHORIZATION {role};
    ALTER ROLE {role} IN DATABASE {database} SET search_path = {role}, public;
"""


@pytest.fixture
async def modest_url(empty_database_url: str) -> AsyncIterator[str]:
    """The database, for a role that owns its own schema and nothing else."""
    role = f"twin_{uuid.uuid4().hex[:12]}"
    connection: Any = await asyncpg.connect(empty_database_url)
    database = await connection.fetchval("SELECT current_database()")
    await connection.execute(_ROLE_SQL.format(role=role, database=database))
    yield empty_database_url.replace("postgres:", f"{role}:", 1)
    await connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
    await connection.close()


async def test_a_role_that_owns_only_its_schema_is_enough(modest_url: str, tmp_path: Path, rng: Rng) -> None:
    settings = _settings(tmp_path, modest_url)
    async with _running(settings) as store:
        connection: Any = await asyncpg.connect(modest_url)
        try:
            assert not await connection.fetchval("SELECT usesuper FROM pg_user WHERE usename = current_user")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute("CREATE TABLE public.mine (a integer)")
        finally:
            await connection.close()
        await store.stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))
        vector = random_unit(rng)
        added = await add_one(store.stub, photo(vector))
        await store.stub.CreateSnapshot(pb.CreateSnapshotRequest())
        second = await add_one(store.stub, photo(-vector))
        deleted = await store.stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=second.photo_id))
        await store.stub.ConfirmRemoval(
            pb.ConfirmRemovalRequest(photo_id=second.photo_id, deletion_id=deleted.deletion_id)
        )
        await Pruner(store.service._database, timedelta()).prune()
        await asyncio.sleep(1.0)
        assert not store.tasks.failed.is_set()
    async with _running(settings) as store:
        (result,) = await search(store.stub, vector)
        assert ids(result.matches) == [added.photo_id]
