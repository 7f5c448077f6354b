"""A large original goes through the gateway a piece at a time, from a Drive in another process."""

import asyncio
import hashlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
from pydantic import SecretStr
from twin.gateway.v1 import gateway_pb2 as pb

from gateway.drive_settings import DriveSettings
from gateway.drive_store import DriveStore
from tests.gateway.harness import Gateway, running_gateway
from tests.gateway.pictures import picture

LARGE_BYTES = 200 * 2**20
# Pieces of 4 MiB under way, and what the allocator keeps of them; a tenth of a quarter of the original would be more.
MOST_MORE_BYTES = 48 * 2**20


@dataclass
class OtherProcess:
    url: str
    token_json: str

    def ask(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"{self.url}/emulator/{path}", data) as response:
            return json.load(response)


@pytest.fixture
def emulator() -> Iterator[OtherProcess]:
    command = [sys.executable, "-m", "tests.drive_emulator"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield OtherProcess(**json.loads(process.stdout.readline()))
        process.communicate()
    assert process.returncode == 0


@pytest.fixture
async def gateway(emulator: OtherProcess, tmp_path: Path) -> AsyncIterator[Gateway]:
    settings = DriveSettings(
        data_dir=tmp_path, google_token_json=SecretStr(emulator.token_json), drive_endpoint=emulator.url
    )
    async with running_gateway(tmp_path, store=DriveStore(settings)) as running:
        yield running


async def large_photo(gateway: Gateway, emulator: OtherProcess) -> tuple[pb.Twin, str]:
    """Keeps a photo and puts a large original in its place; returns it as it is found, and the original's md5."""
    consent = pb.ConsentGrant(policy_version="2026-11")
    photo_id = (await gateway.stub.AddPhoto(pb.AddPhotoRequest(image=picture(), consent=consent))).saved_photo.photo_id
    marks = {"twin": "original", "photo_id": photo_id, "gallery": "default", "suffix": "jpg"}
    large = emulator.ask("large-file", {"name": "large.jpg", "size": LARGE_BYTES, "appProperties": marks})
    gateway.vectors.photos[photo_id][1].source.key = f"kept/default/{photo_id}-{large['id']}.jpg"
    found = await gateway.stub.Search(pb.SearchRequest(image=picture(seed=9)))
    return found.results[0].twins[0], large["md5Checksum"]


class PeakMemory:
    """The most memory that this process has had more than at first."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._first = self._process.memory_info().rss
        self.more_bytes = 0

    def look(self) -> None:
        self.more_bytes = max(self.more_bytes, self._process.memory_info().rss - self._first)


async def test_memory_stays_flat_while_a_large_original_streams(gateway: Gateway, emulator: OtherProcess) -> None:
    async with aiohttp.ClientSession() as session:
        twin, md5 = await large_photo(gateway, emulator)
        url = gateway.url + twin.image_url.replace("size=large", "size=original")
        # What fails on the way is read again from where it was, and the reader does not notice.
        emulator.ask(
            "faults", [{"kind": kind, "on": "files.media", "after": 5} for kind in ("error_503", "short_body")]
        )
        peak, received = PeakMemory(), hashlib.md5()
        async with session.get(url) as response:
            assert response.content_length == LARGE_BYTES
            async for piece in response.content.iter_chunked(2**20):
                received.update(piece)
                peak.look()
        assert received.hexdigest() == md5
        assert len(emulator.ask("state")["happened"]) == 2
        received = hashlib.md5()
        async for part in gateway.stub.GetPhoto(pb.GetPhotoRequest(photo_id=twin.match.photo_id)):
            received.update(part.data)
            peak.look()
        assert received.hexdigest() == md5
        print(f"{peak.more_bytes / 2**20:.0f} MiB more at most")
        assert peak.more_bytes < MOST_MORE_BYTES
        before = emulator.ask("state")["requests"]["files.media"]
        async with session.get(url, headers={"Range": "bytes=100000000-100000099"}) as response:
            assert response.status == 206
            assert len(await response.read()) == 100
        assert emulator.ask("state")["requests"]["files.media"] == before + 1


async def test_an_original_that_stops_coming_is_not_taken_for_whole(gateway: Gateway, emulator: OtherProcess) -> None:
    async with aiohttp.ClientSession() as session:
        twin, _ = await large_photo(gateway, emulator)
        url = gateway.url + twin.image_url.replace("size=large", "size=original")
        emulator.ask("faults", [{"kind": "quota_full", "on": "files.media", "after": 2, "times": None}])
        with pytest.raises(aiohttp.ClientPayloadError):
            async with session.get(url) as response:
                assert response.status == 200
                await asyncio.wait_for(response.read(), 30)
        async with session.get(url) as response:
            assert response.status == 503
