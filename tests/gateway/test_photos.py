"""Photos over HTTP: signed addresses, sizes, faces, caching, ranges; and the cache's bounds."""

import io
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import cv2
import numpy as np
import pytest
from PIL import Image
from twin.gateway.v1 import gateway_pb2 as pb

from gateway.photo_cache import PhotoCache
from gateway.photo_urls import PhotoUrls
from gateway.pixels import crop_face, rebuild
from runtime.errors import DependencyUnavailable
from runtime.images.decode import ImageLimits, decode
from tests.gateway.harness import ADMIN, Gateway
from tests.gateway.pictures import SECRETS, picture, with_secrets

KEY = bytes(32)
LIMITS = ImageLimits(2**20, 10**6)
PHOTO_ID = "123e4567-e89b-42d3-a456-426614174000"


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def twin_of(gateway: Gateway, image: bytes) -> pb.Twin:
    await gateway.stub.AddPhoto(pb.AddPhotoRequest(image=image), metadata=ADMIN)
    found = await gateway.stub.Search(pb.SearchRequest(image=image))
    twin: pb.Twin = found.results[0].yourself[0]
    return twin


def query(url: str) -> tuple[str, str, str]:
    fields = dict(part.split("=") for part in url.partition("?")[2].split("&"))
    return fields.get("face", ""), fields["expires"], fields["signature"]


def test_an_address_is_good_for_its_time_and_not_longer() -> None:
    now = 1_800_000_000.0
    urls = PhotoUrls(KEY, 3600, clock=lambda: now)
    url = urls.make(PHOTO_ID, "thumb", 7)
    left_s = urls.seconds_left(PHOTO_ID, *query(url))
    assert left_s is not None
    assert 3600 <= left_s <= 3600 * 1.25
    now += left_s - 1
    assert urls.seconds_left(PHOTO_ID, *query(url)) == 1
    now += 1
    assert urls.seconds_left(PHOTO_ID, *query(url)) is None


def test_addresses_made_soon_after_one_another_are_equal() -> None:
    now = 1_800_000_000.0
    urls = PhotoUrls(KEY, 3600, clock=lambda: now)
    first = urls.make(PHOTO_ID, "thumb")
    now += 899
    assert urls.make(PHOTO_ID, "thumb") == first
    now += 1
    assert urls.make(PHOTO_ID, "thumb") != first


def test_a_signature_is_for_one_photo_one_face_one_time_and_one_key() -> None:
    urls = PhotoUrls(KEY, 3600)
    face, expires, signature = query(urls.make(PHOTO_ID, "thumb", 7))
    assert urls.seconds_left(PHOTO_ID, face, expires, signature)
    for wrong in (
        (PHOTO_ID[:-1] + "1", face, expires, signature),
        (PHOTO_ID, "8", expires, signature),
        (PHOTO_ID, "", expires, signature),
        (PHOTO_ID, face, str(int(expires) + 1), signature),
        (PHOTO_ID, face, expires, signature[:-1] + ("0" if signature[-1] != "0" else "1")),
        (PHOTO_ID, face, expires, ""),
        (PHOTO_ID, face, expires, "é"),
    ):
        assert urls.seconds_left(*wrong) is None, wrong
    assert PhotoUrls(b"1" * 32, 3600).seconds_left(PHOTO_ID, face, expires, signature) is None


async def test_wrong_and_old_addresses_are_forbidden(gateway: Gateway, session: aiohttp.ClientSession) -> None:
    twin = await twin_of(gateway, picture())
    url = gateway.url + twin.thumbnail_url
    key = gateway.data_dir / "gateway" / "url.key"
    assert key.stat().st_mode & 0o777 == 0o600
    old = PhotoUrls(bytes.fromhex(key.read_text()), 10, clock=lambda: time.time() - 100)
    bad = [url[:-1] + ("0" if url[-1] != "0" else "1"), url.partition("?")[0], url.replace("size=thumb", "size=huge")]
    bad.append(gateway.url + old.make(twin.match.photo_id, "thumb"))
    for address in bad:
        async with session.get(address) as response:
            assert response.status == 403


async def test_every_size_is_a_clean_jpeg_of_at_most_that_size(
    gateway: Gateway, session: aiohttp.ClientSession
) -> None:
    twin = await twin_of(gateway, picture(size=(2400, 1200)))
    for size, expected in (("thumb", (320, 160)), ("large", (1600, 800)), ("original", (2400, 1200))):
        async with session.get(gateway.url + twin.image_url.replace("size=large", f"size={size}")) as response:
            assert response.status == 200
            assert response.headers["Cache-Control"].startswith("private, max-age=")
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.content_type == "image/jpeg"
            with Image.open(io.BytesIO(await response.read())) as image:
                assert image.size == expected


