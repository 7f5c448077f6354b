"""The audit log: every action is in it, and whatever is done to it afterwards is found."""

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import numpy as np
import pytest
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from runtime import failpoints
from tests.vectorstore.conftest import StartStore, Store
from tests.vectorstore.wire import DIMENSION, MODEL, add, add_one, photo, random_unit, refused
from vectorstore import change_log
from vectorstore.audit_check import check_audit
from vectorstore.database import Database
from vectorstore.migrate import MIGRATIONS_FOLDER, migrate, read_migrations

Rng = np.random.Generator
CODE = grpc.StatusCode


async def _verify(stub: Any, known: pb.AuditHead | None = None) -> pb.VerifyAuditResponse:
    answers: list[pb.VerifyAuditResponse] = [
        answer async for answer in stub.VerifyAudit(pb.VerifyAuditRequest(known_head=known))
    ]
    assert not any(answer.HasField("fault") for answer in answers[:-1])
    return answers[-1]


async def _add_many(stub: Any, rng: Rng, count: int) -> None:
    async def one() -> Any:
        yield pb.AddPhotosRequest(photos=[photo(random_unit(rng)) for _ in range(count)])

    (answer,) = [answer async for answer in stub.AddPhotos(one())]
    assert all(result.HasField("stored") for result in answer.results)


@pytest.fixture
async def log(stub: Any, rng: Rng) -> Any:
    """A store with eight links: a gallery, six photos by themselves, and then six in one transaction."""
    for _ in range(6):
        await add_one(stub, photo(random_unit(rng)))
    await _add_many(stub, rng, 6)
    return stub


async def test_each_transaction_is_a_link_whatever_it_adds(log: Any, database: Any) -> None:
    outcome = await _verify(log)
    assert not outcome.HasField("fault")
    assert (outcome.entry_count, outcome.head.link_id, outcome.link_count) == (13, 8, 8)
    counts = await database.fetch("SELECT entry_count FROM audit_links ORDER BY link_id")
    assert [row["entry_count"] for row in counts] == [1] * 7 + [6]
    assert outcome.head.sha256 == await database.fetchval("SELECT sha256 FROM audit_links WHERE link_id = 8")


async def test_a_log_without_entries_is_right(store: Store) -> None:
    outcome = await _verify(store.stub)
    assert outcome == pb.VerifyAuditResponse(head=pb.AuditHead(sha256=bytes(32)))


@pytest.mark.parametrize(
    ("tampering", "link_id"),
    [
        ("UPDATE audit_log SET action = 'delete_photo' WHERE audit_id = 4", 4),
        ("UPDATE audit_log SET audit_time = audit_time + interval '1 microsecond' WHERE audit_id = 4", 4),
        ("UPDATE audit_log SET gallery = 'other' WHERE audit_id = 4", 4),
        ("UPDATE audit_log SET photo_id = gen_random_uuid() WHERE audit_id = 4", 4),
        ("UPDATE audit_log SET photo_id = NULL WHERE audit_id = 4", 4),
        ("UPDATE audit_log SET revision = revision + 1 WHERE audit_id = 4", 4),
        ("UPDATE audit_log SET revision = NULL, photo_count = revision WHERE audit_id = 4", 4),
        ("UPDATE audit_log SET request_id = request_id || '0' WHERE audit_id = 4", 4),
        ("UPDATE audit_log SET action = action || gallery, gallery = '' WHERE audit_id = 4", 4),
        ("UPDATE audit_log SET photo_count = 1 WHERE audit_id = 10", 8),
        ("DELETE FROM audit_log WHERE audit_id = 10", 8),
        ("DELETE FROM audit_log WHERE audit_id = 13", 8),
        ("DELETE FROM audit_log", 1),
        (
            "UPDATE audit_log a SET photo_id = b.photo_id FROM audit_log b "
            "WHERE (a.audit_id, b.audit_id) IN ((9, 10), (10, 9))",
            8,
        ),
        (
            "UPDATE audit_log SET audit_id = 1000 WHERE audit_id = 9; UPDATE audit_log SET audit_id = 9 "
            "WHERE audit_id = 10; UPDATE audit_log SET audit_id = 10 WHERE audit_id = 1000",
            8,
        ),
        ("INSERT INTO audit_log (audit_id, action) VALUES (0, 'add_photo')", 1),
        ("UPDATE audit_links SET sha256 = sha256('') WHERE link_id = 5", 5),
        ("UPDATE audit_links SET entry_count = 0 WHERE link_id = 5", 5),
        ("UPDATE audit_links SET entry_count = -9 WHERE link_id = 5", 5),
        ("DELETE FROM audit_links WHERE link_id = 5", 5),
        ("DELETE FROM audit_links WHERE link_id = 5; DELETE FROM audit_log WHERE audit_id = 5", 5),
        ("DELETE FROM audit_links WHERE link_id = 1; DELETE FROM audit_log WHERE audit_id = 1", 1),
        (
            "DELETE FROM audit_links WHERE link_id = 5; DELETE FROM audit_log WHERE audit_id = 5; "
            "UPDATE audit_links SET link_id = link_id - 1 WHERE link_id > 5",
            5,
        ),
        ("DELETE FROM audit_links WHERE link_id = 8", 8),
        ("DELETE FROM audit_links", 1),
    ],
)
async def test_what_is_done_to_the_log_is_found_where_it_was_done(
    log: Any, database: Any, tampering: str, link_id: int
) -> None:
    # What is added to the log by a statement is chained like any entry; here somebody sees to it that it is not.
    await database.execute("SET session_replication_role = replica")
    await database.execute("ALTER TABLE audit_log ALTER COLUMN audit_id SET GENERATED BY DEFAULT")
    await database.execute(tampering)
    await database.execute("ALTER TABLE audit_log ALTER COLUMN audit_id SET GENERATED ALWAYS")
    outcome = await _verify(log)
    assert outcome.HasField("fault"), outcome
    assert outcome.fault.link_id == link_id, outcome.fault
    assert outcome.head.link_id == link_id - 1, "what comes before it is right"


