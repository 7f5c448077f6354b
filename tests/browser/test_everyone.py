"""The page without a mouse, on a small phone, in the dark, and without motion."""

from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import DESKTOP, visit
from tests.browser.steps import choose, outlines, see_twin

pytestmark = pytest.mark.browser


async def _focus(page: Page, name: str, *, limit: int = 40) -> None:
    """Presses Tab until the control of that name has the focus; fails when it never gets it."""
    for _ in range(limit):
        await page.keyboard.press("Tab")
        focused = await page.evaluate("document.activeElement.ariaLabel ?? document.activeElement.textContent")
        if focused == name:
            return
    raise AssertionError(f"Tab never reached {name!r}")


async def test_a_phone_shows_everything_without_scrolling_sideways(phone: Page, six_faces_photo: Path) -> None:
    async def overflow() -> int:
        width: int = await phone.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        return width

    assert await overflow() <= 0
    await phone.locator("input[type=file]").first.set_input_files(six_faces_photo)
    await see_twin(phone)
    assert await overflow() <= 0
    await phone.locator(".strip-face").nth(1).tap()
    await see_twin(phone)
    await expect(phone.locator(".pair")).to_be_in_viewport(ratio=0.9)
    await phone.get_by_role("button", name="Keep my photo here").click()
    await phone.locator(".consent-text").wait_for()
    assert await overflow() <= 0
    await phone.get_by_role("link", name="Remove a photo").click()
    await expect(phone.get_by_role("heading", name="Remove a photo")).to_be_visible()
    assert await overflow() <= 0


async def test_the_whole_journey_works_from_the_keyboard(page: Page, six_faces_photo: Path) -> None:
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the search")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("main")).to_be_focused()
    async with page.expect_file_chooser() as chooser:
        # A key is faster than the browser's notice that its chooser is watched, which must come first.
        await _focus(page, "Choose a photo")
        await page.keyboard.press("Enter")
    await (await chooser.value).set_files(six_faces_photo)
    await see_twin(page)
    await expect(page.locator(".words")).to_be_focused()
    await _focus(page, "Face 1 of 6")
    await page.keyboard.press("Space")
    await expect(outlines(page).first).to_have_attribute("aria-pressed", "true")
    await expect(outlines(page).first).to_be_focused()
    await see_twin(page)
    await _focus(page, "Keep my photo here")
    await page.keyboard.press("Enter")
    await page.locator(".consent-text").wait_for()
    await page.keyboard.press("Tab")
    agree = page.get_by_role("checkbox")
    for _ in range(6):
        if await agree.evaluate("element => element === document.activeElement"):
            break
        await page.keyboard.press("Tab")
    await page.keyboard.press("Space")
    await expect(agree).to_be_checked()
    await expect(page.get_by_role("button", name="Keep it")).to_be_enabled()


async def test_results_are_announced(page: Page, newton_photo: Path) -> None:
    await choose(page, newton_photo)
    best = await see_twin(page)
    await expect(page.get_by_role("status").filter(has_text=f"Found: {best}")).to_have_count(1)


async def test_the_page_follows_the_wish_for_dark_colours_and_little_motion(
    twin_page_url: str, newton_photo: Path
) -> None:
    async with visit(twin_page_url, DESKTOP, color_scheme="dark", reduced_motion="reduce") as page:
        await choose(page, newton_photo)
        await see_twin(page)
        colour = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")) < 3 * 60
        ends_ms = await page.evaluate("document.getAnimations().map((one) => one.effect.getComputedTiming().endTime)")
        assert all(end_ms <= 10 for end_ms in ends_ms)
