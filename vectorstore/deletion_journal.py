"""The journal of deletions: a file apart from the database, so that what was deleted stays so after a restore.

It follows the table ``deletions``, by ids that rise in the order of commits, and so has the deletions of other replicas
too. A line names a photo by its id and by when it was added, as a restore brings both back: an id that was added anew
since its deletion has another time, and stays, whatever the clocks say.
"""

import asyncio
import os
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from runtime.errors import StartupError, TwinError
from runtime.logs import get_logger
from vectorstore import change_log
from vectorstore.audit import AuditAction
from vectorstore.database import Database
from vectorstore.delete_rows import Doomed, delete_rows
from vectorstore.index.sealed_file import sync_folder
from vectorstore.metrics import JOURNAL_FAILURES, PHOTOS_DELETED

FOLLOW_INTERVAL_S: Final = 30.0
_BATCH: Final = 1000
_NEXT_SQL: Final = """
    SELECT deletion_id, delete_time, photo_create_time, photo_id FROM deletions
    WHERE deletion_id > $1 ORDER BY deletion_id LIMIT $2
"""
_FIND_SQL: Final = """
    SELECT photo_id FROM photos JOIN unnest($1::uuid[], $2::timestamptz[]) AS deleted (photo_id, create_time)
    USING (photo_id, create_time)
"""

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, order=True)
class DeletedPhoto:
    """A photo that was there and is to stay deleted. create_time: when it was added."""

    create_time: datetime
    photo_id: uuid.UUID


class DeletionJournal:
    """One file, readable by its owner alone. Lines are added at its end and dropped once they are too old."""

    def __init__(self, database: Database, path: Path, retention: timedelta) -> None:
        self._database = database
        self._path = path
        self._retention = retention
        self._turn = asyncio.Lock()
        self._last_deletion_id = 0
        # What was written last may have no end, after a crash or on a full disk: the next begins on a line of its own.
        self._is_torn = False

    async def open(self) -> int:
        """Deletes again what the journal names and the database holds, brings the journal up to date; returns how many.

        To be called before anything is served. Raises StartupError, and what ``Database.writing`` raises.
        """
        try:
            lines = await asyncio.to_thread(self._read)
        except OSError as error:
            raise StartupError(
                f"the journal of deletions cannot be used ({type(error).__name__}): make {self._path} readable and "
                "writable, or set TWIN_DELETION_JOURNAL to another file"
            ) from None
        deleted = await asyncio.to_thread(self._parse, lines)
        count = await self._delete_again(sorted(deleted))
        await self.catch_up(deleted)
        if count:
            _log.warning("photos that had been deleted were in the database again; deleted again", photos=count)
        return count

    async def catch_up(self, known: Collection[DeletedPhoto] = ()) -> None:
        """Writes what was deleted since the last time. A failure is logged and counted, and made good the next time.

        known: photos that the file names already.
        """
        try:
            await self._write_missing(known)
        except (OSError, TwinError) as error:
            _note_failure(error)

    async def follow(self) -> None:
        """Catches up again and again, for what other replicas deleted and what ran out."""
        while True:
            await asyncio.sleep(FOLLOW_INTERVAL_S)
            await self.catch_up()

    async def _delete_again(self, deleted: Sequence[DeletedPhoto]) -> int:
        count = 0
        for start in range(0, len(deleted), _BATCH):
            some = deleted[start : start + _BATCH]
            named = [one.photo_id for one in some], [one.create_time for one in some]
            async with self._database.reading() as connection:
                if not await connection.fetch(_FIND_SQL, *named):
                    continue
            async with self._database.writing() as connection:
                await change_log.take_turn(connection)
                doomed = [Doomed(row["photo_id"], "") for row in await connection.fetch(_FIND_SQL, *named)]
                deletions = await delete_rows(connection, doomed, AuditAction.DELETE_PHOTO, 0)
            count += len(deletions)
        PHOTOS_DELETED.labels("restored").inc(count)
        return count

    async def _write_missing(self, known: Collection[DeletedPhoto]) -> None:
        async with self._turn:
            rows = [None] * _BATCH
            while len(rows) == _BATCH:
                async with self._database.reading() as connection:
                    rows = await connection.fetch(_NEXT_SQL, self._last_deletion_id, _BATCH)
                oldest = datetime.now(UTC) - self._retention
                lines = [
                    f"{row['delete_time'].isoformat()} {row['photo_create_time'].isoformat()} {row['photo_id']}\n"
                    for row in rows
                    if row["photo_create_time"] is not None
                    and row["delete_time"] >= oldest
                    and DeletedPhoto(row["photo_create_time"], row["photo_id"]) not in known
                ]
                if lines:
                    await asyncio.to_thread(self._append, "".join(lines))
                if rows:
                    self._last_deletion_id = rows[-1]["deletion_id"]

    def _read(self) -> list[str]:
        """Returns the file's lines; makes the file where there is none, and fails where it could not be written."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600))
        text = self._path.read_text(errors="replace")
        self._is_torn = bool(text) and not text.endswith("\n")
        return text.splitlines()

    def _parse(self, lines: Sequence[str]) -> set[DeletedPhoto]:
        """Returns what the lines name, and drops those that are too old from the file. One cut short is passed over."""
        oldest = datetime.now(UTC) - self._retention
        deleted: set[DeletedPhoto] = set()
        kept: list[str] = []
        has_old = False
        for line in lines:
            try:
                delete_time, create_time, photo_id = line.split(" ")
                is_old = datetime.fromisoformat(delete_time).astimezone(UTC) < oldest
                photo = DeletedPhoto(datetime.fromisoformat(create_time).astimezone(UTC), uuid.UUID(photo_id))
            except ValueError:
                continue
            if is_old:
                has_old = True
            else:
                deleted.add(photo)
                kept.append(f"{line}\n")
        if has_old:
            try:
                self._replace("".join(kept))
            except OSError as error:
                _note_failure(error)
        return deleted

    def _append(self, lines: str) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "a") as file:
            start = "\n" if self._is_torn else ""
            self._is_torn = True
            file.write(start + lines)
            file.flush()
            os.fsync(file.fileno())
            self._is_torn = False

    def _replace(self, lines: str) -> None:
        unfinished = self._path.with_name(f"{self._path.name}.unfinished")
        unfinished.unlink(missing_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self._path)
        sync_folder(self._path.parent)
        self._is_torn = False


def _note_failure(error: Exception) -> None:
    JOURNAL_FAILURES.inc()
    _log.error("the journal of deletions could not be written; trying again", error=type(error).__name__)
