"""Deleting photos: by whoever holds the token, by an admin, or because the consent ran out.

A photo's row, its faces and the change are written in one transaction with a row of ``deletions``. That row answers
the same deletion asked for again, and stays in the outbox (``removals.py``) until whoever keeps the originals confirms
that this one is gone. An id that was deleted may be added anew; deletions are therefore counted by deletion and not by
photo. Deletions that are asked for at once are committed together. None is answered before the journal has it
(``deletion_journal.py``), unless that cannot be written.
"""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from runtime import failpoints, logs
from runtime.errors import NotFound, NotReady, Overloaded, TwinError
from runtime.logs import get_logger
from vectorstore import change_log
from vectorstore.audit import AuditAction
from vectorstore.database import Database
from vectorstore.delete_rows import Doomed, delete_rows
from vectorstore.deletion_journal import DeletionJournal
from vectorstore.deletion_token import opens
from vectorstore.follower import Follower
from vectorstore.metrics import PHOTOS_DELETED
from vectorstore.records import DeletionRecord
from vectorstore.rows_sql import deletion_from_row

APPLY_TIMEOUT_S: Final = 10.0
MAX_BATCH_PHOTOS: Final = 512
MAX_WAITING_PHOTOS: Final = 4096
_EXPIRY_BATCH: Final = 1000
# Batches that are committed and wait for the index; with more, the next commit waits.
_MAX_UNAPPLIED_BATCHES: Final = 2
# Of each photo, the last deletions that may be asked for again.
_EARLIER_SQL: Final = """
    SELECT earlier.* FROM unnest($1::uuid[]) AS asked (photo_id) CROSS JOIN LATERAL (
        SELECT * FROM deletions d WHERE d.photo_id = asked.photo_id ORDER BY deletion_id DESC LIMIT 16
    ) AS earlier
"""

_log = get_logger(__name__)

Outcome = DeletionRecord | Exception


@dataclass(frozen=True, slots=True)
class _Asked:
    photo_id: uuid.UUID
    # Checked unless None.
    token: str | None
    request_id: str
    answer: "asyncio.Future[DeletionRecord]"


