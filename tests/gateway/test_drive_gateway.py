"""A gateway whose originals are in Drive: it adds, shows and removes, and goes on searching when Drive is gone."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import grpc
import pytest
from twin.gateway.v1 import gateway_pb2 as pb

from gateway.drive_settings import DriveSettings
from gateway.drive_store import DriveStore
from gateway.service import open_photo_store
from gateway.settings import GatewaySettings
from gateway.store_watch import StoreWatch
from runtime.errors import StartupError
from tests.drive_emulator import DriveEmulator
from tests.gateway.drive_rig import settings_for
from tests.gateway.harness import Gateway, refusal, running_gateway, until
from tests.gateway.pictures import picture

CONSENT = pb.ConsentGrant(policy_version="2026-11")
UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")


@pytest.fixture
async def gateway(emulator: DriveEmulator, tmp_path: Path) -> AsyncIterator[Gateway]:
    store = DriveStore(settings_for(emulator, tmp_path))
    async with running_gateway(tmp_path, store=store) as running:
        yield running


def add(seed: int = 0) -> pb.AddPhotoRequest:
    return pb.AddPhotoRequest(image=picture(seed=seed), consent=CONSENT)


async def test_a_photo_is_kept_shown_and_removed(emulator: DriveEmulator, gateway: Gateway) -> None:
    receipt = (await gateway.stub.AddPhoto(add())).saved_photo
    (file,) = emulator.drive.photos()
    source = gateway.vectors.photos[receipt.photo_id][1].source
    assert source.store == "drive"
    assert file.id in source.key
    pieces = [piece.data async for piece in gateway.stub.GetPhoto(pb.GetPhotoRequest(photo_id=receipt.photo_id))]
    assert file.content is not None
    assert b"".join(pieces) == file.content.read(0, file.content.size)
    found = await gateway.stub.Search(pb.SearchRequest(image=picture(seed=9)))
    twin = found.results[0].twins[0]
    async with aiohttp.ClientSession() as session, session.get(f"{gateway.url}{twin.thumbnail_url}") as response:
        assert response.status == 200
        assert response.content_type == "image/jpeg"
    deleted = await gateway.stub.DeletePhoto(
        pb.DeletePhotoRequest(photo_id=receipt.photo_id, deletion_token=receipt.deletion_token)
    )
    assert deleted.original_removed
    assert emulator.drive.photos() == []


@pytest.mark.parametrize("outage", ["down", "timeout", "slow_bytes"])
async def test_without_drive_adds_fail_in_time_and_searches_go_on(
    emulator: DriveEmulator, gateway: Gateway, outage: str
) -> None:
    receipt = (await gateway.stub.AddPhoto(add())).saved_photo
    if outage == "down":
        emulator.down()
    else:
        emulator.faults.add(outage, times=None)
    began = time.monotonic()
    adding = [asyncio.create_task(refusal(gateway.stub.AddPhoto(add(seed), timeout=20))) for seed in range(1, 5)]
    for _ in range(5):
        found = await gateway.stub.Search(pb.SearchRequest(image=picture(seed=9)))
        assert found.results[0].twins[0].match.photo_id == receipt.photo_id
    assert await asyncio.wait_for(asyncio.gather(*adding), 10.0) == [UNAVAILABLE] * 4
    print(f"refused after {time.monotonic() - began:.2f} s")
    deleted = await gateway.stub.DeletePhoto(
        pb.DeletePhotoRequest(photo_id=receipt.photo_id, deletion_token=receipt.deletion_token)
    )
    assert not deleted.original_removed
    if outage == "down":
        emulator.up()
    emulator.faults.clear()
    await gateway.stub.AddPhoto(add(1))
    # The removal that failed is taken up again, and what was refused left nothing.
    await until(lambda: len(emulator.drive.photos()) == 1)


async def test_an_upload_that_may_have_arrived_is_taken_back(emulator: DriveEmulator, gateway: Gateway) -> None:
    await gateway.stub.AddPhoto(add())
    emulator.faults.add("lost_response", "upload.multipart", times=None)
    emulator.faults.add("error_503", "files.get", times=None)
    adding = asyncio.create_task(refusal(gateway.stub.AddPhoto(add(1))))
    await until(lambda: emulator.faults.happened["lost_response"] > 1)
    assert await adding == UNAVAILABLE
    assert len(emulator.drive.photos()) == 2
    emulator.faults.clear()
    await until(lambda: len(emulator.drive.photos()) == 1)


async def test_the_probe_tells_of_revoked_credentials_and_stays_ready(
    emulator: DriveEmulator, gateway: Gateway, tmp_path: Path
) -> None:
    store = DriveStore(settings_for(emulator, tmp_path))
    watch = StoreWatch(store, gateway.readiness)
    try:
        async with aiohttp.ClientSession() as session:

            async def readyz() -> tuple[int, str]:
                async with session.get(gateway.url + "/readyz") as response:
                    return response.status, await response.text()

            await watch.look()
            assert await readyz() == (200, "ok\n")
            emulator.tokens.revoke_all()
            await watch.look()
            status, text = await readyz()
            assert status == 200
            assert "degraded: photo store:" in text
            assert "twin drive login" in text
            assert gateway.readiness.is_ready
    finally:
        await store.close()


def test_a_store_without_anybody_to_sign_in_as_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="twin drive login"):
        open_photo_store(GatewaySettings(data_dir=tmp_path, photo_store="drive"))
    for text, expected in (("{}", "no token"), ("[]", "no token"), ('{"refresh_token": "x"}', "TWIN_GOOGLE_CLIENT_ID")):
        (tmp_path / "google-token.json").write_text(text)
        with pytest.raises(StartupError, match=expected):
            DriveStore(DriveSettings(data_dir=tmp_path))