async def test_a_fault_names_the_entries_that_it_may_lie_in(log: Any, database: Any) -> None:
    await database.execute("UPDATE audit_log SET gallery = 'other' WHERE audit_id = 10")
    fault = (await _verify(log)).fault
    assert (fault.first_audit_id, fault.last_audit_id) == (8, 13)


async def test_a_cut_off_end_shows_against_a_head_that_was_kept(log: Any, database: Any, rng: Rng) -> None:
    head = (await _verify(log)).head
    await add_one(log, photo(random_unit(rng)))
    assert not (await _verify(log, head)).HasField("fault"), "a log may grow"
    await database.execute("DELETE FROM audit_links WHERE link_id > 6; DELETE FROM audit_log WHERE audit_id > 6")
    assert not (await _verify(log)).HasField("fault"), "by itself the rest is a log like any other"
    assert (await _verify(log, head)).fault.link_id == 7


async def test_a_log_that_was_written_anew_shows_against_a_head_that_was_kept(log: Any, database: Any) -> None:
    head = (await _verify(log)).head
    await database.execute("UPDATE audit_log SET gallery = 'other' WHERE audit_id = 3; DELETE FROM audit_links")
    for last_id in (1, 2, 3, 4, 5, 6, 7, 13):
        await database.execute("SELECT seal_audit_log($1)", last_id)
    again = await _verify(log)
    assert (again.head.link_id, again.HasField("fault")) == (8, False)
    assert (await _verify(log, head)).fault.link_id == 8


async def test_a_head_that_is_none_is_refused(stub: Any) -> None:
    with refused(CODE.INVALID_ARGUMENT, "INVALID_FIELD") as refusal:
        await _verify(stub, pb.AuditHead(link_id=1, sha256=b"short"))
    assert refusal.fields == ("known_head",)


async def test_replicas_that_write_at_once_make_one_chain(start_store: StartStore) -> None:
    async with start_store("one") as one, start_store("two") as two:
        await one.stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))
        await two.service._follower.wait_for(1, 10)

        async def write(store: Store, seed: int) -> None:
            rng = np.random.default_rng(seed)
            for _ in range(15):
                added, _ = await add(store.stub, photo(random_unit(rng)), photo(random_unit(rng)))
                await store.stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=added.photo_id))
                await store.stub.ConfirmRemoval(pb.ConfirmRemovalRequest(photo_id=added.photo_id))

        with failpoints.armed("add.before_commit=sleep:0.01%50"):
            await asyncio.gather(write(one, 1), write(two, 2))
        outcome = await _verify(one.stub)
    assert not outcome.HasField("fault"), outcome.fault
    assert outcome.entry_count == 1 + 2 * 15 * 4


async def test_the_word_that_an_original_is_gone_waits_for_its_turn(stub: Any, rng: Rng, database: Any) -> None:
    """An entry that has its number before it has the turn would come between those that are under a link already."""
    added = await add_one(stub, photo(random_unit(rng)))
    await stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=added.photo_id))
    async with database.transaction():
        await change_log.take_turn(database)
        confirming = asyncio.ensure_future(stub.ConfirmRemoval(pb.ConfirmRemovalRequest(photo_id=added.photo_id)))
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        async with asyncio.timeout(10):
            while not await database.fetchval(waiting):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await database.execute("INSERT INTO audit_log (action) VALUES ('somebody else')")
    await confirming
    assert not (await _verify(stub)).HasField("fault")


async def test_an_entry_is_sealed_whoever_writes_it(stub: Any, database: Any) -> None:
    await database.execute("INSERT INTO audit_log (action) SELECT 'by hand' FROM generate_series(1, 3)")
    outcome = await _verify(stub)
    assert (outcome.entry_count, outcome.HasField("fault")) == (4, False)


