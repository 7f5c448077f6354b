"""Exporting: the archive, who gets it, and over which ways."""

import asyncio
import hashlib
import io
import json
import uuid
import zipfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from structlog.testing import capture_logs
from twin.gateway.v1 import gateway_pb2 as pb

from gateway.local_store import LocalStore
from gateway.metrics import EXPORTS
from runtime.errors import DependencyUnavailable
from tests.gateway.fakes import vector_of
from tests.gateway.harness import ADMIN, Gateway, refusal, running_gateway
from tests.gateway.pictures import picture

CONSENT = pb.ConsentGrant(policy_version="2026-11", time_to_live=Duration(seconds=86_400))
TOKEN_LIKE = "A" * 43


async def _kept(gateway: Gateway, **fields: Any) -> pb.SavedPhoto:
    request = pb.AddPhotoRequest(image=picture(), consent=CONSENT, **fields)
    receipt: pb.SavedPhoto = (await gateway.stub.AddPhoto(request)).saved_photo
    return receipt


async def _exported(gateway: Gateway, photo_id: str, token: str = "", **options: Any) -> list[bytes]:
    request = pb.ExportPhotoRequest(photo_id=photo_id, deletion_token=token)
    return [piece.data async for piece in gateway.stub.ExportPhoto(request, **options)]


