"""The page in another language, and read from right to left."""

from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import DESKTOP, PHONE, visit
from tests.browser.steps import see_twin

pytestmark = pytest.mark.browser


async def test_the_page_speaks_the_browsers_language(twin_page_url: str, newton_photo: Path) -> None:
    async with visit(twin_page_url, DESKTOP, shown="Gesichter in der Galerie", locale="de-AT") as page:
        await expect(page.locator("html")).to_have_attribute("lang", "de")
        await expect(page.get_by_role("heading", name="Wer sieht aus wie du?")).to_be_visible()
        await page.locator("input[type=file]").first.set_input_files(newton_photo)
        await page.locator(".twin-frame img.face-photo-here").wait_for()
        await expect(page.locator(".truth")).to_contain_text("Näher als")
        await page.get_by_role("link", name="Foto löschen").click()
        await expect(page).to_have_title("Foto löschen · Find Your Twin")


async def test_another_language_is_a_click_away_and_is_remembered(page: Page, newton_photo: Path) -> None:
    await page.locator("input[type=file]").first.set_input_files(newton_photo)
    best = await see_twin(page)
    german = page.get_by_role("button", name="Deutsch")
    await german.click()
    await expect(german).to_have_attribute("aria-pressed", "true")
    await expect(german).to_be_focused()
    await expect(page.get_by_role("button", name="Anderes Foto")).to_be_visible()
    await expect(page.locator(".words h1")).to_have_text(best)
    await page.reload()
    await expect(page.get_by_role("heading", name="Wer sieht aus wie du?")).to_be_visible()
    await page.get_by_role("button", name="English").click()
    await expect(page.get_by_role("heading", name="Who looks like you?")).to_be_visible()


async def test_the_consent_is_read_in_the_pages_language(twin_page_url: str, newton_photo: Path) -> None:
    async with visit(twin_page_url, DESKTOP, shown="Gesichter in der Galerie", locale="de") as page:
        await page.locator("input[type=file]").first.set_input_files(newton_photo)
        await page.locator(".twin-frame img.face-photo-here").wait_for()
        await page.locator(".keep-offer button").click()
        text, agreed = page.locator(".consent-text"), page.locator(".agree input")
        await expect(text).to_contain_text("Was behalten wird")
        await expect(text).to_contain_text("Fassung 2026-11.de")
        await expect(text.locator("[lang]").first).to_have_attribute("lang", "de")
        await agreed.check()
        await page.get_by_role("button", name="English").click()
        await expect(text).to_contain_text("What is kept")
        await expect(text.locator("[lang]").first).to_have_attribute("lang", "en")
        await expect(agreed).not_to_be_checked()


async def test_german_fits_on_a_phone(twin_page_url: str, six_faces_photo: Path) -> None:
    async with visit(twin_page_url, PHONE, shown="Gesichter in der Galerie", locale="de", is_mobile=True) as page:
        await page.locator("input[type=file]").first.set_input_files(six_faces_photo)
        await page.locator(".twin-frame img.face-photo-here").wait_for()
        await _expect_no_overflow(page)


async def test_read_from_right_to_left_the_page_is_turned_and_faces_are_not(page: Page, newton_photo: Path) -> None:
    await page.evaluate("document.documentElement.dir = 'rtl'")
    await page.locator("input[type=file]").first.set_input_files(newton_photo)
    await see_twin(page)
    await _expect_no_overflow(page)
    pair, words = await page.locator(".pair").bounding_box(), await page.locator(".words").bounding_box()
    assert pair is not None and words is not None and words["x"] < pair["x"], "the words come after the faces"
    await page.get_by_text("Slide", exact=True).click()
    edge = page.get_by_role("slider", name="Where the one face ends")
    await edge.press("ArrowRight")
    await expect(edge).to_have_value("51")


async def _expect_no_overflow(page: Page) -> None:
    overflow = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0