async def test_writers_without_a_turn_wait_for_one_another(stub: Any, database: Any, database_url: str) -> None:
    other: Any = await asyncpg.connect(database_url)
    try:
        async with database.transaction():
            await database.execute("INSERT INTO audit_log (action) VALUES ('one')")
            waiting = asyncio.ensure_future(other.execute("INSERT INTO audit_log (action) VALUES ('two')"))
            await asyncio.sleep(0.1)
        await waiting
    finally:
        await other.close()
    outcome = await _verify(stub)
    assert (outcome.entry_count, outcome.head.link_id, outcome.HasField("fault")) == (3, 3, False)


async def test_entries_of_before_the_chain_are_sealed_by_its_first_links(
    empty_database_url: str, tmp_path: Path
) -> None:
    for migration in read_migrations(MIGRATIONS_FOLDER)[:6]:
        (tmp_path / migration.name).write_text(migration.sql)
    connection: Any = await asyncpg.connect(empty_database_url)
    try:
        await migrate(connection, tmp_path)
        # A number that was given out and not used is no gap.
        await connection.execute(
            "INSERT INTO audit_log (action, photo_id) SELECT 'add_photo', gen_random_uuid() "
            "FROM generate_series(1, 2500);"
            "DELETE FROM audit_log WHERE audit_id IN (1, 1000, 2500)"
        )
        await migrate(connection)
        await connection.execute("INSERT INTO audit_log (action) VALUES ('by hand')")
        counts = [row["entry_count"] for row in await connection.fetch("SELECT entry_count FROM audit_links")]
        assert counts == [1000, 1000, 497, 1]
    finally:
        await connection.close()
    old = Database()
    await old.open(empty_database_url)
    try:
        states = [state async for state in check_audit(old)]
    finally:
        await old.close()
    assert (states[-1].entry_count, states[-1].head.link_id, states[-1].fault) == (2498, 4, None)


async def test_a_long_log_is_read_in_pieces(stub: Any, database: Any) -> None:
    for _ in range(6):
        await database.execute("INSERT INTO audit_log (action) SELECT 'by hand' FROM generate_series(1, 1500)")
    answers = [answer async for answer in stub.VerifyAudit(pb.VerifyAuditRequest())]
    assert [answer.entry_count for answer in answers[:-1]] == [1501, 3001, 4501, 6001, 7501, 9001]
    assert answers[-1].entry_count == 9001


async def test_the_log_is_listed_newest_first_page_by_page(log: Any) -> None:
    await log.RecordAudit(
        pb.RecordAuditRequest(action=pb.EXTERNAL_ACTION_RECONCILE, photo_count=3), metadata=(("x-request-id", "me"),)
    )
    await log.CreateSnapshot(pb.CreateSnapshotRequest())
    entries: list[pb.AuditEntry] = []
    token = ""
    while True:
        page = await log.ListAudit(pb.ListAuditRequest(page_size=4, page_token=token))
        entries += page.entries
        token = page.next_page_token
        if not token:
            break
    assert [entry.audit_id for entry in entries] == list(range(15, 0, -1))
    assert [entry.action for entry in entries[:3]] == ["create_snapshot", "reconcile", "add_photo"]
    assert (entries[1].photo_count, entries[1].request_id, entries[1].photo_id) == (3, "me", "")
    assert entries[2].gallery == "default" and entries[2].photo_id and entries[2].revision
    assert entries[-1].action == "create_gallery"


@pytest.mark.parametrize(
    ("field", "request_"),
    [
        ("action", pb.RecordAuditRequest()),
        ("action", pb.RecordAuditRequest(action=99)),  # type: ignore[arg-type]
        ("photo_count", pb.RecordAuditRequest(action=pb.EXTERNAL_ACTION_RECONCILE, photo_count=-1)),
        ("gallery", pb.RecordAuditRequest(action=pb.EXTERNAL_ACTION_RECONCILE, gallery="No such name")),
    ],
)
async def test_what_callers_record_is_checked(stub: Any, field: str, request_: pb.RecordAuditRequest) -> None:
    with refused(CODE.INVALID_ARGUMENT, "INVALID_FIELD") as refusal:
        await stub.RecordAudit(request_)
    assert refusal.fields == (field,)


async def test_nothing_of_a_person_is_in_the_log(stub: Any, rng: Rng, database: Any) -> None:
    secrets = ["PERSONPERSON", "FILENAMEFILENAME", "KEYKEYKEY", "COLLECTIONCOLLECTION"]
    message = photo(random_unit(rng), person=secrets[0], original_filename=secrets[1], collection=secrets[3])
    message.source.key = secrets[2]
    message.deletion_token_sha256 = b"t" * 32
    added = await add_one(stub, message)
    await stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=added.photo_id))
    text = str([dict(row) for row in await database.fetch("SELECT * FROM audit_log")])
    assert added.photo_id in text
    assert not any(secret in text for secret in [*secrets, "tttt"])
