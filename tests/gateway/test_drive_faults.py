"""What goes wrong at Google, thing by thing: a call goes on, or says so in time, and leaves one file or none."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.drive_calls import Patience
from gateway.drive_credentials import load_credentials
from gateway.drive_errors import DriveFull, DriveRefused
from gateway.drive_store import DriveStore
from gateway.drive_tokens import TokenKeeper
from runtime.errors import DependencyUnavailable, NotFound, StorageFull
from tests.drive_emulator import DriveEmulator
from tests.gateway.drive_rig import PHOTO, drive_store, put, settings_for

LARGE = hashlib.shake_128(b"large").digest(9 * 2**20 + 5)


@pytest.fixture
async def store(emulator: DriveEmulator, tmp_path: Path) -> AsyncIterator[DriveStore]:
    async with drive_store(emulator, tmp_path) as opened:
        yield opened


PASSING = ["error_500", "error_503", "rate_limit_403", "rate_limit_429", "unauthorized_401", "lost_response"]
PASSING += ["short_body"]


@pytest.mark.parametrize("operation", ["files.generateIds", "upload.multipart", "files.list", "files.create"])
@pytest.mark.parametrize("kind", PASSING)
async def test_a_fault_that_passes_is_not_noticed(
    emulator: DriveEmulator, store: DriveStore, kind: str, operation: str
) -> None:
    emulator.faults.add(kind, operation)
    key = await put(store)
    assert emulator.faults.happened[kind] == 1
    assert len(emulator.drive.photos()) == len(emulator.drive.folders()) == 1
    assert await store.get(key, 10_000) == PHOTO


@pytest.mark.parametrize("operation", ["files.get", "files.media"])
@pytest.mark.parametrize("kind", [*PASSING, "wrong_bytes"])
async def test_a_photo_is_read_whole_or_not_at_all(
    emulator: DriveEmulator, store: DriveStore, kind: str, operation: str
) -> None:
    key = await put(store)
    emulator.faults.add(kind, operation)
    if (kind, operation) == ("wrong_bytes", "files.media"):
        with pytest.raises(DependencyUnavailable):
            await store.get(key, 10_000)
    assert await store.get(key, 10_000) == PHOTO
    assert emulator.faults.happened[kind] == 1


@pytest.mark.parametrize("operation", ["upload.start", "upload.part"])
@pytest.mark.parametrize("kind", PASSING)
async def test_an_upload_in_parts_goes_on_where_it_stopped(
    emulator: DriveEmulator, store: DriveStore, kind: str, operation: str
) -> None:
    emulator.faults.add(kind, operation, after=1 if operation == "upload.part" else 0)
    key = await put(store, LARGE)
    assert emulator.faults.happened[kind] == 1
    assert len(emulator.drive.photos()) == 1
    assert await store.get(key, 2**24) == LARGE
    if operation == "upload.part":
        # The three parts, the one that failed, and the question how far it is: nothing was begun anew.
        assert emulator.faults.requests["upload.start"] == 1
        assert emulator.faults.requests["upload.part"] <= 5


async def test_a_lost_answer_to_an_upload_leaves_one_file(emulator: DriveEmulator, store: DriveStore) -> None:
    emulator.faults.add("lost_response", "upload.multipart", times=2)
    key = await put(store)
    assert emulator.faults.happened["lost_response"] >= 1
    (file,) = emulator.drive.photos()
    assert file.id in key
    emulator.faults.add("lost_response", "upload.part", after=2)
    await put(store, LARGE)
    assert len(emulator.drive.photos()) == 2


async def test_a_conflict_is_success_only_when_the_bytes_agree(emulator: DriveEmulator, store: DriveStore) -> None:
    key = await put(store)
    await store.put(key, PHOTO)
    (file,) = emulator.drive.photos()
    with pytest.raises(DependencyUnavailable):
        await store.put(key, b"other bytes")
    assert file.id not in emulator.drive.files


async def test_a_conflict_without_a_file_is_no_success(emulator: DriveEmulator, store: DriveStore) -> None:
    emulator.faults.add("conflict_409", "upload.multipart")
    with pytest.raises(DependencyUnavailable):
        await put(store)
    assert emulator.drive.photos() == []


async def test_what_arrives_damaged_is_removed(
    emulator: DriveEmulator, store: DriveStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = emulator.drive.add

    def damage(file: Any) -> Any:
        if file.content is not None:
            file.content.md5 = "0" * 32
        return real(file)

    monkeypatch.setattr(emulator.drive, "add", damage)
    with pytest.raises(DependencyUnavailable):
        await put(store)
    assert emulator.drive.photos() == []


async def test_retry_after_is_honoured_within_the_callers_patience(
    emulator: DriveEmulator, store: DriveStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(store)
    monkeypatch.setattr("gateway.drive_store.QUICK", Patience(retry_s=5.0, silence_s=5.0, total_s=10.0))
    emulator.faults.add("rate_limit_429", "files.generateIds", retry_after_s=2)
    began = time.monotonic()
    await put(store)
    assert time.monotonic() - began >= 2.0
    # Nobody waits for a minute: the caller hears at once when to come again.
    emulator.faults.add("rate_limit_429", "files.generateIds", retry_after_s=60)
    with pytest.raises(DependencyUnavailable) as refused:
        await asyncio.wait_for(put(store), 4.0)
    assert refused.value.retry_delay_s == 60.0


@pytest.mark.parametrize("kind", ["timeout", "slow_bytes", "error_503"])
async def test_a_drive_that_does_not_answer_is_given_up_in_time(
    emulator: DriveEmulator, store: DriveStore, kind: str
) -> None:
    await put(store)
    emulator.faults.add(kind, times=None)
    # Many more than there are threads, each of which is held up.
    began = time.monotonic()
    outcomes = await asyncio.wait_for(asyncio.gather(*(put(store) for _ in range(12)), return_exceptions=True), 20.0)
    assert all(isinstance(outcome, DependencyUnavailable) for outcome in outcomes)
    print(f"given up after {time.monotonic() - began:.2f} s")
    with pytest.raises(DependencyUnavailable):
        await asyncio.wait_for(store.check(), 4.0)
    emulator.faults.clear()
    # The threads are free again, not held by what dripped.
    await asyncio.wait_for(put(store), 5.0)


async def test_after_half_an_answer_the_next_request_is_sent_once(
    emulator: DriveEmulator, store: DriveStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.drive_store.READ", Patience(retry_s=5.0, silence_s=0.3, total_s=10.0))
    key = await put(store)
    emulator.faults.add("stalled_body", "files.get")
    await store.stat(key)
    assert emulator.faults.requests["files.get"] == 2


async def test_a_drive_that_is_down_comes_back(emulator: DriveEmulator, store: DriveStore) -> None:
    key = await put(store)
    emulator.down()
    for call in (put(store), store.get(key, 10_000), store.check()):
        with pytest.raises(DependencyUnavailable):
            await call
    emulator.up()
    await store.check()
    await put(store)
    assert await store.get(key, 10_000) == PHOTO


async def test_a_caller_who_leaves_frees_the_thread(emulator: DriveEmulator, tmp_path: Path) -> None:
    async with drive_store(emulator, tmp_path, workers=1) as store:
        key = await put(store)
        emulator.faults.add("timeout", "upload.multipart")
        leaving = asyncio.create_task(put(store))
        while not emulator.faults.happened["timeout"]:  # noqa: ASYNC110 - what is waited for happens in another thread
            await asyncio.sleep(0.01)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert await asyncio.wait_for(store.get(key, 10_000), 5.0) == PHOTO


async def test_the_end_waits_for_nothing_that_hangs(emulator: DriveEmulator, tmp_path: Path) -> None:
    async with drive_store(emulator, tmp_path) as store:
        await put(store)
        emulator.faults.add("timeout", "upload.multipart", times=None)
        waiting = asyncio.create_task(put(store))
        while not emulator.faults.happened["timeout"]:  # noqa: ASYNC110 - what is waited for happens in another thread
            await asyncio.sleep(0.01)
        await asyncio.wait_for(store.close(), 5.0)
        with pytest.raises(DependencyUnavailable):
            await waiting


async def test_a_days_quota_that_is_used_up_is_not_asked_for_again_at_once(
    emulator: DriveEmulator, store: DriveStore
) -> None:
    key = await put(store)
    emulator.faults.add("daily_limit_403", "files.get", times=None)
    with pytest.raises(DependencyUnavailable) as refused:
        await store.stat(key)
    assert not isinstance(refused.value, DriveRefused)
    assert refused.value.retry_delay_s == 600.0
    assert emulator.faults.requests["files.get"] == 1


async def test_fifty_refused_tokens_make_one_refresh(emulator: DriveEmulator, tmp_path: Path) -> None:
    async with drive_store(emulator, tmp_path, workers=50) as store:
        key = await put(store)
        before = emulator.tokens.refreshes
        emulator.tokens.expire()
        found = await asyncio.gather(*(store.stat(key) for _ in range(50)))
        assert len(found) == 50
        assert emulator.tokens.refreshes == before + 1


async def test_revoked_credentials_are_told_from_a_drive_that_is_down(emulator: DriveEmulator, tmp_path: Path) -> None:
    async with drive_store(emulator, tmp_path) as store:
        await put(store)
        emulator.tokens.revoke_all()
        before = emulator.tokens.refreshes
        for _ in range(5):
            with pytest.raises(DriveRefused, match="twin drive login"):
                await put(store)
        with pytest.raises(DriveRefused):
            await store.check()
        # Google is not asked by each of them.
        assert emulator.tokens.refreshes == before + 1


async def test_a_new_sign_in_is_taken_up_without_a_restart(
    emulator: DriveEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.drive_tokens._REFUSAL_S", 0.0)
    path = tmp_path / "token.json"
    path.write_text(emulator.token_json())
    async with drive_store(emulator, tmp_path, google_token_json=None, google_token_file=path) as store:
        await put(store)
        emulator.tokens.revoke_all()
        with pytest.raises(DriveRefused):
            await put(store)
        path.write_text(emulator.token_json())
        await put(store)


async def test_a_token_endpoint_that_fails_is_no_refusal(emulator: DriveEmulator, store: DriveStore) -> None:
    emulator.faults.add("error_503", "token", times=None)
    with pytest.raises(DependencyUnavailable) as failed:
        await store.check()
    assert not isinstance(failed.value, DriveRefused)
    emulator.faults.clear()
    emulator.faults.add("rate_limit_403", "token")
    with pytest.raises(DependencyUnavailable) as limited:
        await TokenCheck(emulator).ask()
    assert not isinstance(limited.value, DriveRefused)
    emulator.faults.add("invalid_grant", "token")
    with pytest.raises(DriveRefused):
        await TokenCheck(emulator).ask()


class TokenCheck:
    """A keeper of its own, which has not seen the failures before."""

    def __init__(self, emulator: DriveEmulator) -> None:
        settings = settings_for(emulator, Path())
        self._tokens = TokenKeeper(lambda: load_credentials(settings))

    async def ask(self) -> str:
        return await asyncio.to_thread(self._tokens.token)


async def test_an_answer_that_holds_no_token_is_asked_for_again(emulator: DriveEmulator, store: DriveStore) -> None:
    emulator.faults.add("wrong_bytes", "token")
    await put(store)
    assert emulator.faults.happened["wrong_bytes"] == 1
    assert len(emulator.drive.photos()) == 1


async def test_a_full_drive_says_so(emulator: DriveEmulator, store: DriveStore) -> None:
    await put(store)
    emulator.drive.quota_bytes = 10
    with pytest.raises(StorageFull):
        await put(store)
    with pytest.raises(DriveFull):
        await store.check()
    emulator.drive.quota_bytes = 2**30
    await put(store)


async def test_a_deletion_that_was_heard_counts_as_one(emulator: DriveEmulator, store: DriveStore) -> None:
    key = await put(store)
    emulator.faults.add("lost_response", "files.delete")
    await store.delete(key)
    assert emulator.drive.photos() == []
    with pytest.raises(NotFound):
        await store.stat(key)


@pytest.mark.parametrize("kind", ["error_503", "timeout", "rate_limit_403"])
async def test_a_deletion_that_was_not_heard_does_not(
    emulator: DriveEmulator, store: DriveStore, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.drive_store.REMOVE", Patience(retry_s=0.2, silence_s=0.2, total_s=1.0))
    key = await put(store)
    emulator.faults.add(kind, "files.delete", times=None)
    with pytest.raises(DependencyUnavailable):
        await store.delete(key)
    assert len(emulator.drive.photos()) == 1


async def test_a_third_of_the_requests_failing_makes_no_second_file(tmp_path: Path) -> None:
    with DriveEmulator(seed=5) as emulator:
        async with drive_store(emulator, tmp_path, workers=8) as store:
            for kind in ("error_503", "rate_limit_403", "lost_response", "unauthorized_401", "short_body"):
                emulator.faults.add(kind, times=None, percent=7)

            async def put_until_done(number: int) -> str:
                while True:
                    try:
                        return await put(store, PHOTO + bytes([number]))
                    except DependencyUnavailable:
                        continue

            keys = await asyncio.gather(*(put_until_done(number) for number in range(40)))
            emulator.faults.clear()
            assert sum(emulator.faults.happened.values()) > 20
            stored = sorted([found.key async for found in store.list("kept")])
            # What was given up may have arrived; for that there is the sweep. What was not is there once.
            assert set(keys) <= set(stored)
            assert len(stored) == len(emulator.drive.photos())
            assert len({file.content.md5 for file in emulator.drive.photos() if file.content}) == 40
