"""axe finds nothing on any view, in either colours, on a desk and on a phone."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser.axe import violations
from tests.browser.conftest import DESKTOP, PHONE, visit
from tests.browser.steps import see_twin
from tests.support.photos import no_face_jpeg

pytestmark = pytest.mark.browser


@pytest.fixture(params=["light-desk", "dark-desk", "light-phone", "dark-phone"])
async def view(request: pytest.FixtureRequest, twin_page_url: str) -> AsyncIterator[Page]:
    """The page in one colour scheme and size; without motion, so that nothing is looked at on its way."""
    scheme, size = request.param.split("-")
    viewport = DESKTOP if size == "desk" else PHONE
    fake_camera = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    async with visit(
        twin_page_url, viewport, arguments=fake_camera, color_scheme=scheme, reduced_motion="reduce"
    ) as page:
        yield page


async def test_the_search(view: Page, six_faces_photo: Path) -> None:
    assert await violations(view) == []
    await view.get_by_role("button", name="Use the camera").click()
    await expect(view.get_by_text("Look straight at the camera")).to_be_visible()
    assert await violations(view) == []
    await view.keyboard.press("Escape")
    await view.locator("input[type=file]").first.set_input_files(six_faces_photo)
    await see_twin(view)
    await view.get_by_role("button", name="Find everyone's twin").click()
    await view.locator(".everyone").wait_for()
    assert await violations(view) == []
    await view.get_by_text("Slide", exact=True).click()
    await view.get_by_role("button", name="Keep my photo here").click()
    await view.locator(".consent-text").wait_for()
    assert await violations(view) == []
    await view.locator(".others:not(.everyone) .card").first.click()
    await view.locator(".viewer-outline").wait_for()
    assert await violations(view) == []


async def test_the_other_places(view: Page, newton_photo: Path, six_faces_photo: Path) -> None:
    await view.get_by_role("link", name="Compare two photos").click()
    assert await violations(view) == []
    files = view.locator("input[type=file]")
    await files.first.set_input_files(newton_photo)
    await view.get_by_role("button", name="Change the first photo").wait_for()
    await files.nth(1).set_input_files(six_faces_photo)
    await expect(view.get_by_role("heading", name="Two people")).to_be_visible()
    assert await violations(view) == []
    await view.get_by_role("link", name="Remove a photo").click()
    assert await violations(view) == []
    await view.get_by_role("link", name="Find Your Twin, start page").click()
    wall = {"name": "wall.jpg", "mimeType": "image/jpeg", "buffer": no_face_jpeg()}
    await view.locator("input[type=file]").first.set_input_files(wall)  # type: ignore[arg-type]
    await expect(view.get_by_role("heading", name="No face in this photo")).to_be_visible()
    assert await violations(view) == []
