"""One transaction that adds many photos: rows by COPY, one change for each gallery, and the audit.

A change names every face that the transaction adds to its gallery, under the last of their photos' revisions. So the
log grows with transactions and not with photos, and whoever has applied a change has applied all revisions below it.
"""

import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from runtime import failpoints
from runtime.errors import TwinError
from vectorstore import change_log
from vectorstore.database import Database
from vectorstore.known_photos import KnownPhotos, NewPhoto, SameAs
from vectorstore.metrics import ADD_BATCH_PHOTOS, PHOTOS_ADDED
from vectorstore.own_rows import OwnFaces, OwnRows
from vectorstore.prepared_photos import Given, PreparedPhotos, by_gallery, prepare
from vectorstore.records import StoredPhoto

Outcome = StoredPhoto | TwinError


async def store_photos(
    database: Database,
    own_rows: OwnRows,
    batch: Sequence[NewPhoto],
    applied_revision: int,
    prepared: PreparedPhotos | None = None,
) -> list[Outcome]:
    """Adds what is new of the batch, and returns every photo's outcome once all is committed.

    applied_revision: what this replica had applied before. prepared: the whole batch, ``by_gallery``.
    Raises what ``Database.writing`` raises; then none of the batch is added, or, when the connection broke in the
    middle of the commit, nobody knows: the same photos added again tell.
    """
    async with contextlib.AsyncExitStack() as after_commit, database.writing() as connection:
        await change_log.take_turn(connection)
        known = await KnownPhotos.read(connection, batch)
        answers: list[StoredPhoto | SameAs | TwinError | None]
        if prepared is not None and prepared.are_distinct and known.has_nothing_but(prepared.gallery_ids):
            answers = [None] * len(batch)
        else:
            answers = [known.answer_to(new, position) for position, new in enumerate(batch)]
        places = by_gallery(batch, [position for position, answer in enumerate(answers) if answer is None])
        added: dict[int, StoredPhoto] = {}
        if places:
            new = [batch[position] for position in places]
            if prepared is None or len(new) < len(batch):
                prepared = await prepare(new)
            stored, own_faces = await _write(connection, new, prepared, applied_revision)
            added = dict(zip(places, stored, strict=True))
            await after_commit.enter_async_context(own_rows.offered(own_faces))
            await failpoints.reach_async("add.before_commit")
    await failpoints.reach_async("add.committed")
    if added:
        ADD_BATCH_PHOTOS.observe(len(added))
        PHOTOS_ADDED.inc(len(added))
    return [_outcome(position, batch, answers, added) for position in range(len(batch))]


async def _write(
    connection: Any, new: Sequence[NewPhoto], prepared: PreparedPhotos, applied_revision: int
) -> tuple[list[StoredPhoto], dict[int, OwnFaces]]:
    """Writes everything in the caller's transaction, within its turn.

    Returns what the photos were given, and by the revision of its change what the follower needs of each gallery.
    """
    numbers = await change_log.log_added(
        connection, prepared.runs, len(new), prepared.face_count, above=applied_revision
    )
    given = Given(*numbers, datetime.now(UTC))
    await failpoints.reach_async("add.before_copy")
    await prepared.copy_photos(connection, given)
    await failpoints.reach_async("add.between_copies")
    await prepared.copy_faces(connection, given)
    await prepared.copy_audit(connection, given)
    return prepared.stored(given), prepared.own_faces(given)


def _outcome(
    position: int,
    batch: Sequence[NewPhoto],
    answers: Sequence[StoredPhoto | SameAs | TwinError | None],
    added: dict[int, StoredPhoto],
) -> Outcome:
    answer, source = answers[position], position
    if isinstance(answer, SameAs):
        # The same photo twice in one batch: the second is answered what the first is.
        source = answer.position
        answer = answers[source]
    if answer is None:
        answer = added[source]
    assert not isinstance(answer, SameAs)
    if isinstance(answer, StoredPhoto) and batch[position].wants_photo and answer.photo is None:
        return answer._replace(photo=batch[source].photo.stored(answer))
    return answer
