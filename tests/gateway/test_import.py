"""Importing a folder of the store: by reference, resumable, and the files stay their owner's."""

import asyncio
import contextlib
import itertools
import os
from collections.abc import AsyncIterable, AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest
from twin.gateway.v1 import gateway_pb2 as pb
from twin.vectorstore.v1 import vectorstore_pb2 as vs

from gateway.import_ledger import ImportLedger
from gateway.import_records import ImportRun, ListedFile
from gateway.local_store import LocalStore
from gateway.orders import ImportOrder
from runtime.errors import DependencyUnavailable
from runtime.status import error_info
from tests.gateway.fakes import NO_FACE, POOR_FACE
from tests.gateway.harness import ADMIN, Gateway, running_gateway, until
from tests.gateway.pictures import SECRETS, picture, with_secrets


@pytest.fixture
def gateway(importing_gateway: Gateway) -> Gateway:
    return importing_gateway


def put(gateway: Gateway, name: str, data: bytes) -> Path:
    path = gateway.photos_dir / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


async def run_import(gateway: Gateway, **fields: object) -> tuple[pb.ImportPhotosResponse, list[pb.ImportFailure]]:
    request = pb.ImportPhotosRequest(**fields)  # type: ignore[arg-type]
    failures: list[pb.ImportFailure] = []
    last = pb.ImportPhotosResponse()
    async for last in gateway.stub.ImportPhotos(request, metadata=ADMIN):
        failures.extend(last.failures)
    return last, failures


async def take(call: AsyncIterable[pb.ImportPhotosResponse], count: int) -> AsyncIterator[pb.ImportPhotosResponse]:
    """Yields the first answers of a call, which goes on."""
    async for state in call:
        yield state
        count -= 1
        if count == 0:
            return


def counts(state: pb.ImportPhotosResponse) -> tuple[int, int, int, int]:
    return state.seen_count, state.added_count, state.unchanged_count, state.failed_count


async def test_a_folder_is_enrolled_where_it_lies_and_only_once(gateway: Gateway) -> None:
    for number in range(12):
        put(gateway, f"album/{number % 3}/photo{number}.jpg", picture(seed=number))
    put(gateway, "album/readme.txt", b"no photo")
    put(gateway, "elsewhere/other.jpg", picture(seed=99))
    state, failures = await run_import(gateway, folder="album", collection="summer", all_faces=True)
    assert counts(state) == (12, 12, 0, 0)
    assert failures == []
    sources = {photo.source.key for _, photo in gateway.vectors.photos.values()}
    assert sources == {f"album/{number % 3}/photo{number}.jpg" for number in range(12)}
    assert {photo.collection for _, photo in gateway.vectors.photos.values()} == {"summer"}
    assert {len(photo.faces) for _, photo in gateway.vectors.photos.values()} == {2}
    enrolled = len(gateway.embedder.enrolled)
    put(gateway, "album/new.jpg", picture(seed=50))
    state, _ = await run_import(gateway, folder="album")
    assert counts(state) == (13, 1, 12, 0)
    assert len(gateway.embedder.enrolled) == enrolled + 1, "what is known is not embedded again"
    state, _ = await run_import(gateway)
    assert counts(state) == (14, 1, 13, 0)


async def test_an_import_is_in_the_audit_log(gateway: Gateway) -> None:
    put(gateway, "album/photo.jpg", picture())
    await run_import(gateway, folder="album")
    assert gateway.vectors.recorded == [
        vs.RecordAuditRequest(action=vs.EXTERNAL_ACTION_IMPORT_PHOTOS, gallery="default")
    ]


