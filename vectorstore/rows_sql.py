"""Rows of PostgreSQL as plain values; how photos and faces get there is in ``photo_copy`` and ``face_copy``."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from vectorstore.catalog_face import CatalogFace, to_microseconds
from vectorstore.records import (
    Calibration,
    Consent,
    DeletionRecord,
    FaceRecord,
    GalleryRecord,
    PhotoRecord,
    Quality,
    Source,
)

FACE_COLUMNS: Final = (
    "face_id",
    "photo_id",
    "gallery_id",
    "face_index",
    "box",
    "landmarks",
    "detection_score",
    "quality",
    "quality_issues",
    "is_primary",
    "person",
    "embedding",
)
# Everything of the photos' faces but the embeddings, which are by far the largest and not wanted in answers.
SHOWN_FACES_SQL: Final = """
    SELECT face_id, photo_id, face_index, box, landmarks, detection_score, quality, quality_issues, is_primary, person
    FROM faces WHERE photo_id = ANY($1::uuid[]) ORDER BY face_id
"""
# Everything of one photo's faces.
HELD_FACES_SQL: Final = "SELECT * FROM faces WHERE photo_id = $1 ORDER BY face_id"
# What an index needs of a face.
INDEXED_FACE_SQL: Final = """
    SELECT f.face_id, f.photo_id, f.gallery_id, f.box, f.embedding, p.collection, p.source_store, p.source_key,
           p.create_time, CASE WHEN f.person <> '' THEN f.person ELSE p.person END AS person
    FROM faces f JOIN photos p USING (photo_id)
"""

Row = Mapping[str, Any]


def photo_from_row(row: Row, face_rows: Sequence[Row]) -> PhotoRecord:
    """Returns a photo with its faces, and their embeddings where the rows have them."""
    consent = None
    if row["has_consent"]:
        consent = Consent(row["policy_version"], row["consent_grant_time"], row["consent_time_to_live"])
    return PhotoRecord(
        photo_id=row["photo_id"],
        source=Source(row["source_store"], row["source_key"]),
        sha256=row["sha256"],
        width=row["width"],
        height=row["height"],
        collection=row["collection"],
        original_filename=row["original_filename"],
        person=row["person"],
        consent=consent,
        deletion_token_sha256=row["deletion_token_sha256"],
        faces=tuple(_face_from_row(face) for face in face_rows),
        create_time=row["create_time"],
        revision=row["revision"],
    )


def _face_from_row(row: Row) -> FaceRecord:
    quality = None
    if row["quality"] is not None:
        score, sharpness, brightness, yaw, roll, size = row["quality"]
        quality = Quality((score, sharpness, brightness, yaw, roll, size), tuple(row["quality_issues"] or ()))
    return FaceRecord(
        face_id=row["face_id"],
        face_index=row["face_index"],
        box=tuple(row["box"]) if row["box"] is not None else None,
        landmarks=tuple(row["landmarks"]) if row["landmarks"] is not None else None,
        detection_score=row["detection_score"],
        quality=quality,
        primary=row["is_primary"],
        person=row["person"],
        embedding=row.get("embedding"),
    )


def catalog_face_from_row(row: Row) -> CatalogFace:
    """Returns what the catalog keeps of a row of INDEXED_FACE_SQL."""
    return CatalogFace(
        face_id=row["face_id"],
        photo_id=row["photo_id"],
        box=tuple(row["box"]) if row["box"] is not None else None,
        person=row["person"],
        collection=row["collection"],
        source=Source(row["source_store"], row["source_key"]),
        create_time_us=to_microseconds(row["create_time"]),
    )


def gallery_from_row(row: Row) -> GalleryRecord:
    """Returns a gallery; with its sizes where the row has them."""
    return GalleryRecord(
        gallery_id=row["gallery_id"],
        name=row["name"],
        model_id=row["model_id"],
        dimension=row["dimension"],
        calibration=Calibration(
            row["same_person_similarity"],
            row["duplicate_similarity"],
            row["percent_slope"],
            row["percent_midpoint"],
        ),
        create_time=row["create_time"],
        photo_count=row.get("photo_count", 0),
        face_count=row.get("face_count", 0),
    )


def deletion_from_row(row: Row) -> DeletionRecord:
    """Returns a deletion."""
    return DeletionRecord(
        photo_id=row["photo_id"],
        source=Source(row["source_store"], row["source_key"]),
        face_count=row["face_count"],
        revision=row["revision"],
        original_removed=row["original_removed"],
        delete_time=row["delete_time"],
        deletion_id=row["deletion_id"],
    )
