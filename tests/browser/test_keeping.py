"""Keeping a photo with consent, and taking it back."""

import asyncio
import re
import zipfile
from pathlib import Path

import pytest
from playwright.async_api import Page, Route, expect

from tests.browser.conftest import DESKTOP, visit
from tests.browser.steps import agree_to_keep, choose, field, keep, remove, see_twin

pytestmark = pytest.mark.browser

_YOURSELF = "Photos that look to be of you"


async def test_a_kept_photo_is_found_until_its_receipt_removes_it(page: Page, newton_photo: Path) -> None:
    count = page.locator(".gallery-count")
    before = await count.inner_text()
    await choose(page, newton_photo)
    await see_twin(page)
    await expect(page.get_by_role("heading", name=_YOURSELF)).to_have_count(0)
    photo_id, token = await keep(page)
    try:
        assert re.fullmatch(r"[0-9a-f-]{36}", photo_id)
        assert len(token) >= 43, "256 bits in base64url"
        await expect(count).not_to_have_text(before)

        async with page.expect_download() as download:
            await page.get_by_role("button", name="Download receipt").click()
        receipt = await asyncio.to_thread(Path(await (await download.value).path()).read_text)
        assert photo_id in receipt and token in receipt

        await choose(page, newton_photo)
        await page.get_by_role("heading", name=_YOURSELF).wait_for()
        await expect(field(page, "Deletion token")).to_have_value(token)
        await expect(page.locator(".receipt")).to_contain_text("newton.png")
        await expect(page.locator(".words")).to_be_focused()

        await page.get_by_role("button", name="I have saved it").click()
        await agree_to_keep(page)
        problem = page.get_by_role("alert").filter(has_text="This photo is already in the gallery")
        await expect(problem).to_be_in_viewport(ratio=1)
        await expect(page.get_by_role("button", name="Keep it")).to_be_focused()
    finally:
        await remove(page, photo_id, token)
        await expect(page.get_by_role("heading", name="Removed")).to_be_visible()

    await expect(count).to_have_text(before)
    await page.get_by_role("link", name="Back to the search").click()
    await choose(page, newton_photo)
    await see_twin(page)
    await expect(page.get_by_role("heading", name=_YOURSELF)).to_have_count(0)


async def test_all_that_is_held_is_handed_out_for_the_receipt(page: Page, newton_photo: Path) -> None:
    await choose(page, newton_photo)
    await see_twin(page)
    photo_id, token = await keep(page)
    try:
        await page.get_by_role("link", name="Remove a photo").click()
        await field(page, "Photo id").fill(photo_id)
        await field(page, "Deletion token").fill(token)
        async with page.expect_download() as download:
            await page.get_by_role("button", name="Download what is held").click()
        archive = await (await download.value).path()
        assert "photo.json" in await asyncio.to_thread(lambda: zipfile.ZipFile(archive).namelist())
        await expect(page.get_by_text("It is among your downloads")).to_be_visible()
        await field(page, "Deletion token").fill("x" * 43)
        await page.get_by_role("button", name="Download what is held").click()
        await expect(page.get_by_role("alert").filter(has_text="No photo has this id and token")).to_be_visible()
    finally:
        await remove(page, photo_id, token)
        await expect(page.get_by_role("heading", name="Removed")).to_be_visible()


async def test_a_wrong_token_removes_nothing_and_says_so(page: Page) -> None:
    await remove(page, "00000000-0000-4000-8000-000000000000", "x" * 43)
    await expect(page.get_by_role("alert").filter(has_text="No photo has this id and token")).to_be_visible()
    await expect(field(page, "Photo id")).to_have_value("00000000-0000-4000-8000-000000000000")


async def test_an_incomplete_id_is_not_a_mystery(page: Page) -> None:
    await remove(page, "1234", "abc")
    await expect(page.get_by_role("alert")).to_contain_text(re.compile("not complete|No photo has this id"))


async def test_a_problem_with_a_removal_is_brought_into_view(page: Page) -> None:
    await page.set_viewport_size({"width": 640, "height": 420})
    await page.get_by_role("link", name="Remove a photo").click()
    await field(page, "Photo id").fill("00000000-0000-4000-8000-000000000000")
    await field(page, "Deletion token").fill("x" * 43)
    # From the keyboard, with nothing scrolled: the message would be below the fold.
    await page.evaluate("scrollTo(0, 0)")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert").filter(has_text="No photo has this id")).to_be_in_viewport(ratio=1)


async def test_a_receipt_is_seen_whole_on_a_phone(phone: Page, newton_photo: Path) -> None:
    await phone.locator("input[type=file]").first.set_input_files(newton_photo)
    await see_twin(phone)
    photo_id, token = await keep(phone)
    try:
        for name in ("Photo id", "Deletion token"):
            hidden_px = await field(phone, name).evaluate(
                "one => Math.max(one.scrollWidth - one.clientWidth, one.scrollHeight - one.clientHeight)"
            )
            assert hidden_px <= 0, f"{hidden_px} px of {name} are hidden"
        await expect(phone.get_by_role("button", name="Copy deletion token")).to_be_visible()
    finally:
        await remove(phone, photo_id, token)
        await expect(phone.get_by_role("heading", name="Removed")).to_be_visible()


async def test_nothing_is_kept_without_agreement(page: Page, newton_photo: Path) -> None:
    await choose(page, newton_photo)
    await see_twin(page)
    await page.get_by_role("button", name="Keep my photo here").click()
    await expect(page.locator(".consent-text")).to_contain_text("biometric")
    confirm = page.get_by_role("button", name="Keep it")
    await expect(confirm).to_be_disabled()
    # Readers and keyboards still reach it, so that pressing it must do nothing.
    await confirm.press("Enter")
    await expect(confirm).to_be_disabled()
    await expect(page.locator(".consent-text")).to_be_visible()
    await page.get_by_role("button", name="Not now").click()
    await expect(page.get_by_role("button", name="Keep my photo here")).to_be_visible()


async def test_a_receipt_outlives_an_answer_that_was_lost(twin_page_url: str, newton_photo: Path) -> None:
    async with visit(twin_page_url, DESKTOP, expected_errors=re.compile("ERR_FAILED")) as page:
        lost = asyncio.Event()

        async def lose_the_first(route: Route) -> None:
            if lost.is_set():
                await route.continue_()
                return
            await route.fetch()  # Kept by the service; the page never hears of it.
            lost.set()
            await route.abort()

        await page.route(re.compile("TwinService/AddPhoto$"), lose_the_first)
        await choose(page, newton_photo)
        await see_twin(page)
        await agree_to_keep(page)
        await expect(page.locator(".keep").get_by_role("alert")).to_be_visible()
        assert lost.is_set()

        await page.get_by_role("button", name="Keep it").click()
        await page.get_by_role("heading", name="This is your receipt").wait_for()
        photo_id = await field(page, "Photo id").input_value()
        token = await field(page, "Deletion token").input_value()
        await remove(page, photo_id, token)
        await expect(page.get_by_role("heading", name="Removed")).to_be_visible()