async def test_what_fails_is_listed_and_fails_alone(gateway: Gateway) -> None:
    put(gateway, "a.jpg", picture(seed=1))
    put(gateway, "b.jpg", picture(seed=2) + NO_FACE)
    put(gateway, "c.png", bytes(21 * 2**20))
    put(gateway, "copy-of-a.jpg", picture(seed=1))
    put(gateway, "d.jpg", picture(seed=3) + POOR_FACE)
    state, failures = await run_import(gateway)
    assert counts(state) == (5, 1, 1, 3)
    codes = {failure.name: failure.error.code for failure in failures}
    assert codes == {
        "b.jpg": grpc.StatusCode.FAILED_PRECONDITION.value[0],
        "c.png": grpc.StatusCode.INVALID_ARGUMENT.value[0],
        "d.jpg": grpc.StatusCode.FAILED_PRECONDITION.value[0],
    }
    (poor,) = [failure.error for failure in failures if failure.name == "d.jpg"]
    info = error_info(poor)
    assert info is not None and info.reason == "LOW_QUALITY"
    assert "18 px across" in poor.message


async def test_an_import_that_was_cut_off_goes_on_where_it_stopped(gateway: Gateway) -> None:
    for number in range(6):
        put(gateway, f"{number}.jpg", picture(seed=number))
    gateway.embedder.script.fail_after("item", RuntimeError("a bug"))
    with pytest.raises(grpc.aio.AioRpcError):
        await run_import(gateway)
    gateway.embedder.script.heal()
    before = len(gateway.vectors.photos)
    assert before == 1
    enrolled = len(gateway.embedder.enrolled)
    state, _ = await run_import(gateway)
    assert counts(state) == (6, 6, 0, 0), "it is one import, and what its first part did is counted once"
    assert len(gateway.embedder.enrolled) == enrolled + 5


async def test_an_import_that_was_cut_off_begins_anew_in_a_gallery_that_was_made_anew(gateway: Gateway) -> None:
    for number in range(3):
        put(gateway, f"{number}.jpg", picture(seed=number))
    gateway.vectors.made_s = 1
    number_of_photo = itertools.count()

    def fail_at_the_last() -> None:
        if next(number_of_photo) == 2:
            raise RuntimeError("a bug")

    gateway.embedder.script.before["item"] = fail_at_the_last
    with pytest.raises(grpc.aio.AioRpcError):
        await run_import(gateway)
    gateway.embedder.script.heal()
    gateway.vectors.photos.clear()
    gateway.vectors.made_s = 2
    assert counts((await run_import(gateway))[0]) == (3, 3, 0, 0)
    assert len(gateway.vectors.photos) == 3


async def test_who_is_in_a_photo_is_not_kept_beside_it(gateway: Gateway, database_url: str) -> None:
    put(gateway, "a.jpg", picture(seed=1))
    put(gateway, "poor.jpg", NO_FACE)
    put(gateway, "people.csv", b"filename,person\na.jpg,Ada\npoor.jpg,Grace\n")
    await run_import(gateway)
    connection: asyncpg.Connection[Any] = await asyncpg.connect(database_url)
    rows = await connection.fetch("SELECT key, person FROM import_files ORDER BY key")
    await connection.close()
    assert [tuple(row) for row in rows] == [("a.jpg", None), ("poor.jpg", "Grace")], "the latter is tried again"


@pytest.mark.parametrize("folder", ["..", "../..", "album/../..", "/etc", "~/..", ".hidden", "a\0b", "kept", "link"])
async def test_a_folder_never_escapes_the_store(gateway: Gateway, tmp_path: Path, folder: str) -> None:
    (tmp_path / "secret.jpg").write_bytes(picture())
    (gateway.photos_dir / "link").symlink_to(tmp_path)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await run_import(gateway, folder=folder)
    assert caught.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
    assert gateway.vectors.photos == {}


async def test_links_out_of_the_store_are_not_followed(gateway: Gateway, tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(picture())
    (gateway.photos_dir / "album").mkdir()
    (gateway.photos_dir / "album" / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (gateway.photos_dir / "album" / "folder").symlink_to(tmp_path)
    state, _ = await run_import(gateway, folder="album")
    assert counts(state) == (0, 0, 0, 0)


async def test_an_unknown_folder_is_not_found(gateway: Gateway) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await run_import(gateway, folder="nowhere")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_the_owners_file_outlives_its_photo_and_is_served_without_its_secrets(gateway: Gateway) -> None:
    path = put(gateway, "album/phone.jpg", with_secrets("JPEG"))
    await run_import(gateway)
    (photo_id,) = gateway.vectors.photos
    pieces = [piece.data async for piece in gateway.stub.GetPhoto(pb.GetPhotoRequest(photo_id=photo_id))]
    assert not any(secret in b"".join(pieces) for secret in SECRETS)
    answer = await gateway.stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=photo_id), metadata=ADMIN)
    assert answer.original_removed, "nothing is left to be removed"
    assert path.read_bytes() == with_secrets("JPEG")
    assert gateway.vectors.removals == {}


