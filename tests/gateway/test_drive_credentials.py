"""Who the gateway signs in as, and that nothing private of it is told."""

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.drive_credentials import FILE_SCOPE, FULL_SCOPE, READ_SCOPE, scopes_of
from gateway.drive_errors import DriveFull
from gateway.drive_settings import DriveSettings
from gateway.drive_store import DriveStore
from runtime.errors import StartupError, TwinError
from tests.drive_emulator import DriveEmulator
from tests.gateway.drive_rig import PHOTO, drive_store, put

SERVICE_ACCOUNT = "twin@project.iam.gserviceaccount.com"


@pytest.fixture
def emulator(emulator: DriveEmulator) -> DriveEmulator:
    emulator.tokens.add_service_account(SERVICE_ACCOUNT)
    emulator.drive.shared_drives.add("shared-drive-1")
    return emulator


@pytest.fixture(scope="module")
def private_key() -> str:
    key = rsa.generate_private_key(65537, 2048)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*form).decode()


@pytest.fixture
def key_file(emulator: DriveEmulator, private_key: str, tmp_path: Path) -> Path:
    path = tmp_path / "service-account.json"
    key = {
        "type": "service_account",
        "client_email": SERVICE_ACCOUNT,
        "private_key_id": "1",
        "private_key": private_key,
    }
    path.write_text(json.dumps({**key, "token_uri": f"{emulator.url}/token"}))
    return path


@pytest.fixture
async def shared_store(emulator: DriveEmulator, key_file: Path, tmp_path: Path) -> AsyncIterator[DriveStore]:
    """A store in a shared drive, by way of the service account."""
    async with drive_store(
        emulator, tmp_path, google_service_account_file=key_file, drive_shared_drive="shared-drive-1"
    ) as store:
        yield store


async def test_a_service_account_keeps_photos_in_a_shared_drive(
    emulator: DriveEmulator, shared_store: DriveStore
) -> None:
    await shared_store.check()
    key = await put(shared_store)
    assert await shared_store.get(key, 10_000) == PHOTO
    assert emulator.drive.photos()[0].drive_id == "shared-drive-1"


def test_a_service_account_without_a_shared_drive_stops_the_start(key_file: Path, tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="no storage of its own"):
        DriveStore(DriveSettings(data_dir=tmp_path, google_service_account_file=key_file))


async def test_a_service_account_that_has_no_room_hears_why(emulator: DriveEmulator, shared_store: DriveStore) -> None:
    key = await shared_store.reserve("312d8e43-f248-4bd3-a04d-ed1cb5814eb3", "default", "jpg")
    emulator.drive.shared_drives.clear()
    for file in emulator.drive.files.values():
        file.drive_id = None
    with pytest.raises(DriveFull, match="TWIN_DRIVE_SHARED_DRIVE"):
        await shared_store.put(key, PHOTO)


@pytest.mark.parametrize(
    "content", ["", "{}", '{"type": "authorized_user"}', '{"private_key": "x", "client_email": 1}']
)
def test_a_file_that_is_no_key_stops_the_start(tmp_path: Path, content: str) -> None:
    path = tmp_path / "key.json"
    path.write_text(content)
    with pytest.raises(StartupError, match="no service account's key"):
        DriveStore(
            DriveSettings(data_dir=tmp_path, google_service_account_file=path, drive_shared_drive="shared-drive-1")
        )


def test_no_more_is_asked_for_than_what_is_used() -> None:
    assert scopes_of(DriveSettings()) == (FILE_SCOPE,)
    assert scopes_of(DriveSettings(drive_imports=True)) == (FILE_SCOPE, READ_SCOPE)
    assert scopes_of(DriveSettings(drive_full_access=True)) == (FULL_SCOPE,)


async def test_neither_logs_nor_errors_tell_tokens_or_names(
    emulator: DriveEmulator, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("googleapiclient.http").setLevel(logging.ERROR)
    album = emulator.drive.owner_folder("a-planted-folder")
    emulator.drive.owner_file("a-planted-name.jpg", PHOTO, album)
    told: list[str] = []
    async with drive_store(emulator, tmp_path, FILE_SCOPE, READ_SCOPE, drive_folder="a-planted-folder") as store:
        await put(store)
        for kind in ("error_503", "unauthorized_401", "conflict_409", "quota_full", "short_body", "invalid_grant"):
            if kind == "invalid_grant":
                emulator.tokens.expire()
            emulator.faults.add(kind, times=2, message="a-planted-name in Google's words")
            try:
                await put(store)
                assert [found async for found in store.list(album)]
            except TwinError as error:
                told.append(f"{error} {error.metadata}")
            emulator.faults.clear()
    assert len(told) > 2
    told += [record.getMessage() for record in caplog.records if record.name.startswith(("google", "gateway"))]
    told += list(capfd.readouterr())
    secrets = ("a-planted", "a-client-secret", "ya29.", "1//")
    for text in told:
        assert not [secret for secret in secrets if secret in text], text