class PhotoDeleter:
    """One queue for all callers and one task that empties it."""

    def __init__(self, database: Database, follower: Follower, journal: DeletionJournal) -> None:
        self._database = database
        self._follower = follower
        self._journal = journal
        self._queue: asyncio.Queue[_Asked] = asyncio.Queue(MAX_WAITING_PHOTOS)
        self._unapplied = asyncio.Semaphore(_MAX_UNAPPLIED_BATCHES)
        self._has_ended = False

    async def delete(self, photo_id: uuid.UUID, token: str | None) -> DeletionRecord:
        """Deletes a photo, durably and from this replica's searches; answers the same when it was deleted before.

        token: checked unless None. Raises NotFound for an unknown photo and for a wrong token, in the same words, and
        Overloaded when too many deletions wait.
        """
        return await self._ask(photo_id, token)

    async def delete_many(self, photo_ids: Sequence[uuid.UUID]) -> list[DeletionRecord | Exception]:
        """Deletes photos without looking at their tokens; returns what ``delete`` returns or raises for each."""
        if self._queue.qsize() + len(photo_ids) > MAX_WAITING_PHOTOS:
            raise Overloaded
        answers = [self._ask(photo_id, None) for photo_id in photo_ids]
        outcomes = await asyncio.gather(*answers, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, Exception):
                raise outcome
        return [outcome for outcome in outcomes if isinstance(outcome, DeletionRecord | Exception)]

    def _ask(self, photo_id: uuid.UUID, token: str | None) -> "asyncio.Future[DeletionRecord]":
        answer: asyncio.Future[DeletionRecord] = asyncio.get_running_loop().create_future()
        if self._has_ended:
            raise NotReady("the service is shutting down")
        try:
            self._queue.put_nowait(_Asked(photo_id, token, logs.request_id.get(), answer))
        except asyncio.QueueFull:
            raise Overloaded from None
        return answer

    async def run(self) -> None:
        """Commits what is queued, for ever; when it ends, those who still wait are told."""
        batch: list[_Asked] = []
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    batch = [await self._queue.get()]
                    while len(batch) < MAX_BATCH_PHOTOS and not self._queue.empty():
                        batch.append(self._queue.get_nowait())
                    # A deletion whose caller has left is done all the same: it may be withdrawn consent.
                    await self._unapplied.acquire()
                    outcomes = await self._delete(batch)
                    group.create_task(self._answer(batch, outcomes))
                    batch = []
        finally:
            self._has_ended = True
            while not self._queue.empty():
                batch.append(self._queue.get_nowait())
            _resolve(batch, [NotReady("the service is shutting down")] * len(batch))

    async def _delete(self, batch: Sequence[_Asked]) -> list[Outcome]:
        try:
            return await self._delete_together(batch)
        except TwinError as error:
            return [error] * len(batch)
        except Exception as error:
            if len(batch) == 1:
                return [error]
            # One of them is at fault; the others are not to suffer for it.
            half = len(batch) // 2
            return [*await self._delete(batch[:half]), *await self._delete(batch[half:])]

    async def _delete_together(self, batch: Sequence[_Asked]) -> list[Outcome]:
        photo_ids = list({asked.photo_id for asked in batch})
        async with self._database.writing() as connection:
            await change_log.take_turn(connection)
            photos = {
                row["photo_id"]: row
                for row in await connection.fetch(
                    "SELECT photo_id, deletion_token_sha256 FROM photos WHERE photo_id = ANY($1::uuid[])", photo_ids
                )
            }
            earlier: dict[uuid.UUID, list[Mapping[str, Any]]] = defaultdict(list)
            for row in await connection.fetch(_EARLIER_SQL, photo_ids):
                earlier[row["photo_id"]].append(row)
            doomed: dict[uuid.UUID, Doomed] = {}
            answers: list[DeletionRecord | None] = []
            for asked in batch:
                may_delete = opens(asked.token, photos.get(asked.photo_id))
                answered_before = [row for row in earlier[asked.photo_id] if opens(asked.token, row)]
                if asked.photo_id in photos and may_delete:
                    doomed.setdefault(asked.photo_id, Doomed(asked.photo_id, asked.request_id))
                    answers.append(None)
                elif answered_before:
                    # Deleted before; a photo that is there was added anew since, under another token.
                    answers.append(deletion_from_row(answered_before[0]))
                else:
                    answers.append(None)
            await failpoints.reach_async("delete.before_rows")
            deletions = await delete_rows(
                connection, list(doomed.values()), AuditAction.DELETE_PHOTO, self._follower.applied_revision
            )
            await failpoints.reach_async("delete.before_commit")
        await failpoints.reach_async("delete.committed")
        PHOTOS_DELETED.labels("asked").inc(len(deletions))
        outcomes: list[Outcome] = []
        for asked, answer in zip(batch, answers, strict=True):
            opened = asked.photo_id in deletions and opens(asked.token, photos[asked.photo_id])
            outcomes.append(answer or (deletions[asked.photo_id] if opened else NotFound("photo")))
        return outcomes

    async def _answer(self, batch: Sequence[_Asked], outcomes: list[Outcome]) -> None:
        """Answers everybody at once, so that how long it took tells nobody why a photo was not found."""
        try:
            revisions = [outcome.revision for outcome in outcomes if isinstance(outcome, DeletionRecord)]
            if revisions:
                self._follower.wake()
                await self._journal.catch_up()
                await self._follower.wait_for(max(revisions), APPLY_TIMEOUT_S)
                await failpoints.reach_async("delete.applied")
        except NotReady as error:
            outcomes = [error if isinstance(outcome, DeletionRecord) else outcome for outcome in outcomes]
        except asyncio.CancelledError:
            outcomes = [NotReady("the service is shutting down")] * len(batch)
            raise
        finally:
            _resolve(batch, outcomes)
            self._unapplied.release()

    async def delete_expired(self) -> int:
        """Deletes photos whose consent ran out; returns how many."""
        async with self._database.writing() as connection:
            await change_log.take_turn(connection)
            rows = await connection.fetch(
                "SELECT photo_id FROM photos WHERE expire_time <= now() ORDER BY expire_time LIMIT $1", _EXPIRY_BATCH
            )
            request_id = logs.request_id.get()
            doomed = [Doomed(row["photo_id"], request_id) for row in rows]
            deletions = await delete_rows(connection, doomed, AuditAction.EXPIRE_PHOTO, self._follower.applied_revision)
            await failpoints.reach_async("expiry.before_commit")
        await failpoints.reach_async("expiry.committed")
        self._follower.wake()
        PHOTOS_DELETED.labels("expired").inc(len(deletions))
        return len(deletions)

    async def expire(self, interval_s: float) -> None:
        """Deletes expired photos for ever; while PostgreSQL is away, tries again at the next turn."""
        while True:
            try:
                while await self.delete_expired() == _EXPIRY_BATCH:
                    pass
            except TwinError as error:
                _log.warning("expired photos could not be deleted; trying again", reason=error.reason)
            await asyncio.sleep(interval_s)


def _resolve(batch: Sequence[_Asked], outcomes: Sequence[Outcome]) -> None:
    for asked, outcome in zip(batch, outcomes, strict=True):
        if asked.answer.done():
            continue
        if isinstance(outcome, DeletionRecord):
            asked.answer.set_result(outcome)
        else:
            asked.answer.set_exception(outcome)
