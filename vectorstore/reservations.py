"""Originals that are about to be stored: found by what was written here first, should their photo never come."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from vectorstore.database import Database
from vectorstore.records import Source


@dataclass(frozen=True, slots=True)
class ReservationRecord:
    """One original that no photo names, and that may be in its store."""

    reservation_id: int
    photo_id: uuid.UUID
    source: Source
    reserve_time: datetime


class Reservations:
    """Takes note of originals before they are stored, and tells which ones nobody came for."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def reserve(self, photo_id: uuid.UUID, source: Source) -> None:
        """Records an original; again changes nothing."""
        async with self._database.writing() as connection:
            await connection.execute(
                "INSERT INTO reserved_originals (photo_id, source_store, source_key) VALUES ($1, $2, $3) "
                "ON CONFLICT DO NOTHING",
                photo_id,
                source.store,
                source.key,
            )

    async def list_unclaimed(self, min_age: timedelta, after_id: int, limit: int) -> list[ReservationRecord]:
        """Returns reserved originals of that age that no photo names, oldest first; forgets those that one does."""
        async with self._database.writing() as connection:
            await connection.execute(
                "DELETE FROM reserved_originals r WHERE reserve_time <= now() - $1::interval AND EXISTS (SELECT 1 FROM "
                "photos p WHERE p.source_store = r.source_store AND p.source_key = r.source_key)",
                min_age,
            )
            rows = await connection.fetch(
                "SELECT * FROM reserved_originals r WHERE reserve_time <= now() - $1::interval AND reservation_id > $2 "
                "AND NOT EXISTS (SELECT 1 FROM photos p WHERE p.source_store = r.source_store "
                "AND p.source_key = r.source_key) ORDER BY reservation_id LIMIT $3",
                min_age,
                after_id,
                limit,
            )
        return [
            ReservationRecord(
                row["reservation_id"],
                row["photo_id"],
                Source(row["source_store"], row["source_key"]),
                row["reserve_time"],
            )
            for row in rows
        ]

    async def release(self, reservation_id: int) -> None:
        """Forgets a reservation; again changes nothing."""
        async with self._database.writing() as connection:
            await connection.execute("DELETE FROM reserved_originals WHERE reservation_id = $1", reservation_id)
