"""Galleries and what is in them: made, listed, looked at, dropped."""

import uuid
from collections import defaultdict
from typing import Any, Final

from runtime import failpoints
from runtime.errors import InvalidField, ModelMismatch, NotFound
from vectorstore import audit, change_log
from vectorstore.audit import AuditAction
from vectorstore.change_log import ChangeKind
from vectorstore.database import ANSWER_MARGIN_S, Database
from vectorstore.deletion_journal import DeletionJournal
from vectorstore.follower import Follower
from vectorstore.records import Calibration, GalleryRecord, PhotoRecord
from vectorstore.rows_sql import SHOWN_FACES_SQL, gallery_from_row, photo_from_row

# A row must fit a page of 8 kB: PostgreSQL keeps an embedding in its row.
MAX_DIMENSION: Final = 1536
APPLY_TIMEOUT_S: Final = 10.0
# For one statement of a gallery's deletion.
_DROP_TIMEOUT_S: Final = 600
_GALLERY_WITH_SIZES_SQL: Final = """
    SELECT g.*, (SELECT count(*) FROM photos p WHERE p.gallery_id = g.gallery_id) AS photo_count,
           (SELECT count(*) FROM faces f WHERE f.gallery_id = g.gallery_id) AS face_count
    FROM galleries g
"""
_QUEUE_REMOVALS_SQL: Final = """
    INSERT INTO deletions (photo_id, deletion_token_sha256, source_store, source_key, revision, face_count,
                           photo_create_time)
    SELECT photo_id, deletion_token_sha256, source_store, source_key, $2,
           (SELECT count(*) FROM faces f WHERE f.photo_id = p.photo_id), create_time
    FROM photos p WHERE gallery_id = $1 ORDER BY revision
"""


class Galleries:
    """The galleries and photos of the database."""

    def __init__(self, database: Database, follower: Follower, journal: DeletionJournal) -> None:
        self._database = database
        self._follower = follower
        self._journal = journal

    async def create(self, name: str, model_id: str, dimension: int, calibration: Calibration) -> GalleryRecord:
        """Makes a gallery, or returns the one of this name.

        Raises ModelMismatch when that one is of another model, InvalidField for a dimension that cannot be, or is not
        that one's.
        """
        if not 1 <= dimension <= MAX_DIMENSION:
            raise InvalidField("dimension", f"is 1 to {MAX_DIMENSION}")
        async with self._database.writing() as connection:
            await change_log.take_turn(connection)
            row = await connection.fetchrow(f"{_GALLERY_WITH_SIZES_SQL} WHERE name = $1", name)
            if row is None:
                row = await connection.fetchrow(
                    "INSERT INTO galleries (name, model_id, dimension, same_person_similarity, duplicate_similarity, "
                    "percent_slope, percent_midpoint) VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING *",
                    name,
                    model_id,
                    dimension,
                    calibration.same_person_similarity,
                    calibration.duplicate_similarity,
                    calibration.percent_slope,
                    calibration.percent_midpoint,
                )
                revision = await change_log.write_change(
                    connection, ChangeKind.CREATE_GALLERY, row["gallery_id"], above=self._follower.applied_revision
                )
                await audit.write_entry(connection, AuditAction.CREATE_GALLERY, name, revision=revision)
                await failpoints.reach_async("gallery.before_commit")
            else:
                revision = await change_log.read_head(connection)
        await failpoints.reach_async("gallery.committed")
        gallery = gallery_from_row(row)
        if gallery.model_id != model_id or gallery.dimension != dimension:
            raise ModelMismatch(
                expected=f"{gallery.model_id[:80]} ({gallery.dimension})", actual=f"{model_id[:80]} ({dimension})"
            )
        self._follower.wake()
        await self._follower.wait_for(revision, APPLY_TIMEOUT_S)
        return gallery

    async def list_galleries(self, after_name: str, limit: int) -> list[GalleryRecord]:
        """Returns the next galleries by name, with their sizes."""
        async with self._database.reading() as connection:
            rows = await connection.fetch(
                f"{_GALLERY_WITH_SIZES_SQL} WHERE name > $1 ORDER BY name LIMIT $2", after_name, limit
            )
        return [gallery_from_row(row) for row in rows]

    async def delete(self, name: str) -> int:
        """Drops a gallery with all its photos, queues the originals' removals, returns the count of photos."""
        async with self._database.writing() as connection:
            await connection.execute(f"SET LOCAL statement_timeout = '{_DROP_TIMEOUT_S}s'")
            await change_log.take_turn(connection)
            gallery_id = await connection.fetchval("SELECT gallery_id FROM galleries WHERE name = $1", name)
            if gallery_id is None:
                raise NotFound("gallery")
            revision = await change_log.write_change(
                connection, ChangeKind.DROP_GALLERY, gallery_id, above=self._follower.applied_revision
            )
            timeout_s = _DROP_TIMEOUT_S + ANSWER_MARGIN_S
            await connection.execute(_QUEUE_REMOVALS_SQL, gallery_id, revision, timeout=timeout_s)
            photo_count = await connection.fetchval(
                "SELECT count(*) FROM photos WHERE gallery_id = $1", gallery_id, timeout=timeout_s
            )
            await connection.execute("DELETE FROM photos WHERE gallery_id = $1", gallery_id, timeout=timeout_s)
            await connection.execute("DELETE FROM galleries WHERE gallery_id = $1", gallery_id, timeout=timeout_s)
            await audit.write_entry(
                connection, AuditAction.DELETE_GALLERY, name, revision=revision, photo_count=photo_count
            )
            await failpoints.reach_async("gallery.before_commit")
        await failpoints.reach_async("gallery.committed")
        self._follower.wake()
        await self._journal.catch_up()
        await self._follower.wait_for(revision, APPLY_TIMEOUT_S)
        return int(photo_count)

    async def get_photo(self, photo_id: uuid.UUID) -> PhotoRecord:
        """Returns a photo with its faces, without embeddings; raises NotFound."""
        async with self._database.reading(isolation="repeatable_read") as connection:
            row = await connection.fetchrow("SELECT * FROM photos WHERE photo_id = $1", photo_id)
            if row is None:
                raise NotFound("photo")
            return (await _with_faces(connection, [row]))[0]

    async def list_photos(self, gallery: str, after_revision: int, limit: int) -> list[PhotoRecord]:
        """Returns a gallery's next photos, oldest first, with their faces; raises NotFound."""
        async with self._database.reading(isolation="repeatable_read") as connection:
            gallery_id = await connection.fetchval("SELECT gallery_id FROM galleries WHERE name = $1", gallery)
            if gallery_id is None:
                raise NotFound("gallery")
            rows = await connection.fetch(
                "SELECT * FROM photos WHERE gallery_id = $1 AND revision > $2 ORDER BY revision LIMIT $3",
                gallery_id,
                after_revision,
                limit,
            )
            return await _with_faces(connection, rows)


async def _with_faces(connection: Any, rows: Any) -> list[PhotoRecord]:
    face_rows = await connection.fetch(
        SHOWN_FACES_SQL,
        [row["photo_id"] for row in rows],
    )
    faces_by_photo: dict[uuid.UUID, list[Any]] = defaultdict(list)
    for face in face_rows:
        faces_by_photo[face["photo_id"]].append(face)
    return [photo_from_row(row, faces_by_photo[row["photo_id"]]) for row in rows]
