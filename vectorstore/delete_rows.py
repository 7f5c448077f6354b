"""Deleting many photos by a handful of statements, whatever their number, in a transaction of the caller's."""

import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from vectorstore import change_log
from vectorstore.audit import AuditAction
from vectorstore.audit_copy import AuditCopy
from vectorstore.change_log import ChangeKind
from vectorstore.records import DeletionRecord
from vectorstore.rows_sql import deletion_from_row

# The photos' own rows; what to answer and to remove is told by their deletions from then on.
_DELETE_PHOTOS_SQL: Final = """
    DELETE FROM photos WHERE photo_id = ANY($1::uuid[])
    RETURNING photo_id, gallery_id, source_store, source_key, deletion_token_sha256, create_time,
              (SELECT name FROM galleries g WHERE g.gallery_id = photos.gallery_id) AS gallery
"""
_INSERT_DELETIONS_SQL: Final = """
    INSERT INTO deletions (photo_id, deletion_token_sha256, source_store, source_key, face_count, revision,
                           photo_create_time)
    SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::text[], $4::text[], $5::integer[], $6::bigint[],
                         $7::timestamptz[])
    RETURNING *
"""


@dataclass(frozen=True, slots=True)
class Doomed:
    """A photo that is there and is to go. request_id: of the call, for the audit."""

    photo_id: uuid.UUID
    request_id: str


async def delete_rows(
    connection: Any, doomed: Sequence[Doomed], action: AuditAction, applied_revision: int
) -> dict[uuid.UUID, DeletionRecord]:
    """Deletes photos, each named once, in the caller's turn; returns their deletions.

    One change for each gallery names all faces that go there, under the last of their deletions' revisions.
    applied_revision: what this replica had applied before.
    """
    if not doomed:
        return {}
    photo_ids = [one.photo_id for one in doomed]
    face_ids: dict[uuid.UUID, list[int]] = defaultdict(list)
    for face in await connection.fetch(
        "DELETE FROM faces WHERE photo_id = ANY($1::uuid[]) RETURNING photo_id, face_id", photo_ids
    ):
        face_ids[face["photo_id"]].append(face["face_id"])
    photos = sorted(
        await connection.fetch(_DELETE_PHOTOS_SQL, photo_ids),
        key=lambda photo: (photo["gallery_id"], photo["photo_id"]),
    )
    revisions = await change_log.take_revisions(connection, len(photos), above=applied_revision)
    rows = await connection.fetch(
        _INSERT_DELETIONS_SQL,
        [photo["photo_id"] for photo in photos],
        [photo["deletion_token_sha256"] for photo in photos],
        [photo["source_store"] for photo in photos],
        [photo["source_key"] for photo in photos],
        [len(face_ids[photo["photo_id"]]) for photo in photos],
        revisions,
        [photo["create_time"] for photo in photos],
    )
    last_revisions: dict[int, int] = {}
    gone: dict[int, list[int]] = defaultdict(list)
    for photo, revision in zip(photos, revisions, strict=True):
        last_revisions[photo["gallery_id"]] = revision
        gone[photo["gallery_id"]] += face_ids[photo["photo_id"]]
    for gallery_id, revision in last_revisions.items():
        await change_log.insert_change(
            connection, revision, ChangeKind.DELETE_PHOTO, gallery_id, sorted(gone[gallery_id])
        )
    request_ids = {one.photo_id: one.request_id for one in doomed}
    entries = [(photo["gallery"] or "", photo["photo_id"].bytes, request_ids[photo["photo_id"]]) for photo in photos]
    await AuditCopy(action, entries).write(connection, revisions)
    return {row["photo_id"]: deletion_from_row(row) for row in rows}
