"""Taking the photo with the camera: chromium's fake one, which shows a picture of the test's own."""

import asyncio
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import DESKTOP, PHONE, visit
from tests.browser.steps import see_twin

pytestmark = pytest.mark.browser

_SIDE_PX = 640


@pytest.fixture
def camera_film(gauss_photo: Path, tmp_path: Path) -> Path:
    """A film of one picture, as chromium's fake camera shows it over and over: JPEGs one after the other."""
    portrait = cv2.imread(str(gauss_photo))
    assert portrait is not None
    side = min(portrait.shape[:2])
    square = cv2.resize(portrait[:side, :side], (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA)
    encoded = cv2.imencode(".jpg", np.asarray(square, np.uint8))[1].tobytes()
    film = tmp_path / "camera.mjpeg"
    film.write_bytes(encoded * 2)
    return film


def _camera(film: Path) -> list[str]:
    return [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={film}",
    ]


async def _open(page: Page) -> None:
    await page.get_by_role("button", name="Use the camera").click()
    await expect(page.get_by_text("Look straight at the camera")).to_be_visible()


async def test_a_photo_from_the_camera_is_searched_with(twin_page_url: str, camera_film: Path) -> None:
    async with visit(twin_page_url, DESKTOP, arguments=_camera(camera_film)) as page:
        await _open(page)
        shutter = page.get_by_role("button", name="Take the photo")
        await expect(shutter).to_be_focused()
        await page.keyboard.press("Enter")
        await see_twin(page)
        await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_leaving_the_camera_ends_the_recording(twin_page_url: str, camera_film: Path) -> None:
    async with visit(twin_page_url, PHONE, arguments=_camera(camera_film)) as page:
        await _open(page)
        track = await page.evaluate_handle("document.querySelector('video').srcObject.getTracks()[0]")
        assert await track.evaluate("track => track.readyState") == "live"
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        async with asyncio.timeout(10):
            while await track.evaluate("track => track.readyState") != "ended":  # noqa: ASYNC110 - the browser's state
                await asyncio.sleep(0.05)
        await expect(page.get_by_role("heading", name="Who looks like you?")).to_be_visible()


async def test_a_camera_that_may_not_be_used_is_explained(twin_page_url: str) -> None:
    async with visit(twin_page_url, DESKTOP, arguments=["--deny-permission-prompts"]) as page:
        await page.get_by_role("button", name="Use the camera").click()
        await expect(page.get_by_role("alert")).to_contain_text("camera")
        await expect(page.get_by_role("button", name="Take the photo")).to_have_count(0)
        await page.get_by_role("button", name="Cancel").click()
        await expect(page.get_by_role("button", name="Choose a photo", exact=True)).to_be_visible()
