"""Getting a photo in, and what comes back."""

import re
from pathlib import Path

import pytest
from PIL import Image, ImageOps
from playwright.async_api import Page, expect

from tests.browser.steps import choose, choose_bytes, hand_over, outlines, see_twin
from tests.support.photos import phone_jpeg

pytestmark = pytest.mark.browser


@pytest.fixture
def photo(newton_photo: Path) -> bytes:
    """The portrait as it comes from a drop or a clipboard."""
    return newton_photo.read_bytes()


async def test_choosing_a_photo_shows_the_best_twin_and_the_others(page: Page, newton_photo: Path) -> None:
    await choose(page, newton_photo)
    best = await see_twin(page)
    await expect(page.locator(".truth")).to_have_text(re.compile(r"^Closer than \d+(\.\d)?.% of \d+ faces$"))
    others = page.get_by_role("region", name="The next closest")
    names = await others.locator(".card-name").all_inner_texts()
    assert len(names) >= 5
    assert best not in names
    assert len(set(names)) == len(names), "one card a person"
    percents = [int(text.removesuffix("%").strip()) for text in await others.locator(".card-percent").all_inner_texts()]
    assert percents == sorted(percents, reverse=True)


async def test_dropping_a_photo_searches_with_it(page: Page, photo: bytes) -> None:
    await hand_over(page, "dragover", photo)
    await expect(page.locator(".drop-veil")).to_be_visible()
    await hand_over(page, "drop", photo)
    await expect(page.locator(".drop-veil")).to_have_count(0)
    await see_twin(page)


async def test_pasting_a_photo_searches_with_it(page: Page, photo: bytes) -> None:
    await hand_over(page, "paste", photo)
    await see_twin(page)


async def test_another_face_of_the_photo_has_another_result(page: Page, six_faces_photo: Path) -> None:
    await choose(page, six_faces_photo)
    await see_twin(page)
    await expect(outlines(page)).to_have_count(6)
    await expect(page.locator(".outline[aria-pressed=true]")).to_have_count(1)
    first = await page.locator(".twin-frame img").get_attribute("src")
    before = await page.locator(".outline[aria-pressed=true]").get_attribute("aria-label")
    other = page.locator(".outline[aria-pressed=false]").first
    name = await other.get_attribute("aria-label")
    assert name != before
    await other.click()
    await expect(page.locator(".stage-done .twin-frame img")).not_to_have_attribute("src", first or "")
    await expect(page.get_by_role("button", name=name or "", exact=True)).to_have_attribute("aria-pressed", "true")
    await see_twin(page)


async def test_a_crowd_is_outlined_and_each_finds_themselves_apart(page: Page, solvay_photo: Path) -> None:
    await choose(page, solvay_photo)
    await see_twin(page)
    await expect(outlines(page)).to_have_count(29)
    await expect(page.get_by_role("heading", name="Photos that look to be of you")).to_be_visible()
    assert await page.locator(".yourself .card").count() >= 1


async def test_all_faces_are_searched_at_once_and_each_is_a_choice(page: Page, six_faces_photo: Path) -> None:
    searches: list[str] = []
    page.on("request", lambda request: searches.append(request.url) if request.url.endswith("/Search") else None)
    await choose(page, six_faces_photo)
    await see_twin(page)
    await page.get_by_role("button", name="Find everyone's twin").click()
    everyone = page.get_by_role("region", name="Everyone and their twin").get_by_role("button")
    await expect(everyone).to_have_count(6)
    await expect(page.get_by_role("heading", name="Everyone and their twin")).to_be_focused()
    other = page.locator(".everyone .card[aria-pressed=false]").first
    twin = await other.locator(".card-name").inner_text()
    await other.click()
    await expect(page.locator(".words h1")).to_have_text(twin)
    await expect(page.locator(".pair")).to_be_in_viewport(ratio=0.9)
    await expect(page.get_by_role("button", name="Find everyone's twin")).to_have_count(0)
    assert len(searches) == 2


async def test_forty_faces_are_outlined_and_any_can_be_chosen(
    page: Page, newton_photo: Path, gauss_photo: Path, tmp_path: Path
) -> None:
    crowd = tmp_path / "crowd.png"
    side_px = 240
    sheet = Image.new("RGB", (8 * side_px, 5 * side_px), "white")
    for number in range(40):
        with Image.open((newton_photo, gauss_photo)[number % 2]) as portrait:
            tile = ImageOps.fit(portrait.convert("RGB"), (side_px, side_px), centering=(0.5, 0.3))
        sheet.paste(tile, (number % 8 * side_px, number // 8 * side_px))
    sheet.save(crowd)
    await choose(page, crowd)
    await see_twin(page)
    await expect(outlines(page)).to_have_count(40)
    first = await page.locator(".words h1").inner_text()
    await outlines(page).nth(1).click()
    await expect(page.locator(".words h1")).not_to_have_text(first)
    await page.get_by_role("button", name="Find everyone's twin").click()
    everyone = page.get_by_role("region", name="Everyone and their twin").get_by_role("button")
    await expect(everyone).to_have_count(40)


async def test_a_large_phone_photo_is_turned_upright_and_sent_small(page: Page, newton_photo: Path) -> None:
    photo = phone_jpeg(newton_photo, orientation=6)
    async with page.expect_request(re.compile("TwinService/Search$")) as search:
        await choose_bytes(page, "IMG_0042.jpg", photo)
    sent = (await search.value).post_data_buffer
    assert sent is not None and len(sent) < len(photo)
    await see_twin(page)
    shown = page.locator(".query-photo img")
    assert await shown.get_attribute("width") == "1536"
    assert await shown.get_attribute("height") == "2048"
    await expect(outlines(page)).to_have_count(1)


async def test_a_twins_whole_photo_opens_with_the_face_outlined(page: Page, newton_photo: Path) -> None:
    await choose(page, newton_photo)
    await see_twin(page)
    await page.locator(".others .card").first.click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_role("img")).to_be_visible()
    outline = dialog.locator(".viewer-outline")
    await outline.wait_for()
    photo_box, face_box = await dialog.get_by_role("img").bounding_box(), await outline.bounding_box()
    assert photo_box is not None and face_box is not None
    assert photo_box["x"] <= face_box["x"] and face_box["x"] + face_box["width"] <= photo_box["x"] + photo_box["width"]
    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
