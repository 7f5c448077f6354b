"""One side without the other is found, and removed when that is asked for and nothing is in doubt."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from twin.gateway.v1 import gateway_pb2 as pb
from twin.vectorstore.v1 import vectorstore_pb2 as vs

from cli.main import main
from gateway.local_store import LocalStore
from gateway.photo_store import StoredObject
from gateway.suspicion import UNSUSPICIOUS_ORPHANS
from gateway.sweep import Sweeper
from runtime.errors import DependencyUnavailable
from tests.gateway.harness import ADMIN, ADMIN_KEY, Gateway, refusal, running_gateway
from tests.gateway.pictures import picture

DAY_S = 24 * 3600
OLD_S = time.time() - 2 * DAY_S
INVALID, UNAVAILABLE = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNAVAILABLE
ORIGINAL, PHOTO = pb.ORPHAN_KIND_ORIGINAL, pb.ORPHAN_KIND_PHOTO


def kept_key(number: int) -> str:
    return f"kept/00/00000000-0000-4000-8000-{number:012}-0123456789ab.jpg"


def photo_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


def put_original(gateway: Gateway, number: int, *, age_s: float = 2 * DAY_S) -> Path:
    path = gateway.photos_dir / kept_key(number)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture(seed=number))
    os.utime(path, times=(time.time() - age_s,) * 2)
    return path


def put_photo(gateway: Gateway, number: int, *, key: str | None = None, age_s: float = 2 * DAY_S) -> None:
    photo = vs.Photo(photo_id=photo_id(number), source=vs.PhotoSource(store="local", key=key or kept_key(number)))
    photo.create_time.FromSeconds(int(time.time() - age_s))
    gateway.vectors.photos[photo.photo_id] = ("default", photo)


async def run(gateway: Gateway, **fields: object) -> tuple[pb.ReconcilePhotosResponse, list[tuple[int, str, bool]]]:
    last = pb.ReconcilePhotosResponse()
    told = []
    request = pb.ReconcilePhotosRequest(**fields)  # type: ignore[arg-type]
    async for last in gateway.stub.ReconcilePhotos(request, metadata=ADMIN):
        told += [(orphan.kind, orphan.photo_id, orphan.removed) for orphan in last.orphans]
    return last, told


def counts(state: pb.ReconcilePhotosResponse) -> tuple[int, int, int, int, int]:
    return (
        state.original_count,
        state.photo_count,
        state.orphaned_original_count,
        state.orphaned_photo_count,
        state.removed_count,
    )


@pytest.fixture
async def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    """One that does not sweep: what is an hour old would be gone before it is looked for."""

    async def sweep(_: Sweeper) -> int:
        return 0

    monkeypatch.setattr(Sweeper, "sweep", sweep)
    async with running_gateway(tmp_path) as running:
        yield running


@pytest.fixture
def orphans(gateway: Gateway) -> Gateway:
    """Three photos with their originals, 1 to 3; originals alone, 4 to 6; photos alone, 7 and 8; and young ones, 9."""
    for number in (1, 2, 3, 4, 5, 6):
        put_original(gateway, number)
    for number in (1, 2, 3, 7, 8):
        put_photo(gateway, number)
    put_original(gateway, 91, age_s=DAY_S - 600)
    put_photo(gateway, 92, age_s=DAY_S - 600)
    return gateway


async def test_both_sides_are_reported_and_nothing_is_removed(orphans: Gateway) -> None:
    state, told = await run(orphans)
    assert counts(state) == (7, 6, 3, 2, 0)
    assert sorted(told) == [
        *((ORIGINAL, photo_id(number), False) for number in (4, 5, 6)),
        *((PHOTO, photo_id(number), False) for number in (7, 8)),
    ]
    assert len(orphans.kept_files()) == 7
    assert len(orphans.vectors.photos) == 6


async def test_removing_is_in_the_audit_log_before_it_is_done_and_a_report_is_not(orphans: Gateway) -> None:
    await run(orphans)
    assert orphans.vectors.recorded == []
    orphans.vectors.script.fail("RecordAudit", DependencyUnavailable("postgres"))
    assert await refusal(run(orphans, apply=True)) == (UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
    assert len(orphans.kept_files()) == 7 and len(orphans.vectors.photos) == 6, "what nobody would know of is not done"
    orphans.vectors.script.heal()
    await run(orphans, apply=True, max_removals=2)
    await run(orphans, apply=True)
    recorded = [(record.action, record.photo_count) for record in orphans.vectors.recorded]
    assert recorded == [(vs.EXTERNAL_ACTION_RECONCILE, 2), (vs.EXTERNAL_ACTION_RECONCILE, 3)]


async def test_what_is_removed_is_capped_and_what_is_young_stays(orphans: Gateway) -> None:
    state, told = await run(orphans, apply=True, max_removals=2)
    assert state.removed_count == 2
    assert [orphan for orphan in told if orphan[2]] == [
        (ORIGINAL, photo_id(4), True),
        (ORIGINAL, photo_id(5), True),
    ]
    state, _ = await run(orphans, apply=True)
    assert counts(state) == (5, 6, 1, 2, 3)
    assert {path.name[24:36] for path in orphans.kept_files()} == {f"{number:012}" for number in (1, 2, 3, 91)}
    assert set(orphans.vectors.photos) == {photo_id(number) for number in (1, 2, 3, 92)}
    assert orphans.vectors.removals == {}, "the deletions have nothing left to remove"
    assert counts((await run(orphans, apply=True))[0]) == (4, 4, 0, 0, 0)


async def test_an_owners_file_that_is_gone_takes_its_photo_along_and_the_others_stay(gateway: Gateway) -> None:
    owned = gateway.photos_dir / "album" / "a.jpg"
    owned.parent.mkdir()
    owned.write_bytes(picture())
    os.utime(owned, times=(OLD_S, OLD_S))
    put_photo(gateway, 1, key="album/a.jpg")
    put_photo(gateway, 2, key="album/gone.jpg")
    state, _ = await run(gateway, apply=True)
    assert counts(state) == (0, 2, 0, 1, 1)
    assert set(gateway.vectors.photos) == {photo_id(1)}
    assert owned.exists()


async def listed_in_part(store: LocalStore, prefix: str) -> AsyncIterator[StoredObject]:
    yield StoredObject(kept_key(4), 1, OLD_S)
    raise DependencyUnavailable("local")


async def test_a_listing_that_lacks_something_removes_nothing(
    orphans: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalStore, "list", listed_in_part)
    assert (await refusal(run(orphans, apply=True)))[0] is UNAVAILABLE
    monkeypatch.undo()
    assert len(orphans.kept_files()) == 7
    assert len(orphans.vectors.photos) == 6


async def test_a_database_that_fails_on_a_later_page_removes_nothing(orphans: Gateway) -> None:
    def fail_on_the_third() -> None:
        if orphans.vectors.script.calls["ListPhotos"] % 3 == 0:
            raise DependencyUnavailable("postgres")

    orphans.vectors.script.before["ListPhotos"] = fail_on_the_third
    assert (await refusal(run(orphans, apply=True)))[0] is UNAVAILABLE
    orphans.vectors.script.heal()
    assert len(orphans.kept_files()) == 7
    assert len(orphans.vectors.photos) == 6


async def test_a_store_that_cannot_say_whether_an_original_is_there_removes_nothing(
    orphans: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stat(store: LocalStore, key: str) -> StoredObject:
        raise DependencyUnavailable("local")

    monkeypatch.setattr(LocalStore, "stat", stat)
    assert (await refusal(run(orphans, apply=True)))[0] is UNAVAILABLE
    assert len(orphans.kept_files()) == 7
    assert len(orphans.vectors.photos) == 6


async def test_a_photo_that_comes_late_keeps_its_original(orphans: Gateway) -> None:
    orphans.vectors.script.before["GetPhoto"] = lambda: put_photo(orphans, 4)
    state, told = await run(orphans, apply=True)
    assert (ORIGINAL, photo_id(4), False) in told
    assert state.removed_count == 4
    assert (orphans.photos_dir / kept_key(4)).exists()


async def test_a_store_that_sees_none_of_the_owners_files_removes_nothing(orphans: Gateway) -> None:
    put_photo(orphans, 10, key="album/a.jpg")
    assert (await refusal(run(orphans, apply=True)))[0] is INVALID
    assert len(orphans.vectors.photos) == 7


async def test_a_link_among_the_originals_is_no_way_to_the_owners_file(orphans: Gateway) -> None:
    owned = orphans.photos_dir / "holiday.jpg"
    put_original(orphans, 4).rename(owned)
    (orphans.photos_dir / kept_key(4)).symlink_to(owned)
    state, _ = await run(orphans, apply=True)
    assert state.removed_count == 4
    assert owned.exists()


@pytest.mark.parametrize("original_count", [1, UNSUSPICIOUS_ORPHANS + 1])
async def test_the_wrong_database_removes_nothing(gateway: Gateway, original_count: int) -> None:
    for number in range(original_count):
        put_original(gateway, number)
    put_original(gateway, 91, age_s=0)
    assert (await refusal(run(gateway, apply=True)))[0] is INVALID
    assert len(gateway.kept_files()) == original_count + 1


async def test_the_wrong_store_removes_nothing(gateway: Gateway) -> None:
    for number in (1, 2):
        put_photo(gateway, number)
    put_photo(gateway, 92, age_s=0)
    assert (await refusal(run(gateway, apply=True)))[0] is INVALID
    assert len(gateway.vectors.photos) == 3


@pytest.mark.parametrize("cap", [-1, 1001])
async def test_a_cap_that_is_none_is_refused(gateway: Gateway, cap: int) -> None:
    assert (await refusal(run(gateway, apply=True, max_removals=cap)))[0] is INVALID


async def test_the_command_reports_removes_and_says_whether_anything_is_left(
    orphans: Gateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TWIN_GATEWAY_TARGET", orphans.address)
    monkeypatch.setenv("TWIN_ADMIN_KEY", ADMIN_KEY)
    monkeypatch.setenv("COLUMNS", "200")
    assert await asyncio.to_thread(main, ["drive", "reconcile"]) == 1
    told = capsys.readouterr().out
    assert f"original without a photo  {photo_id(4)}  {kept_key(4)}\n" in told
    assert "3 originals without a photo, 2 photos without their original, 0 removed" in told
    assert await asyncio.to_thread(main, ["drive", "reconcile", "--apply", "--max", "4"]) == 1
    assert "1 are left" in capsys.readouterr().out
    assert await asyncio.to_thread(main, ["drive", "reconcile", "--apply"]) == 0
