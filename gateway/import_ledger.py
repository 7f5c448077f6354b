"""What is recorded of imports: each file once, what became of it, and the counts, all in step.

An import is one folder of one store into one gallery. It is done in runs: a run that was cut off goes on, and the next
one begins when it is finished. Everything is written under the lock of the import's row, so that counts are exact and
failures are numbered in the order in which others see them.
"""

import uuid
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from gateway import import_sql
from gateway.import_database import Connection, mapped_errors
from gateway.import_queue import ImportQueue
from gateway.import_records import (
    ADDED,
    FAILED,
    UNCHANGED,
    FailedFile,
    ImportRun,
    ListedFile,
    OpenFile,
    RunState,
    Settled,
)
from gateway.orders import ImportOrder

# One job's photos: few, so that the work of a worker that died is soon done again, and that many share an import.
PAGE_FILES: Final = 16
# Failures told at a time, so that a message stays within what gRPC carries; and jobs looked after at a time.
MAX_FAILURES_EACH: Final = 1000
_MAX_MENDED: Final = 1000


class ImportLedger:
    """The records in one database. Every method raises DependencyUnavailable."""

    def __init__(self, pool: "asyncpg.Pool[Any]") -> None:
        self._pool = pool
        self._queue = ImportQueue(pool, is_pool=True)

    async def begin(self, order: ImportOrder, store: str, gallery_made_s: float) -> ImportRun:
        """Begins a run, or joins the one that is not finished yet, and queues what is missing of its jobs.

        gallery_made_s: seconds since 1970; a gallery that was made anew lacks what did not change.
        """
        with mapped_errors():
            row: Any = await self._pool.fetchrow(
                import_sql.BEGIN,
                order.gallery,
                store,
                order.folder,
                order.collection,
                order.all_faces,
                gallery_made_s,
            )
            run = ImportRun(row["import_id"], row["run"], order, row["change_token"])
        await self.mend(run)
        return run

    async def mend(self, run: ImportRun) -> None:
        """Queues the jobs that a run needs and has not; none is known to get lost, and none is missed if it does."""
        with mapped_errors():
            is_walked = await self._pool.fetchval(
                "SELECT is_walked FROM imports WHERE import_id = $1 AND run = $2", run.import_id, run.run
            )
            pages = await self._pool.fetch(
                "SELECT DISTINCT page FROM import_files WHERE import_id = $1 AND run = $2 AND outcome IS NULL LIMIT $3",
                run.import_id,
                run.run,
                _MAX_MENDED,
            )
            jobs = [_page_job(run, row["page"]) for row in pages]
            if is_walked is False:
                jobs.append({"run": run.run})
            await self._queue.put(run.import_id, jobs)

    async def list_files(self, run: ImportRun, files: Sequence[ListedFile]) -> None:
        """Records files that were found and queues them as one job; those that are there already change nothing."""
        page = uuid.uuid4()
        async with self._of_run(run) as connection:
            if connection is None:
                return
            new = await connection.fetch(
                import_sql.LIST,
                run.import_id,
                run.run,
                page,
                [file.key for file in files],
                [file.path for file in files],
                [file.fingerprint for file in files],
                [file.size_bytes for file in files],
                [file.person for file in files],
                [file.collection for file in files],
            )
            if new:
                await connection.execute(
                    "UPDATE imports SET seen_count = seen_count + $2 WHERE import_id = $1", run.import_id, len(new)
                )
                await ImportQueue(connection).put(run.import_id, [_page_job(run, page)])

    async def list_failed(self, run: ImportRun) -> None:
        """Queues the files again that failed in the run before, for a run that does not find them by itself."""
        while True:
            with mapped_errors():
                rows = await self._pool.fetch(import_sql.FAILED_BEFORE, run.import_id, run.run, _MAX_MENDED)
            files = [_listed_file(row) for row in rows]
            if not files:
                return
            for start in range(0, len(files), PAGE_FILES):
                await self.list_files(run, files[start : start + PAGE_FILES])

    async def forget(self, run: ImportRun, keys: Collection[str]) -> None:
        """Forgets files that are gone from the folder; their photos are the reconciliation's to find."""
        with mapped_errors():
            await self._pool.execute(
                "DELETE FROM import_files WHERE import_id = $1 AND run < $2 AND key = ANY($3)",
                run.import_id,
                run.run,
                keys,
            )

    async def look_at_all(self, run: ImportRun) -> None:
        """Records that a run does not follow changes after all."""
        with mapped_errors():
            await self._pool.execute(
                "UPDATE imports SET change_token = NULL WHERE import_id = $1 AND run = $2", run.import_id, run.run
            )

    async def end_walk(self, run: ImportRun, next_change_token: str | None) -> None:
        """Records that every file is listed, and from where the next run may follow changes."""
        async with self._of_run(run) as connection:
            if connection is not None:
                await connection.execute(import_sql.END_WALK, run.import_id, run.run, next_change_token)

    async def metadata_files(self, run: ImportRun) -> dict[str, str]:
        """Returns the paths of the files that say something of the folder's photos, by key."""
        with mapped_errors():
            rows = await self._pool.fetch("SELECT key, path FROM import_metadata WHERE import_id = $1", run.import_id)
        return {row["key"]: row["path"] for row in rows}

    async def set_metadata_files(self, run: ImportRun, paths: Mapping[str, str]) -> None:
        """Keeps which files say something of the folder's photos."""
        async with self._of_run(run) as connection:
            if connection is not None:
                await connection.execute("DELETE FROM import_metadata WHERE import_id = $1", run.import_id)
                await connection.execute(
                    "INSERT INTO import_metadata SELECT $1, key, path "
                    "FROM unnest($2::text[], $3::text[]) AS t (key, path)",
                    run.import_id,
                    list(paths),
                    list(paths.values()),
                )

    async def open_files(self, run: ImportRun, page: str) -> list[OpenFile]:
        """Returns what is left to do of a page."""
        with mapped_errors():
            rows = await self._pool.fetch(import_sql.OPEN, run.import_id, run.run, uuid.UUID(page))
        return [_open_file(row, run.run) for row in rows]

    async def find_content(self, run: ImportRun, fingerprint: str) -> str | None:
        """Returns the photo that the same content became in this gallery, from whichever folder it came."""
        with mapped_errors():
            photo_id = await self._pool.fetchval(
                "SELECT photo_id FROM import_files JOIN imports USING (import_id) WHERE fingerprint = $1 "
                "AND photo_id IS NOT NULL AND gallery = $2 AND outcome IN ('added', 'unchanged') LIMIT 1",
                fingerprint,
                run.order.gallery,
            )
        return None if photo_id is None else str(photo_id)

    async def will_enrol(self, run: ImportRun, key: str, photo_id: str) -> None:
        """Records that a file is about to be enrolled, so that whoever does it again knows it for this run's work."""
        with mapped_errors():
            await self._pool.execute(
                "UPDATE import_files SET photo_id = $4, enrolling_run = $2 "
                "WHERE import_id = $1 AND run = $2 AND key = $3",
                run.import_id,
                run.run,
                key,
                uuid.UUID(photo_id),
            )

    async def settle(self, run: ImportRun, settled: Collection[Settled]) -> None:
        """Records what became of files, once; what somebody else has recorded meanwhile stays."""
        async with self._of_run(run) as connection:
            if connection is None:
                return
            failure_number = await connection.fetchval(import_sql.LOCK, run.import_id, run.run)
            rows = await connection.fetch(
                "SELECT key FROM import_files WHERE import_id = $1 AND run = $2 AND key = ANY($3) AND outcome IS NULL",
                run.import_id,
                run.run,
                [file.key for file in settled],
            )
            still_open = {row["key"] for row in rows}
            files = [file for file in settled if file.key in still_open]
            numbers: list[int | None] = []
            for file in files:
                failure_number += file.outcome == FAILED
                numbers.append(failure_number if file.outcome == FAILED else None)
            await connection.execute(
                import_sql.SETTLE,
                run.import_id,
                run.run,
                [file.key for file in files],
                [file.outcome for file in files],
                [None if file.photo_id is None else uuid.UUID(file.photo_id) for file in files],
                [file.error for file in files],
                numbers,
            )
            outcomes = [file.outcome for file in files]
            await connection.execute(
                "UPDATE imports SET added_count = added_count + $2, unchanged_count = unchanged_count + $3, "
                "failed_count = failed_count + $4 WHERE import_id = $1",
                run.import_id,
                outcomes.count(ADDED),
                outcomes.count(UNCHANGED),
                outcomes.count(FAILED),
            )

    async def note_attempt(self, run: ImportRun, keys: Collection[str]) -> None:
        """Records that files were tried in vain."""
        with mapped_errors():
            await self._pool.execute(
                "UPDATE import_files SET attempt_count = attempt_count + 1 "
                "WHERE import_id = $1 AND run = $2 AND key = ANY($3)",
                run.import_id,
                run.run,
                keys,
            )

    async def state(self, run: ImportRun, told_failures: int) -> RunState:
        """Returns how far a run is, with the failures after those that were told; finishes a run that is done."""
        with mapped_errors():
            async with self._pool.acquire() as connection, connection.transaction():
                finished = await connection.fetchrow(import_sql.FINISH, run.import_id, run.run)
                if finished is not None:
                    if finished["change_token"] is None:
                        # It looked at every file: what it did not find is there no more.
                        await connection.execute(
                            "DELETE FROM import_files WHERE import_id = $1 AND run < $2", run.import_id, run.run
                        )
                    await ImportQueue(connection).clear(run.import_id)
                row: Any = await connection.fetchrow("SELECT * FROM imports WHERE import_id = $1", run.import_id)
                failures = await connection.fetch(
                    "SELECT failure_number, path, error FROM import_files "
                    "WHERE import_id = $1 AND run = $2 AND failure_number > $3 ORDER BY failure_number LIMIT $4",
                    run.import_id,
                    run.run,
                    told_failures,
                    MAX_FAILURES_EACH,
                )
        return RunState(
            row["seen_count"],
            row["added_count"],
            row["unchanged_count"],
            row["failed_count"],
            row["is_walked"],
            row["is_finished"] or row["run"] != run.run,
            tuple(FailedFile(failure["failure_number"], failure["path"], failure["error"]) for failure in failures),
        )

    @asynccontextmanager
    async def _of_run(self, run: ImportRun) -> AsyncIterator[Connection | None]:
        """Lends a connection in a transaction that holds the run's lock; None when the run is over."""
        with mapped_errors():
            async with self._pool.acquire() as connection, connection.transaction():
                is_there = await connection.fetchval(import_sql.LOCK, run.import_id, run.run) is not None
                yield connection if is_there else None


def _page_job(run: ImportRun, page: uuid.UUID) -> dict[str, Any]:
    return {"run": run.run, "page": str(page)}


def _listed_file(row: Any) -> ListedFile:
    return ListedFile(row["key"], row["path"], row["size_bytes"], row["fingerprint"], row["person"], row["collection"])


def _open_file(row: Any, run: int) -> OpenFile:
    photo_id = None if row["photo_id"] is None else str(row["photo_id"])
    return OpenFile(_listed_file(row), photo_id, row["enrolling_run"] == run, row["attempt_count"])
