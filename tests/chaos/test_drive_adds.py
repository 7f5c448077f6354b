"""A thousand photos are added while a fifth of Drive's answers go wrong: each is there once, and nothing else is."""

import asyncio
import time
from collections import Counter
from pathlib import Path

import grpc
import pytest
from twin.gateway.v1 import gateway_pb2 as pb

from gateway.drive_store import DriveStore
from gateway.sweep import Sweeper
from tests.drive_emulator import DriveEmulator
from tests.gateway.drive_rig import settings_for
from tests.gateway.harness import running_gateway
from tests.gateway.pictures import picture

PHOTOS = 1000
AT_ONCE = 16
CONSENT = pb.ConsentGrant(policy_version="2026-11")
# Percent of all requests. What is answered too late is the rarest: each takes the whole patience there is.
FAULTS = {
    "error_500": 2.5,
    "error_503": 2.5,
    "lost_response": 4,
    "rate_limit_403": 3,
    "rate_limit_429": 3,
    "short_body": 2.5,
    "timeout": 0.5,
    "unauthorized_401": 2,
}


@pytest.mark.chaos
@pytest.mark.timeout(900)
async def test_adds_survive_a_drive_that_fails_at_every_fifth_request(tmp_path: Path) -> None:
    with DriveEmulator(seed=20) as emulator:
        store = DriveStore(settings_for(emulator, tmp_path))
        for kind, percent in FAULTS.items():
            emulator.faults.add(kind, times=None, percent=percent)
        emulator.faults.add("conflict_409", "upload.multipart", times=None, percent=2)
        emulator.faults.add("invalid_grant", "token", times=None, percent=5)
        async with running_gateway(tmp_path, store=store) as gateway:
            refusals: Counter[str] = Counter()
            free = asyncio.Semaphore(AT_ONCE)

            async def add(number: int) -> None:
                image = picture(seed=number)
                async with free:
                    while True:
                        try:
                            await gateway.stub.AddPhoto(pb.AddPhotoRequest(image=image, consent=CONSENT), timeout=60)
                        except grpc.aio.AioRpcError as error:
                            refusals[error.code().name] += 1
                            if error.code() is grpc.StatusCode.ALREADY_EXISTS:
                                return
                        else:
                            return

            began = time.monotonic()
            await asyncio.gather(*(add(number) for number in range(PHOTOS)))
            seconds = time.monotonic() - began
            happened, requests = emulator.faults.happened, emulator.faults.requests
            share = sum(happened.values()) / sum(requests.values())
            print(f"{PHOTOS} photos in {seconds:.0f} s, {sum(requests.values())} requests, {share:.0%} of them failing")
            print(f"faults {dict(happened)}; refused {dict(refusals)}; {len(emulator.drive.photos())} files at first")
            emulator.faults.clear()
            assert set(refusals) <= {"UNAVAILABLE", "ALREADY_EXISTS"}
            assert share > 0.15
            assert len(gateway.vectors.photos) == PHOTOS
            while await Sweeper(gateway.service._vectors, store, store_timeout_s=10, min_age_s=-1).sweep():
                pass
            named = sorted(photo.source.key for _, photo in gateway.vectors.photos.values())
            assert sorted([found.key async for found in store.list("kept")]) == named
            assert len(emulator.drive.photos()) == PHOTOS
            assert len(emulator.drive.folders()) == 1