async def test_what_is_served_of_an_import_has_no_metadata(
    importing_gateway: Gateway, session: aiohttp.ClientSession
) -> None:
    gateway = importing_gateway
    (gateway.photos_dir / "phone.jpg").write_bytes(with_secrets("JPEG"))
    async for _ in gateway.stub.ImportPhotos(pb.ImportPhotosRequest(), metadata=ADMIN):
        pass
    found = await gateway.stub.Search(pb.SearchRequest(image=with_secrets("JPEG")))
    twin = found.results[0].yourself[0]
    for url in (twin.image_url, twin.thumbnail_url, twin.face_url, twin.image_url.replace("large", "original")):
        async with session.get(gateway.url + url) as response:
            data = await response.read()
        assert not any(secret in data for secret in SECRETS)
        with Image.open(io.BytesIO(data)) as image:
            assert not image.getexif()


async def test_a_face_of_another_photo_is_not_found(gateway: Gateway, session: aiohttp.ClientSession) -> None:
    first = await twin_of(gateway, picture(seed=1))
    second = await twin_of(gateway, picture(seed=2))
    urls = PhotoUrls(bytes.fromhex((gateway.data_dir / "gateway" / "url.key").read_text()), 60)
    mixed = urls.make(first.match.photo_id, "thumb", second.match.face_id)
    async with session.get(gateway.url + mixed) as response:
        assert response.status == 404
    for photo_id in ("not-a-uuid", PHOTO_ID):
        async with session.get(gateway.url + urls.make(photo_id, "thumb")) as response:
            assert response.status == 404


async def test_browsers_need_not_fetch_again_what_they_have(gateway: Gateway, session: aiohttp.ClientSession) -> None:
    twin = await twin_of(gateway, picture())
    url = gateway.url + twin.thumbnail_url
    async with session.get(url) as response:
        tag = response.headers["ETag"]
    async with session.get(url, headers={"If-None-Match": f'"other", {tag}'}) as response:
        assert response.status == 304
        assert await response.read() == b""
    async with session.get(gateway.url + twin.image_url) as response:
        assert response.headers["ETag"] != tag


@pytest.mark.parametrize(
    ("wanted", "status", "part"),
    [
        ("bytes=0-9", 206, slice(0, 10)),
        ("bytes=10-", 206, slice(10, None)),
        ("bytes=-10", 206, slice(-10, None)),
        ("bytes=0-999999999", 206, slice(0, None)),
        ("bytes=999999999-", 416, None),
        ("bytes=9-1", 200, slice(None)),
        ("bytes=0-1,4-5", 200, slice(None)),
        ("lines=0-1", 200, slice(None)),
    ],
)
async def test_parts_of_an_original_can_be_asked_for(
    gateway: Gateway, session: aiohttp.ClientSession, wanted: str, status: int, part: slice | None
) -> None:
    twin = await twin_of(gateway, picture())
    whole = gateway.kept_files()[0].read_bytes()
    url = gateway.url + twin.image_url.replace("size=large", "size=original")
    async with session.get(url, headers={"Range": wanted}) as response:
        assert response.status == status
        data = await response.read()
        if part is not None:
            assert data == whole[part]
        if status == 206:
            start = whole.index(data) if len(data) > 9 else 0
            assert response.headers["Content-Range"] == f"bytes {start}-{start + len(data) - 1}/{len(whole)}"
    async with session.get(url, headers={"Range": "bytes=0-9", "If-Range": '"older"'}) as response:
        assert response.status == 200


async def test_a_gone_vector_store_is_unavailable_and_no_photo_is_served(
    gateway: Gateway, session: aiohttp.ClientSession
) -> None:
    twin = await twin_of(gateway, picture())
    gateway.vectors.script.fail("GetPhoto", DependencyUnavailable("postgres"))
    async with session.get(gateway.url + twin.thumbnail_url) as response:
        assert response.status == 503
    gateway.vectors.script.fail("GetPhoto", RuntimeError("a secret"))
    async with session.get(gateway.url + twin.thumbnail_url) as response:
        assert response.status == 500
        assert "a secret" not in await response.text()


