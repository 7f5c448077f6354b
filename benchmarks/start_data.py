"""A database that holds a gallery of any size, filled by COPY straight into its tables: one face a photo."""

import hashlib
import io
import uuid
from typing import Any, Final

import asyncpg
import numpy as np

from benchmarks.galleries import DIMENSION, PHOTOS_EACH, MadeUpGallery, Rows
from vectorstore.copy_binary import HEADER, TRAILER
from vectorstore.prepare import prepare_database

_PIECE: Final = 8192
_FLOAT4_OID: Final = 700
# A photo's id, made where it is needed.
_PHOTO_ID_SQL: Final = "md5($$photo $$ || number)::uuid"
_ROW: Final = np.dtype(
    [
        ("fields", ">i2"),
        *(("face_id_size", ">i4"), ("face_id", ">i8")),
        *(("photo_id_size", ">i4"), ("photo_id", "u1", 16)),
        *(("gallery_id_size", ">i4"), ("gallery_id", ">i8")),
        *(("box_size", ">i4"), ("box_head", ">i4", 5), ("box", [("size", ">i4"), ("value", ">f4")], 4)),
        ("person_size", ">i4"),
        *(("vector_size", ">i4"), ("dimension", ">i2"), ("unused", ">i2"), ("vector", ">f4", DIMENSION)),
    ]
)


async def fill_database(url: str, gallery: MadeUpGallery) -> None:
    """Makes the schema and one gallery, "default", in an empty database, by a superuser."""
    await prepare_database(url)
    vectors = np.empty((gallery.face_count, DIMENSION), np.float32)
    gallery.fill(vectors)
    connection: Any = await asyncpg.connect(url)
    try:
        # Foreign keys are not looked up for each row.
        await connection.execute("SET session_replication_role = replica")
        gallery_id = await connection.fetchval(
            "INSERT INTO galleries (name, model_id, dimension, same_person_similarity, duplicate_similarity, "
            "percent_slope, percent_midpoint) VALUES ('default', 'bench', $1, 0.6, 0.95, 12, 0.4) RETURNING gallery_id",
            DIMENSION,
        )
        await connection.execute(
            f"INSERT INTO photos (photo_id, gallery_id, revision, source_store, source_key, sha256, width, height, "
            f"collection, original_filename, person, has_consent, deletion_token_sha256, create_time) "
            f"SELECT {_PHOTO_ID_SQL}, {gallery_id}, number + 1, 'local', 'originals/' || md5(number::text) || '.jpg', "
            f"sha256(number::text::bytea), 1024, 768, 'collection ' || number % 10, number || '.jpg', "
            f"'person ' || number / {PHOTOS_EACH}, false, '', now() - number * interval '1 second' "
            f"FROM generate_series(0, {gallery.face_count - 1}) AS number"
        )
        for first in range(0, gallery.face_count, _PIECE):
            await connection.copy_to_table(
                "faces",
                columns=("face_id", "photo_id", "gallery_id", "box", "person", "embedding"),
                source=io.BytesIO(HEADER + _rows(first, gallery_id, vectors[first : first + _PIECE]) + TRAILER),
                format="binary",
            )
        await connection.execute(
            "INSERT INTO changes (revision, kind, gallery_id) VALUES (1, 'create_gallery', $1)", gallery_id
        )
        await connection.execute("SELECT setval('revisions', $1), setval('face_ids', $1)", gallery.face_count + 2)
        await connection.execute("VACUUM ANALYZE photos")
        await connection.execute("VACUUM ANALYZE faces")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


def _rows(first: int, gallery_id: int, vectors: Rows) -> bytes:
    rows = np.zeros(len(vectors), _ROW)
    numbers = range(first, first + len(vectors))
    ids = b"".join(_photo_id(number).bytes for number in numbers)
    rows["fields"] = 6
    rows["face_id_size"], rows["face_id"] = 8, np.arange(first + 1, first + 1 + len(vectors))
    rows["photo_id_size"], rows["photo_id"] = 16, np.frombuffer(ids, np.uint8).reshape(-1, 16)
    rows["gallery_id_size"], rows["gallery_id"] = 8, gallery_id
    rows["box_size"], rows["box_head"] = 20 + 4 * 8, (1, 0, _FLOAT4_OID, 4, 1)
    rows["box"]["size"], rows["box"]["value"] = 4, (100.0, 120.0, 200.0, 210.0)
    rows["vector_size"], rows["dimension"], rows["vector"] = 4 + 4 * DIMENSION, DIMENSION, vectors
    return rows.tobytes()


def _photo_id(number: int) -> uuid.UUID:
    return uuid.UUID(bytes=hashlib.md5(f"photo {number}".encode(), usedforsecurity=False).digest())
