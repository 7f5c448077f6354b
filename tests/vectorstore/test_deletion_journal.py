"""The journal of deletions: what was deleted stays so after the database was restored from an older backup."""

import asyncio
import threading
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from runtime.errors import StartupError
from tests.vectorstore.conftest import StartStore
from tests.vectorstore.wire import DIMENSION, MODEL, add_one, ids, photo, random_unit, search
from vectorstore.deletion_journal import DeletionJournal
from vectorstore.metrics import JOURNAL_FAILURES

Rng = np.random.Generator


class Backup:
    """A dump that can be put back in place of what is there."""

    def __init__(self, database_url: str, programs: Path, path: Path) -> None:
        self._database_url = database_url
        self._programs = programs
        self._path = path

    async def take(self) -> None:
        await self._run("pg_dump", "--clean", "--if-exists", f"--file={self._path}")

    async def restore(self) -> None:
        await self._run("psql", "--quiet", "--set=ON_ERROR_STOP=1", "--single-transaction", f"--file={self._path}")

    async def _run(self, program: str, *arguments: str) -> None:
        process = await asyncio.create_subprocess_exec(
            self._programs / program, *arguments, self._database_url, stdout=asyncio.subprocess.DEVNULL
        )
        assert await process.wait() == 0


@pytest.fixture
async def backup(database: Any, database_url: str, tmp_path: Path) -> Backup:
    programs = await database.fetchval("SELECT setting FROM pg_config WHERE name = 'BINDIR'")
    return Backup(database_url, Path(programs), tmp_path / "dump.sql")


@pytest.fixture
def journal_file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "deletions.journal"


async def _delete(stub: Any, photo_id: str) -> None:
    await stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=photo_id))


async def _make_gallery(stub: Any) -> None:
    await stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))


async def _is_there(stub: Any, photo_id: str) -> bool:
    try:
        await stub.GetPhoto(pb.GetPhotoRequest(photo_id=photo_id))
    except grpc.aio.AioRpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND
        return False
    return True


async def test_what_was_deleted_after_the_backup_stays_deleted_after_its_restore(
    start_store: StartStore, rng: Rng, database: Any, backup: Backup, journal_file: Path
) -> None:
    vectors = [random_unit(rng), random_unit(rng)]
    async with start_store() as store:
        await _make_gallery(store.stub)
        gone, kept = [await add_one(store.stub, photo(vector)) for vector in vectors]
        await backup.take()
        await _delete(store.stub, gone.photo_id)
        assert gone.photo_id in journal_file.read_text()
    await backup.restore()
    assert await database.fetchval("SELECT count(*) FROM photos") == 2
    async with start_store() as store:
        assert not await _is_there(store.stub, gone.photo_id)
        for result in await search(store.stub, *vectors):
            assert ids(result.matches) == [kept.photo_id]
        (removal,) = (await store.stub.ListRemovals(pb.ListRemovalsRequest())).removals
        assert (removal.photo_id, removal.source) == (gone.photo_id, gone.source)
        actions = await database.fetch("SELECT photo_id FROM audit_log WHERE action = 'delete_photo'")
        assert [str(row["photo_id"]) for row in actions] == [gone.photo_id]
    assert journal_file.read_text().count("\n") == 1, "it was there already"


async def test_a_photo_that_was_added_again_since_its_deletion_stays(start_store: StartStore, rng: Rng) -> None:
    message = photo(random_unit(rng))
    async with start_store() as store:
        await _make_gallery(store.stub)
        await add_one(store.stub, message)
        await _delete(store.stub, message.photo_id)
        await add_one(store.stub, message)
    async with start_store() as store:
        assert await _is_there(store.stub, message.photo_id)


async def test_photos_of_a_dropped_gallery_and_those_that_ran_out_stay_deleted(
    start_store: StartStore, rng: Rng, database: Any, backup: Backup
) -> None:
    async with start_store(expiry_interval_s=3600) as store:
        await _make_gallery(store.stub)
        expired = await add_one(store.stub, photo(random_unit(rng)))
        await store.stub.CreateGallery(pb.CreateGalleryRequest(name="other", model_id=MODEL, dimension=DIMENSION))
        dropped = await add_one(store.stub, photo(random_unit(rng)), gallery="other")
        await backup.take()
        await database.execute("UPDATE photos SET expire_time = now() WHERE photo_id = $1", uuid.UUID(expired.photo_id))
        assert await store.service._deleter.delete_expired() == 1
        await store.stub.DeleteGallery(pb.DeleteGalleryRequest(name="other"))
    await backup.restore()
    async with start_store(expiry_interval_s=3600) as store:
        assert not await _is_there(store.stub, expired.photo_id)
        assert not await _is_there(store.stub, dropped.photo_id)