def test_a_turned_face_is_cropped_upright() -> None:
    """A face with eyes of two colours, turned by 30 degrees: in the crop they are level, left stays left."""
    canvas = np.full((400, 400, 3), 128, np.uint8)
    turn = cv2.getRotationMatrix2D((200.0, 200.0), 30, 1.0)
    left, right = (turn @ np.array([[170, 230], [190, 190], [1, 1]])).T
    cv2.circle(canvas, (round(left[0]), round(left[1])), 8, (255, 0, 0), -1)
    cv2.circle(canvas, (round(right[0]), round(right[1])), 8, (0, 0, 255), -1)
    eyes = ((float(left[0]), float(left[1])), (float(right[0]), float(right[1])))
    crop = decode(crop_face(canvas, (150, 150, 100, 100), eyes, 256), LIMITS)
    assert crop.shape == (256, 256, 3)
    blue = np.argwhere((crop[..., 0] > 200) & (crop[..., 2] < 90)).mean(axis=0)
    red = np.argwhere((crop[..., 2] > 200) & (crop[..., 0] < 90)).mean(axis=0)
    assert abs(blue[0] - red[0]) < 2
    assert red[1] - blue[1] == pytest.approx(60 * 256 / 170, abs=3)


@pytest.mark.parametrize(
    "box", [(-50, -50, 80, 80), (390, 390, 40, 40), (900, 900, 10, 10), (0, 0, 400, 400), (5, 5, 0, 0)]
)
def test_a_box_at_or_beyond_the_edge_still_gives_a_picture(box: tuple[float, float, float, float]) -> None:
    canvas = np.full((400, 400, 3), 128, np.uint8)
    with Image.open(io.BytesIO(crop_face(canvas, box, None, 256))) as image:
        assert max(image.size) <= 256


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_what_is_kept_of_a_transparent_picture_is_upright_and_on_white(form: str) -> None:
    image = Image.new("RGBA", (40, 20), (10, 20, 30, 0))
    image.paste((200, 100, 50, 255), (20, 0, 40, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # The top is on the right: what is stored at the left belongs to the top.
    buffer = io.BytesIO()
    image.save(buffer, form, exif=exif, **({"lossless": True, "exact": True} if form == "WEBP" else {}))
    kept = rebuild(buffer.getvalue(), LIMITS, 2**20)
    assert (kept.width, kept.height) == (20, 40)
    pixels = decode(kept.data, LIMITS).astype(int)
    assert np.abs(pixels[4, 10] - (255, 255, 255)).max() <= 2
    assert np.abs(pixels[35, 10] - (50, 100, 200)).max() <= 2


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_cache_stays_within_its_size_and_drops_the_least_lately_used(tmp_path: Path) -> None:
    cache = PhotoCache(tmp_path / "cache", 1000)
    for number in range(4):
        cache.put(f"photo{number}", "thumb", bytes(250))
    assert cache.get("photo0", "thumb") == bytes(250)
    cache.put("photo4", "thumb", bytes(250))
    assert cache.get("photo1", "thumb") is None
    assert cache.get("photo0", "thumb") is not None
    assert cache.total_bytes == 1000
    assert files(tmp_path / "cache") == {f"photo{number}/thumb" for number in (0, 2, 3, 4)}
    cache.put("photo5", "thumb", bytes(999))
    assert cache.get("photo5", "thumb") is None, "one picture does not push out all others"
    cache.put("photo0", "thumb", bytes(100))
    assert cache.total_bytes == 850


def test_a_cache_that_somebody_else_cleans_goes_on(tmp_path: Path) -> None:
    cache = PhotoCache(tmp_path / "cache", 1000)
    for number in range(4):
        cache.put(f"photo{number}", "thumb", bytes(250))
    shutil.rmtree(tmp_path / "cache" / "photo0")
    cache.put("photo4", "thumb", bytes(250))
    assert cache.get("photo4", "thumb") == bytes(250)
    assert cache.total_bytes == 1000


def test_a_new_process_takes_the_cache_over_within_its_own_size(tmp_path: Path) -> None:
    cache = PhotoCache(tmp_path / "cache", 1000)
    for number in range(4):
        cache.put(f"photo{number}", "thumb", bytes(250))
    (tmp_path / "cache" / "photo0" / ".half").write_bytes(b"x")
    again = PhotoCache(tmp_path / "cache", 500)
    assert again.total_bytes == 500
    assert len(files(tmp_path / "cache")) == 2


def test_a_purged_photo_does_not_come_back_from_work_in_progress(tmp_path: Path) -> None:
    cache = PhotoCache(tmp_path / "cache", 1000)
    cache.put("photo", "thumb", b"1")
    cache.put("photo", "large", b"2")
    cache.purge("photo")
    cache.put("photo", "thumb", b"1")
    assert cache.get("photo", "thumb") is None
    assert cache.total_bytes == 0
    assert files(tmp_path / "cache") == set()