async def test_a_gone_peer_ends_the_import_with_its_own_status(gateway: Gateway) -> None:
    put(gateway, "a.jpg", picture())
    gateway.vectors.script.fail("GetPhoto", DependencyUnavailable("postgres"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await run_import(gateway)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_progress_is_told_while_the_embedder_is_slow(gateway: Gateway) -> None:
    put(gateway, "a.jpg", picture())
    free = gateway.embedder.script.hold("Enroll")
    call = gateway.stub.ImportPhotos(pb.ImportPhotosRequest(), metadata=ADMIN)
    told = [state async for state in take(call, 2)]
    assert [state.added_count for state in told] == [0, 0]
    free.set()
    rest = [state async for state in call]
    assert counts(rest[-1]) == (1, 1, 0, 0)


async def test_a_caller_that_leaves_ends_the_import(gateway: Gateway) -> None:
    for number in range(3):
        put(gateway, f"{number}.jpg", picture(seed=number))
    gateway.embedder.script.hold("Enroll")
    call = gateway.stub.ImportPhotos(pb.ImportPhotosRequest(), metadata=ADMIN)
    await until(lambda: gateway.embedder.script.calls["Enroll"] == 1)
    call.cancel()
    await gateway.embedder.script.cancelled["Enroll"].wait()


async def test_files_that_vanish_or_cannot_be_read_fail_alone(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.import_share.FIRST_DELAY_S", 0.001)
    for name in ("a.jpg", "gone.jpg", "locked.jpg", "odd\\name.jpg", "z.jpg"):
        put(gateway, name, picture(seed=len(name)) + name.encode())
    real = LocalStore.get

    async def get(store: LocalStore, key: str, max_bytes: int) -> bytes:
        if key == "gone.jpg":
            (gateway.photos_dir / key).unlink()
        if key == "locked.jpg":
            raise DependencyUnavailable("local")
        return await real(store, key, max_bytes)

    monkeypatch.setattr(LocalStore, "get", get)
    state, failures = await run_import(gateway)
    assert counts(state) == (5, 2, 0, 3)
    codes = {failure.name: failure.error.code for failure in failures}
    assert codes == {
        "gone.jpg": grpc.StatusCode.NOT_FOUND.value[0],
        "locked.jpg": grpc.StatusCode.UNAVAILABLE.value[0],
        "odd\\name.jpg": grpc.StatusCode.INVALID_ARGUMENT.value[0],
    }


async def test_links_in_a_circle_and_pipes_are_passed_over(gateway: Gateway) -> None:
    put(gateway, "a.jpg", picture())
    (gateway.photos_dir / "circle.jpg").symlink_to("circle.jpg")
    (gateway.photos_dir / "nothing.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(gateway.photos_dir / "pipe.jpg")
    state, failures = await run_import(gateway)
    assert (counts(state), failures) == ((1, 1, 0, 0), [])


async def test_a_file_that_its_owner_has_changed_is_not_shown_in_the_place_of_the_former(gateway: Gateway) -> None:
    path = put(gateway, "a.jpg", picture(seed=1))
    await run_import(gateway)
    (photo_id,) = gateway.vectors.photos
    path.write_bytes(picture(seed=2))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await gateway.stub.GetPhoto(pb.GetPhotoRequest(photo_id=photo_id)).read()
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert counts((await run_import(gateway))[0]) == (1, 1, 0, 0), "it is another photo"


async def test_an_embedder_that_ends_its_answers_early_ends_the_import(gateway: Gateway) -> None:
    for number in range(20):
        put(gateway, f"{number}.jpg", picture(seed=number))
    gateway.embedder.answers_at_most = 3
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await run_import(gateway)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_many_failures_are_told_in_messages_of_bounded_size(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.import_ledger.MAX_FAILURES_EACH", 2)
    for number in range(7):
        put(gateway, f"{number}.jpg", picture(seed=number) + NO_FACE)
    told = [state async for state in gateway.stub.ImportPhotos(pb.ImportPhotosRequest(), metadata=ADMIN)]
    assert max(len(state.failures) for state in told) == 2
    assert {failure.name for state in told for failure in state.failures} == {f"{number}.jpg" for number in range(7)}


async def test_without_a_database_an_import_says_what_is_missing(tmp_path: Path) -> None:
    async with running_gateway(tmp_path) as gateway:
        put(gateway, "a.jpg", picture())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await run_import(gateway)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "set TWIN_DATABASE_URL" in (caught.value.details() or "")


async def test_what_passes_is_tried_again(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.import_share.FIRST_DELAY_S", 0.01)
    put(gateway, "a.jpg", picture(seed=1))
    put(gateway, "b.jpg", picture(seed=2))
    real = LocalStore.get
    refusals = iter([DependencyUnavailable("local"), DependencyUnavailable("local")])

    async def get(store: LocalStore, key: str, max_bytes: int) -> bytes:
        if key == "a.jpg" and (error := next(refusals, None)) is not None:
            raise error
        return await real(store, key, max_bytes)

    monkeypatch.setattr(LocalStore, "get", get)
    state, failures = await run_import(gateway)
    assert (counts(state), failures) == ((2, 2, 0, 0), [])


async def test_photos_that_never_can_be_read_are_given_up_and_the_import_ends(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.import_share.FIRST_DELAY_S", 0.001)
    monkeypatch.setattr("gateway.import_share.MAX_ATTEMPTS_IN_VAIN", 3)
    for name in ("a.jpg", "bad1.jpg", "bad2.jpg"):
        put(gateway, name, picture(seed=1) + name.encode())
    real = LocalStore.get

    async def get(store: LocalStore, key: str, max_bytes: int) -> bytes:
        if key.startswith("bad"):
            raise DependencyUnavailable("local")
        return await real(store, key, max_bytes)

    monkeypatch.setattr(LocalStore, "get", get)
    state, failures = await run_import(gateway)
    assert counts(state) == (3, 1, 0, 2)
    assert {failure.error.code for failure in failures} == {grpc.StatusCode.UNAVAILABLE.value[0]}
    (gateway.photos_dir / "a.jpg").unlink()
    for _ in range(2):
        with pytest.raises(grpc.aio.AioRpcError):
            await run_import(gateway)
    assert counts((await run_import(gateway))[0]) == (2, 0, 0, 2)


async def test_two_importers_share_one_import(gateway: Gateway, tmp_path: Path, database_url: str) -> None:
    for number in range(40):
        put(gateway, f"{number}.jpg", picture(seed=number))
    free = gateway.embedder.script.hold("Enroll")
    first = asyncio.create_task(run_import(gateway))
    await until(lambda: gateway.embedder.script.calls["Enroll"] == 1)
    second = asyncio.create_task(run_import(gateway))
    await until(lambda: gateway.embedder.script.calls["Enroll"] == 2)
    free.set()
    for state, failures in await asyncio.gather(first, second):
        assert (counts(state), failures) == ((40, 40, 0, 0), [])
    ids = [request.photo.photo_id for request in gateway.embedder.enrolled]
    assert len(set(ids)) == 40
    assert len(ids) == 40, "no photo is worked on twice"


async def test_a_caller_that_leaves_hands_its_jobs_to_the_other(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody looks after jobs that got lost.
    monkeypatch.setattr("gateway.importer._STALLED_S", 1e9)
    for number in range(40):
        put(gateway, f"{number}.jpg", picture(seed=number))
    free = gateway.embedder.script.hold("Enroll")
    first = asyncio.create_task(run_import(gateway))
    await until(lambda: gateway.embedder.script.calls["Enroll"] == 1)
    await asyncio.sleep(0.3)
    second = asyncio.create_task(run_import(gateway))
    await until(lambda: gateway.embedder.script.calls["Enroll"] == 2)
    first.cancel()
    free.set()
    assert counts((await second)[0]) == (40, 40, 0, 0)


async def test_a_database_that_goes_away_ends_the_import_and_the_next_one_goes_on(
    gateway: Gateway, database_url: str
) -> None:
    for number in range(20):
        put(gateway, f"{number}.jpg", picture(seed=number))
    free = gateway.embedder.script.hold("Enroll")
    first = asyncio.create_task(run_import(gateway))
    await until(lambda: gateway.embedder.script.calls["Enroll"] == 1)
    await asyncio.sleep(0.3)
    connection: asyncpg.Connection[Any] = await asyncpg.connect(database_url)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = "
        "'client backend'"
    )
    await connection.close()
    free.set()
    with contextlib.suppress(grpc.aio.AioRpcError):
        await first
    assert counts((await run_import(gateway))[0]) in ((20, 20, 0, 0), (20, 0, 20, 0))
    assert len(gateway.vectors.photos) == 20


async def test_a_name_that_is_no_text_fails_alone(gateway: Gateway) -> None:
    put(gateway, "a.jpg", picture(seed=1))
    (gateway.photos_dir / os.fsdecode(b"caf\xe9.jpg")).write_bytes(picture(seed=2))
    state, failures = await run_import(gateway)
    assert counts(state) == (2, 1, 0, 1)
    assert [failure.name for failure in failures] == ["caf\ufffd.jpg"]
    assert "no UTF-8 text" in failures[0].error.message


async def test_what_files_beside_the_photos_say_goes_with_them(gateway: Gateway) -> None:
    put(gateway, "celebrities/source_info.json", b'{"name": "Celebrities"}')
    put(gateway, "celebrities/images/one.jpg", picture(seed=1))
    put(gateway, "family/people.csv", "filename,person\none.jpg,Zoé\n".encode())
    put(gateway, "family/one.jpg", picture(seed=2))
    put(gateway, "family/two.jpg", picture(seed=3))
    state, _ = await run_import(gateway, collection="the rest")
    assert counts(state) == (3, 3, 0, 0)
    said = {photo.source.key: (photo.person, photo.collection) for _, photo in gateway.vectors.photos.values()}
    assert said == {
        "celebrities/images/one.jpg": ("", "Celebrities"),
        "family/one.jpg": ("Zoé", "the rest"),
        "family/two.jpg": ("", "the rest"),
    }


async def test_a_photo_that_is_known_by_its_place_is_not_read_again(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(gateway, "a.jpg", picture(seed=1))
    await run_import(gateway)

    async def get(store: LocalStore, key: str, max_bytes: int) -> bytes:
        raise AssertionError("it was read")

    monkeypatch.setattr(LocalStore, "get", get)
    assert counts((await run_import(gateway))[0]) == (1, 0, 1, 0)
    gateway.vectors.photos.clear()
    monkeypatch.undo()
    assert counts((await run_import(gateway))[0]) == (1, 1, 0, 0), (
        "what was deleted is imported again when it is asked for"
    )


async def test_the_other_kind_of_store_is_not_looked_into(gateway: Gateway) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await run_import(gateway, store="drive")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_late_walk_leaves_a_finished_import_as_it_is(gateway: Gateway, database_url: str) -> None:
    put(gateway, "a.jpg", picture(seed=1))
    await run_import(gateway)
    pool: asyncpg.Pool[Any] = await asyncpg.create_pool(database_url, min_size=1, max_size=2)
    ledger = ImportLedger(pool)
    row: Any = await pool.fetchrow("SELECT import_id, run FROM imports")
    run = ImportRun(row["import_id"], row["run"], ImportOrder("default", "", "", False), None)
    await ledger.list_files(run, [ListedFile("late.jpg", "late.jpg", 1, "late")])
    assert await pool.fetchval("SELECT count(*) FROM import_files") == 1
    assert await pool.fetchval("SELECT seen_count FROM imports") == 1
    assert await pool.fetchval("SELECT count(*) FROM import_jobs") == 0
    await pool.close()
