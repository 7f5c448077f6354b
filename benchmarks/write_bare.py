"""What PostgreSQL alone takes: rows that a service wrote, copied by COPY into the same tables of another database."""

import contextlib
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from vectorstore.photo_copy import PHOTO_COLUMNS
from vectorstore.prepare import prepare_database
from vectorstore.rows_sql import FACE_COLUMNS

# The service's own batches are about as large.
_PHOTOS_A_TRANSACTION = 1000
_AUDIT_COLUMNS = ("action", "gallery", "photo_id", "revision", "request_id")
_CHANGE_COLUMNS = ("revision", "kind", "gallery_id", "photo_id", "face_ids")


@dataclass
class BareCopy:
    """Copies what is new in one database into another; each table by COPY in binary, as fast as the server takes it."""

    source: Any
    target: Any
    _done: dict[str, int] = field(default_factory=lambda: {"revision": 0, "face_id": 0})
    _transactions: list[list[tuple[str, tuple[str, ...], bytes]]] = field(default_factory=list)

    @classmethod
    @contextlib.asynccontextmanager
    async def between(cls, source_url: str, target_url: str) -> "AsyncIterator[BareCopy]":
        """Opens both databases and gives the target the schema."""
        await prepare_database(target_url)
        source: asyncpg.Connection[Any] = await asyncpg.connect(source_url)
        target: asyncpg.Connection[Any] = await asyncpg.connect(target_url)
        try:
            yield cls(source, target)
        finally:
            await source.close()
            await target.close()

    async def read_new_rows(self) -> None:
        """Reads the photos that were added since the last call, with their faces, changes and audit."""
        if not await self.target.fetchval("SELECT count(*) FROM galleries"):
            # The same row, its generated number included.
            rows = await self._read("galleries", ("*",), "gallery_id", 0, 2**62)
            await self.target.copy_to_table("galleries", source=io.BytesIO(rows), format="binary")
        revisions = [
            row["revision"]
            for row in await self.source.fetch(
                "SELECT revision FROM photos WHERE revision > $1 ORDER BY revision", self._done["revision"]
            )
        ]
        self._transactions = []
        first = self._done["revision"]
        first_face = self._done["face_id"]
        for start in range(0, len(revisions), _PHOTOS_A_TRANSACTION):
            last = revisions[start : start + _PHOTOS_A_TRANSACTION][-1]
            last_face = await self.source.fetchval(
                "SELECT max(face_id) FROM faces JOIN photos USING (photo_id) WHERE photos.revision <= $1 "
                "AND face_id > $2",
                last,
                first_face,
            )
            self._transactions.append(
                [
                    ("photos", PHOTO_COLUMNS, await self._read("photos", PHOTO_COLUMNS, "revision", first, last)),
                    ("faces", FACE_COLUMNS, await self._read("faces", FACE_COLUMNS, "face_id", first_face, last_face)),
                    ("changes", _CHANGE_COLUMNS, await self._read("changes", _CHANGE_COLUMNS, "revision", first, last)),
                    (
                        "audit_log",
                        _AUDIT_COLUMNS,
                        await self._read("audit_log", _AUDIT_COLUMNS, "revision", first, last),
                    ),
                ]
            )
            first, first_face = last, last_face
        await self.skip_new_rows()

    async def copy(self) -> None:
        """Copies into the target what was read."""
        for tables in self._transactions:
            async with self.target.transaction():
                for table, columns, content in tables:
                    await self.target.copy_to_table(table, columns=columns, source=io.BytesIO(content), format="binary")

    async def skip_new_rows(self) -> None:
        """Leaves out what was written since."""
        self._done["revision"] = await self.source.fetchval("SELECT max(revision) FROM changes")
        self._done["face_id"] = await self.source.fetchval("SELECT last_value FROM face_ids")

    async def _read(self, table: str, columns: tuple[str, ...], key: str, after: int, last: int) -> bytes:
        content = io.BytesIO()
        await self.source.copy_from_query(
            f"SELECT {', '.join(columns)} FROM {table} WHERE {key} > {after} AND {key} <= {last} ORDER BY {key}",
            output=content,
            format="binary",
        )
        return content.getvalue()