def _opened(pieces: list[bytes]) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Returns the files of an archive, checked, and its record."""
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as archive:
        assert archive.testzip() is None
        files = {name: archive.read(name) for name in archive.namelist()}
    return files, json.loads(files["photo.json"])


async def test_the_archive_holds_the_record_the_original_and_the_consent(gateway: Gateway) -> None:
    receipt = await _kept(gateway, person="Ada", persons={0: "Ada L."}, original_filename="ada.jpg", collection="some")
    files, record = _opened(await _exported(gateway, receipt.photo_id, receipt.deletion_token))
    assert sorted(files) == ["consent.txt", "original.jpg", "photo.json"]
    (kept,) = gateway.kept_files()
    assert files["original.jpg"] == kept.read_bytes()
    assert files["consent.txt"].decode() == gateway.service._consent.texts["2026-11"]
    assert (record["original_file"], record["consent_file"], record["gallery"]) == (
        "original.jpg",
        "consent.txt",
        "default",
    )
    assert record["original"] == "included"
    photo = record["photo"]
    stored = gateway.vectors.photos[receipt.photo_id][1]
    assert photo["photo_id"] == receipt.photo_id
    assert photo["sha256"] == hashlib.sha256(picture()).hexdigest()
    assert (photo["person"], photo["original_filename"], photo["collection"]) == ("Ada", "ada.jpg", "some")
    assert photo["source"] == {"store": "local", "key": stored.source.key}
    assert photo["consent"]["policy_version"] == "2026-11"
    assert photo["consent"]["time_to_live"] == "86400s"
    assert photo["consent"]["grant_time"]
    (face,) = photo["faces"]
    assert face["person"] == "Ada L."
    assert face["face"]["box"] == {"left": 20, "top": 20, "width": 40, "height": 50}
    assert face["face"]["landmarks"]["left_eye"] == {"x": 30, "y": 40}
    assert face["face"]["embedding"]["model_id"] == "fake-model-1"
    assert np.array_equal(np.float32(face["face"]["embedding"]["values"]), vector_of(picture(), 0))
    assert receipt.deletion_token not in files["photo.json"].decode()
    assert "deletion_token_sha256" not in files["photo.json"].decode()


async def test_the_consent_is_handed_out_in_the_language_in_which_it_was_read(gateway: Gateway) -> None:
    consent = pb.ConsentGrant(policy_version="2026-11.de")
    added = await gateway.stub.AddPhoto(pb.AddPhotoRequest(image=picture(), consent=consent))
    receipt = added.saved_photo
    assert gateway.vectors.photos[receipt.photo_id][1].consent.policy_version == "2026-11.de"
    files, record = _opened(await _exported(gateway, receipt.photo_id, receipt.deletion_token))
    assert record["photo"]["consent"]["policy_version"] == "2026-11.de"
    assert files["consent.txt"].decode().startswith("Dein Foto behalten")


async def test_a_wrong_token_and_an_unknown_photo_are_told_apart_by_nothing(gateway: Gateway) -> None:
    receipt = await _kept(gateway)
    told = []
    for photo_id, token in ((receipt.photo_id, TOKEN_LIKE), (str(uuid.uuid4()), receipt.deletion_token)):
        calls_before = gateway.vectors.script.calls["ExportPhoto"]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _exported(gateway, photo_id, token)
        details = dict(caught.value.trailing_metadata() or ())["grpc-status-details-bin"]
        calls = gateway.vectors.script.calls["ExportPhoto"] - calls_before
        told.append((caught.value.code(), caught.value.details(), details, calls))
    assert told[0] == told[1]
    assert told[0][0] is grpc.StatusCode.NOT_FOUND


async def test_a_visitor_without_a_token_never_reaches_the_vector_store(gateway: Gateway) -> None:
    receipt = await _kept(gateway)
    assert await refusal(_exported(gateway, receipt.photo_id)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert gateway.vectors.script.calls["ExportPhoto"] == 0
    files, _ = _opened(await _exported(gateway, receipt.photo_id, metadata=ADMIN))
    assert "original.jpg" in files


async def test_an_original_that_is_gone_or_its_owners_is_left_out(gateway: Gateway) -> None:
    receipt = await _kept(gateway)
    (kept,) = gateway.kept_files()
    kept.unlink()
    files, record = _opened(await _exported(gateway, receipt.photo_id, receipt.deletion_token))
    assert (sorted(files), record["original_file"]) == (["consent.txt", "photo.json"], "")
    assert record["original"] == "gone"
    stored = gateway.vectors.photos[receipt.photo_id][1]
    (gateway.photos_dir / "holidays.png").write_bytes(picture())
    stored.source.key = "holidays.png"
    stored.ClearField("consent")
    files, record = _opened(await _exported(gateway, receipt.photo_id, receipt.deletion_token))
    assert (sorted(files), record["original_file"], record["consent_file"]) == (["photo.json"], "", "")
    assert record["original"] == "not_kept"


async def test_an_original_that_is_held_in_another_store_is_told_to_be_missing(gateway: Gateway) -> None:
    receipt = await _kept(gateway)
    gateway.vectors.photos[receipt.photo_id][1].source.store = "drive"
    counted = EXPORTS.labels("out_of_reach")._value.get()
    with capture_logs() as logs:
        files, record = _opened(await _exported(gateway, receipt.photo_id, receipt.deletion_token))
    assert sorted(files) == ["consent.txt", "original-left-out.txt", "photo.json"]
    assert b"is not in this archive" in files["original-left-out.txt"]
    assert (record["original"], record["original_file"]) == ("out_of_reach", "")
    assert record["photo"]["source"]["store"] == "drive"
    request = pb.ExportPhotoRequest(photo_id=receipt.photo_id, deletion_token=receipt.deletion_token)
    assert {piece.original async for piece in gateway.stub.ExportPhoto(request)} == {pb.EXPORTED_ORIGINAL_OUT_OF_REACH}
    assert EXPORTS.labels("out_of_reach")._value.get() == counted + 2
    assert [entry["log_level"] for entry in logs if entry["log_level"] != "debug"] == ["warning"]


class _LargeStore(LocalStore):
    """Every original is of 40 MB, and nothing of it is there before it is asked for."""

    size_bytes = 40 * 10**6
    read_bytes = 0
    fails_at: int | None = None

    async def stat(self, key: str) -> Any:
        found = await super().stat(key)
        return type(found)(found.key, self.size_bytes, found.modify_time_s)

    async def read(self, key: str, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        while start < stop:
            if self.fails_at is not None and start >= self.fails_at:
                raise DependencyUnavailable(self.name)
            piece = bytes(min(2**18, stop - start))
            self.read_bytes += len(piece)
            yield piece
            start += len(piece)


async def test_a_large_original_is_sent_while_it_is_read(tmp_path: Path) -> None:
    store = _LargeStore(tmp_path / "data" / "photos")
    async with running_gateway(tmp_path, store=store) as gateway:
        receipt = await _kept(gateway)
        request = pb.ExportPhotoRequest(photo_id=receipt.photo_id, deletion_token=receipt.deletion_token)
        pieces: list[bytes] = []
        async for piece in gateway.stub.ExportPhoto(request):
            if not pieces:
                assert b"photo.json" in piece.data
                await asyncio.sleep(0.1)
                assert store.read_bytes < store.size_bytes / 2, "who reads slowly is read for slowly"
            pieces.append(piece.data)
        assert max(len(piece) for piece in pieces) <= 64 * 1024
        files, _ = _opened(pieces)
        assert len(files["original.jpg"]) == store.size_bytes


@pytest.mark.parametrize("fails_at", [0, 10**7])
async def test_a_store_that_fails_leaves_no_archive_that_looks_whole(tmp_path: Path, fails_at: int) -> None:
    store = _LargeStore(tmp_path / "data" / "photos")
    async with running_gateway(tmp_path, store=store) as gateway:
        receipt = await _kept(gateway)
        store.fails_at = fails_at
        refused = (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
        assert await refusal(_exported(gateway, receipt.photo_id, receipt.deletion_token)) == refused
        form = {"deletion_token": receipt.deletion_token}
        address = f"{gateway.url}/photos/{receipt.photo_id}/export"
        patience = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(timeout=patience) as session, session.post(address, data=form) as response:
            assert response.status == (503 if fails_at == 0 else 200)
            if fails_at:
                with pytest.raises(aiohttp.ClientPayloadError):
                    await response.read()


async def test_a_browser_downloads_the_same_archive_by_a_form(gateway: Gateway) -> None:
    receipt = await _kept(gateway)
    address = f"{gateway.url}/photos/{receipt.photo_id}/export"
    async with aiohttp.ClientSession() as session:
        async with session.post(address, data={"deletion_token": receipt.deletion_token}) as response:
            assert response.status == 200
            assert response.content_type == "application/zip"
            assert response.headers["Cache-Control"] == "no-store"
            assert response.headers["Content-Disposition"] == f'attachment; filename="photo-{receipt.photo_id}.zip"'
            by_form = await response.read()
        assert [by_form] == [b"".join(await _exported(gateway, receipt.photo_id, receipt.deletion_token))]

        told = []
        for photo_id in (receipt.photo_id, str(uuid.uuid4())):
            other = f"{gateway.url}/photos/{photo_id}/export"
            async with session.post(other, data={"deletion_token": TOKEN_LIKE}) as response:
                told.append((response.status, await response.text(), response.headers.get("Content-Type")))
        assert told[0] == told[1]
        assert told[0][0] == 404
        for address_, form, status in (
            (address, {}, 400),
            (f"{gateway.url}/photos/nonsense/export", {"deletion_token": TOKEN_LIKE}, 400),
        ):
            async with session.post(address_, data=form) as response:
                assert response.status == status
        foreign = {"Origin": "https://elsewhere.example"}
        async with session.post(address, data={"deletion_token": TOKEN_LIKE}, headers=foreign) as response:
            assert response.status == 403
