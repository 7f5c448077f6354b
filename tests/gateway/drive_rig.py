"""A Drive store that talks to the emulator."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.drive_settings import DriveSettings
from gateway.drive_store import DriveStore
from tests.drive_emulator import DriveEmulator

PHOTO = b"the bytes of a photo" * 50


def settings_for(emulator: DriveEmulator, folder: Path, *scopes: str, **more: Any) -> DriveSettings:
    return DriveSettings(
        **{
            "data_dir": folder,
            "google_token_json": emulator.token_json(*scopes),
            "drive_endpoint": emulator.url,
            **more,
        }
    )


@asynccontextmanager
async def drive_store(
    emulator: DriveEmulator, folder: Path, *scopes: str, workers: int = 4, **more: Any
) -> AsyncIterator[DriveStore]:
    store = DriveStore(settings_for(emulator, folder, *scopes, **more), workers=workers)
    try:
        yield store
    finally:
        await store.close()


async def put(store: DriveStore, data: bytes = PHOTO, gallery: str = "default") -> str:
    """Stores a photo as the gateway does; returns its key."""
    key = await store.reserve(str(uuid.uuid4()), gallery, "jpg")
    await store.put(key, data)
    return key