async def test_a_replica_knows_what_another_one_deleted(
    start_store: StartStore, rng: Rng, backup: Backup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others_file = tmp_path / "other" / "deletions.journal"
    monkeypatch.setattr("vectorstore.deletion_journal.FOLLOW_INTERVAL_S", 0.01)
    async with start_store() as store, start_store("other") as other:
        await _make_gallery(store.stub)
        added = await add_one(store.stub, photo(random_unit(rng)))
        await backup.take()
        await _delete(store.stub, added.photo_id)
        async with asyncio.timeout(30):
            while added.photo_id not in others_file.read_text():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    await backup.restore()
    async with start_store("other") as other:
        assert not await _is_there(other.stub, added.photo_id)


@pytest.mark.parametrize("cut", [1, 20, 60])
async def test_a_line_that_a_crash_cut_short_costs_no_other_line(
    start_store: StartStore, rng: Rng, backup: Backup, journal_file: Path, cut: int
) -> None:
    async with start_store() as store:
        await _make_gallery(store.stub)
        gone = [await add_one(store.stub, photo(random_unit(rng))) for _ in range(3)]
        await backup.take()
        for message in gone[:2]:
            await _delete(store.stub, message.photo_id)
    journal_file.write_text(journal_file.read_text()[:-cut])
    async with start_store() as store:
        await _delete(store.stub, gone[2].photo_id)
    await backup.restore()
    async with start_store() as store:
        assert [await _is_there(store.stub, message.photo_id) for message in gone] == [False] * 3


async def test_a_journal_that_cannot_be_written_undoes_no_deletion_and_is_made_good(
    start_store: StartStore, rng: Rng, journal_file: Path
) -> None:
    async with start_store() as store:
        await _make_gallery(store.stub)
        first, second = [await add_one(store.stub, photo(random_unit(rng))) for _ in range(2)]
        journal_file.unlink()
        journal_file.mkdir()
        failures = JOURNAL_FAILURES._value.get()
        await _delete(store.stub, first.photo_id)
        assert JOURNAL_FAILURES._value.get() == failures + 1
        assert not await _is_there(store.stub, first.photo_id)
        journal_file.rmdir()
        await _delete(store.stub, second.photo_id)
        text = journal_file.read_text()
        assert first.photo_id in text
        assert second.photo_id in text


async def test_a_journal_that_cannot_be_used_stops_the_start(start_store: StartStore, journal_file: Path) -> None:
    journal_file.mkdir(parents=True)
    with pytest.raises(StartupError, match="TWIN_DELETION_JOURNAL"):
        async with start_store():
            pass


async def test_a_lost_journal_is_written_anew(start_store: StartStore, rng: Rng, tmp_path: Path) -> None:
    async with start_store() as store:
        await _make_gallery(store.stub)
        gone = await add_one(store.stub, photo(random_unit(rng)))
        await _delete(store.stub, gone.photo_id)
    elsewhere = tmp_path / "elsewhere" / "journal"
    async with start_store(deletion_journal=elsewhere):
        assert gone.photo_id in elsewhere.read_text()
    assert elsewhere.stat().st_mode & 0o777 == 0o600


async def test_old_lines_are_dropped_and_what_is_no_journal_is_not_touched(store: Any, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    now = datetime.now(UTC)
    old, new = (f"{time.isoformat()} {now.isoformat()} {uuid.uuid4()}\n" for time in (now - timedelta(days=9), now))
    journal = DeletionJournal(store.service._database, path, timedelta(days=8))
    path.write_text(old + new)
    await journal.open()
    assert path.read_text() == new
    path.write_text("somebody's own\nnotes\n")
    await journal.open()
    assert path.read_text() == "somebody's own\nnotes\n"


def _line() -> str:
    now = datetime.now(UTC).isoformat()
    return f"{now} {now} {uuid.uuid4()}\n"


def _two_of_one_file(store: Any, path: Path) -> tuple[DeletionJournal, DeletionJournal]:
    one, other = (DeletionJournal(store.service._database, path, timedelta(days=8)) for _ in range(2))
    return one, other


async def test_a_line_that_another_replica_cut_short_costs_no_other_line(store: Any, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    one, other = _two_of_one_file(store, path)
    await one.open()
    await other.open()
    lines = [_line() for _ in range(3)]
    one._append(lines[0])
    with path.open("a") as file:
        file.write(lines[1][:50])
    one._append(lines[2])
    assert path.read_text().splitlines() == [lines[0].strip(), lines[1][:50], lines[2].strip()]


async def test_what_another_replica_writes_while_old_lines_are_dropped_stays(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal"
    one, other = _two_of_one_file(store, path)
    old = (datetime.now(UTC) - timedelta(days=9)).isoformat()
    path.write_text(f"{old} {old} {uuid.uuid4()}\n")
    line = _line()
    replace = DeletionJournal._replace
    writers: list[threading.Thread] = []

    def replace_while_another_writes(journal: DeletionJournal, lines: str) -> None:
        writers.append(threading.Thread(target=other._append, args=(line,)))
        writers[0].start()
        writers[0].join(0.3)
        replace(journal, lines)

    monkeypatch.setattr(DeletionJournal, "_replace", replace_while_another_writes)
    await one.open()
    await asyncio.to_thread(writers[0].join)
    assert path.read_text() == line


async def test_a_file_that_another_replica_keeps_is_given_up(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vectorstore.deletion_journal._LOCK_PATIENCE_S", 0.1)
    one, other = _two_of_one_file(store, tmp_path / "journal")
    with other._alone(), pytest.raises(TimeoutError):
        one._append(_line())
    one._append(_line())


async def test_two_replicas_may_share_a_file(
    start_store: StartStore, rng: Rng, backup: Backup, journal_file: Path
) -> None:
    async with start_store() as store, start_store("other", deletion_journal=journal_file) as other:
        await _make_gallery(store.stub)
        gone = [await add_one(store.stub, photo(random_unit(rng))) for _ in range(6)]
        await backup.take()
        await asyncio.gather(
            *(_delete(replica.stub, one.photo_id) for one, replica in zip(gone, [store, other] * 3, strict=True))
        )
        lines = journal_file.read_text().splitlines()
        assert {line.split(" ")[2] for line in lines} == {one.photo_id for one in gone}
    await backup.restore()
    async with start_store("other", deletion_journal=journal_file) as other:
        assert [await _is_there(other.stub, one.photo_id) for one in gone] == [False] * 6
