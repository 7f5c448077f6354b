"""All that is held about a photo, for whoever holds its deletion token."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from runtime.errors import NotFound
from vectorstore import audit, change_log
from vectorstore.audit import AuditAction
from vectorstore.database import Database
from vectorstore.deletion_token import opens
from vectorstore.records import PhotoRecord
from vectorstore.rows_sql import HELD_FACES_SQL, photo_from_row

_PHOTO_SQL: Final = """
    SELECT p.*, g.name AS gallery, g.model_id FROM photos p JOIN galleries g USING (gallery_id) WHERE photo_id = $1
"""


@dataclass(frozen=True, slots=True)
class HeldPhoto:
    """A photo with its faces and their embeddings, of the gallery's model. expire_time: None while consent lasts."""

    photo: PhotoRecord
    gallery: str
    model_id: str
    expire_time: datetime | None


class PhotoExporter:
    """Hands photos out, and has that recorded."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def export(self, photo_id: uuid.UUID, token: str | None) -> HeldPhoto:
        """Returns what is held about a photo, once the audit log says so.

        token: checked unless None. Raises NotFound for an unknown photo and for a wrong token, in the same words and
        after the same work; and what ``Database.writing`` raises.
        """
        async with self._database.reading() as connection:
            row = await connection.fetchrow(_PHOTO_SQL, photo_id)
        # Who has no right to the photo keeps no writer from the turn.
        if not opens(token, row) or row is None:
            raise NotFound("photo")
        async with self._database.writing() as connection:
            await change_log.take_turn(connection)
            row = await connection.fetchrow(_PHOTO_SQL, photo_id)
            # It may have been deleted meanwhile, and be another one since.
            if not opens(token, row) or row is None:
                raise NotFound("photo")
            faces = await connection.fetch(HELD_FACES_SQL, photo_id)
            await audit.write_entry(connection, AuditAction.EXPORT_PHOTO, row["gallery"], photo_id=photo_id)
        return HeldPhoto(photo_from_row(row, faces), row["gallery"], row["model_id"], row["expire_time"])
