"""Nothing of a face, a token or a name reaches a log, neither ours nor PostgreSQL's, whatever goes wrong with a row."""

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import numpy as np
import pytest
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from runtime.vectors import Vector
from tests.vectorstore.processes import StoreProcess, serving
from tests.vectorstore.wire import (
    DIMENSION,
    MODEL,
    add,
    add_one,
    photo,
    random_unit,
    refused,
    search,
    take_apart,
)
from vectorstore.database import prepare_connection

pytestmark = pytest.mark.chaos

CODE = grpc.StatusCode
TOKEN, NAME, PERSON = "TOKENTOKENTOKEN", "FILENAMEFILENAME.jpg", "PERSONPERSON"


@pytest.fixture
def store() -> Iterator[StoreProcess]:
    """With an embedded PostgreSQL, whose folder lies outside pytest's own, which other users cannot enter."""
    with tempfile.TemporaryDirectory(prefix="twin-", ignore_cleanup_errors=True) as folder:
        process = StoreProcess(Path(folder) / "data")
        yield process
        process.stop()


async def _connect(store: StoreProcess) -> Any:
    socket = (store.data_folder / "postgres" / "postmaster.pid").read_text().splitlines()[4]
    connection: Any = await asyncpg.connect(f"postgresql://postgres@/postgres?host={socket}")
    await prepare_connection(connection)
    return connection


def _message(vector: Vector) -> pb.Photo:
    return photo(
        vector,
        original_filename=NAME,
        person=PERSON,
        deletion_token_sha256=hashlib.sha256(TOKEN.encode()).digest(),
    )


async def test_nothing_biometric_reaches_any_log(store: StoreProcess, rng: np.random.Generator) -> None:
    """A vector, a token, a file name and a person, looked for after all went wrong with their rows that can."""
    vector = random_unit(rng)
    async with serving(store) as stub:
        await stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))
        added = await add_one(stub, _message(vector))
        await add(stub, photo(vector, sha256=b"bad", original_filename=NAME), photo(vector, photo_id=added.photo_id))
        await search(stub, vector, added.faces[0].face_id)
        with refused(CODE.NOT_FOUND, "NOT_FOUND"):
            await stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=added.photo_id, deletion_token=TOKEN + "x"))
        connection = await _connect(store)
        await _refuse_rows(connection, vector)
        for planted in (
            "ALTER TABLE photos ADD CONSTRAINT planted_check CHECK (person <> 'PERSONPERSON') NOT VALID",
            "ALTER TABLE faces ADD CONSTRAINT planted_faces_check CHECK (face_id < 0) NOT VALID",
            "ALTER TABLE faces ADD COLUMN planted_column integer NOT NULL DEFAULT 1; "
            "ALTER TABLE faces ALTER COLUMN planted_column DROP DEFAULT",
        ):
            await connection.execute(planted)
            (answer,) = await add(stub, _message(vector))
            assert take_apart(answer.error).code is CODE.INTERNAL
            _assert_no_trace(answer.error.SerializeToString().decode(errors="replace"), vector)
            await connection.execute(
                "ALTER TABLE photos DROP CONSTRAINT IF EXISTS planted_check; "
                "ALTER TABLE faces DROP CONSTRAINT IF EXISTS planted_faces_check; "
                "ALTER TABLE faces DROP COLUMN IF EXISTS planted_column"
            )
        await connection.close()
        await stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=added.photo_id, deletion_token=TOKEN))
    store.stop()
    logs = store.log.read_text() + (store.data_folder / "postgres" / "log").read_text()
    for failure in ("duplicate key", "planted_check", "planted_faces_check", "planted_column", "invalid input syntax"):
        assert failure in logs, "a planted failure is not in the log, so the search below proves nothing"
    _assert_no_trace(logs, vector)


def _assert_no_trace(text: str, vector: Vector) -> None:
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    value = f"{vector[0]:.6f}"[:7]
    for secret in (TOKEN, NAME, PERSON, digest, value, vector.tobytes().hex()[:32]):
        assert secret not in text


async def _refuse_rows(connection: Any, vector: Vector) -> None:
    """Makes PostgreSQL refuse rows that hold a vector and a file name, as a bug of ours would."""
    photo_id, face_id = await connection.fetchrow("SELECT photo_id, face_id FROM faces")
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute("INSERT INTO faces (face_id, embedding) VALUES ($1, $2)", face_id, vector)
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.copy_records_to_table(
            "photos", columns=("photo_id", "original_filename"), records=[(photo_id, NAME)]
        )
    # The context of a COPY that fails names the line that it failed at.
    with pytest.raises(asyncpg.PostgresError):
        await connection.copy_to_table(
            "photos",
            columns=("original_filename", "person", "width"),
            source=_Lines(f"{NAME}\t{PERSON}\tnot a number\n".encode()),
            format="text",
        )


class _Lines:
    """Bytes as the file that a COPY reads."""

    def __init__(self, data: bytes) -> None:
        self._left = data

    def read(self, count: int) -> bytes:
        data, self._left = self._left[:count], self._left[count:]
        return data
