"""The journal of deletions: a file apart from the database, so that what was deleted stays so after a restore.

It follows the table ``deletions``, by ids that rise in the order of commits, and so has the deletions of other replicas
too. A line names a photo by its id and by when it was added, as a restore brings both back: an id that was added anew
since its deletion has another time, and stays, whatever the clocks say.
"""

import asyncio
import fcntl
import os
import time
import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
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
# For a file that another replica has; it is written within milliseconds, unless its disk hangs.
_LOCK_PATIENCE_S: Final = 10.0
_LOCK_POLL_S: Final = 0.01
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


@dataclass(frozen=True, slots=True)
class _Line:
    delete_time: datetime
    photo: DeletedPhoto
    text: str


class DeletionJournal:
    """One file, readable by its owner alone. Lines are added at its end and dropped once they are too old.

    Replicas may share it: each writes every deletion, and one at a time has the file.
    """

    def __init__(self, database: Database, path: Path, retention: timedelta) -> None:
        self._database = database
        self._path = path
        self._retention = retention
        self._turn = asyncio.Lock()
        self._last_deletion_id = 0

    async def open(self) -> int:
        """Deletes again what the journal names and the database holds, brings the journal up to date; returns how many.

        To be called before anything is served. Raises StartupError, and what ``Database.writing`` raises.
        """
        try:
            deleted = await asyncio.to_thread(self._load)
        except OSError as error:
            raise StartupError(
                f"the journal of deletions cannot be used ({type(error).__name__}): make {self._path} readable and "
                "writable, or set TWIN_DELETION_JOURNAL to another file"
            ) from None
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

    def _load(self) -> set[DeletedPhoto]:
        """Returns what the file's lines name, and drops those that are too old. One cut short is passed over.

        Makes the file where there is none, and fails where it could not be written.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        oldest = datetime.now(UTC) - self._retention
        with self._alone() as descriptor:
            with open(descriptor, errors="replace", closefd=False) as file:
                written = [line for line in map(_parse, file) if line is not None]
            kept = [line for line in written if line.delete_time >= oldest]
            if len(kept) < len(written):
                try:
                    self._replace("".join(line.text for line in kept))
                except OSError as error:
                    _note_failure(error)
        return {line.photo for line in kept}

    def _append(self, lines: str) -> None:
        with self._alone() as descriptor:
            size = os.fstat(descriptor).st_size
            # What was written last, here or elsewhere, may have no end, after a crash or on a full disk.
            is_torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            with open(descriptor, "ab", closefd=False) as file:
                file.write((f"\n{lines}" if is_torn else lines).encode())
            os.fsync(descriptor)

    @contextmanager
    def _alone(self) -> Iterator[int]:
        """Yields the file, made where there is none, to read and to append to, while no other replica has it.

        Raises TimeoutError when another one does not give it back.
        """
        give_up_s = time.monotonic() + _LOCK_PATIENCE_S
        while True:
            descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                _lock(descriptor, give_up_s)
                # While it was waited for, another file may have taken its place.
                if self._is_in_place(descriptor):
                    yield descriptor
                    return
            finally:
                os.close(descriptor)

    def _is_in_place(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self._path.stat())
        except FileNotFoundError:
            return False

    def _replace(self, lines: str) -> None:
        unfinished = self._path.with_name(f"{self._path.name}.unfinished")
        unfinished.unlink(missing_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self._path)
        sync_folder(self._path.parent)


def _parse(text: str) -> _Line | None:
    text = text.removesuffix("\n")
    try:
        delete_time, create_time, photo_id = text.split(" ")
        photo = DeletedPhoto(datetime.fromisoformat(create_time).astimezone(UTC), uuid.UUID(photo_id))
        return _Line(datetime.fromisoformat(delete_time).astimezone(UTC), photo, f"{text}\n")
    except ValueError:
        return None


def _lock(descriptor: int, give_up_s: float) -> None:
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up_s:
                raise TimeoutError("another vector store does not give it back") from None
        time.sleep(_LOCK_POLL_S)


def _note_failure(error: Exception) -> None:
    JOURNAL_FAILURES.inc()
    _log.error("the journal of deletions could not be written; trying again", error=type(error).__name__)
