"""Two photos, one verdict."""

import base64
import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.support.photos import no_face_jpeg

pytestmark = pytest.mark.browser

_DROP_BOTH = """(photos) => {
  const data = new DataTransfer();
  for (const photo of photos) {
    const bytes = Uint8Array.from(atob(photo), (letter) => letter.charCodeAt(0));
    data.items.add(new File([bytes], "photo.png", { type: "image/png" }));
  }
  document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
}"""


async def _choose(page: Page, name: str, photo: Path) -> None:
    async with page.expect_file_chooser() as chooser:
        await page.get_by_role("button", name=name).click()
    await (await chooser.value).set_files(photo)


async def _start(page: Page) -> None:
    await page.get_by_role("link", name="Compare two photos").click()
    await expect(page).to_have_title("How alike are they? · Find Your Twin")


async def test_two_people_are_told_apart(page: Page, newton_photo: Path, gauss_photo: Path) -> None:
    await _start(page)
    await _choose(page, "Choose the first photo", newton_photo)
    await expect(page.get_by_text("One more photo, then you know.")).to_be_visible()
    await _choose(page, "Choose the second photo", gauss_photo)
    await expect(page.get_by_role("heading", name="Two people")).to_be_visible()
    await expect(page.locator(".percent-number")).to_have_text(re.compile(r"^\d{1,2}$"))
    await expect(page.get_by_role("status").filter(has_text="percent alike. Two people.")).to_have_count(1)
    await page.get_by_text("Slide", exact=True).click()
    await expect(page.get_by_role("slider", name="Where the one face ends")).to_be_visible()


async def test_one_person_is_recognized(page: Page, newton_photo: Path) -> None:
    await _start(page)
    photo = base64.b64encode(newton_photo.read_bytes()).decode()
    await page.evaluate(_DROP_BOTH, [photo, photo])
    await expect(page.get_by_role("heading", name="One person, it seems")).to_be_visible()
    await page.get_by_role("button", name="Start over").click()
    await expect(page.get_by_role("heading", name="How alike are they?")).to_be_visible()


async def test_another_face_of_a_group_has_another_verdict(
    page: Page, newton_photo: Path, six_faces_photo: Path
) -> None:
    await _start(page)
    await _choose(page, "Choose the first photo", newton_photo)
    await _choose(page, "Choose the second photo", six_faces_photo)
    await expect(page.get_by_role("heading", name="Two people")).to_be_visible()
    faces = page.get_by_role("list", name="Second photo").get_by_role("button")
    await expect(faces).to_have_count(6)
    other = page.locator(".strip-face[aria-pressed=false]").first
    name = await other.get_attribute("aria-label") or ""
    async with page.expect_response(re.compile("TwinService/Compare$")):
        await other.click()
    await expect(page.get_by_role("button", name=name, exact=True)).to_have_attribute("aria-pressed", "true")
    await expect(page.get_by_role("heading", name="Two people")).to_be_visible()


async def test_a_side_without_a_face_says_so_and_takes_another_photo(
    page: Page, newton_photo: Path, tmp_path: Path
) -> None:
    wall = tmp_path / "wall.jpg"
    wall.write_bytes(no_face_jpeg())
    await _start(page)
    await _choose(page, "Choose the first photo", wall)
    await expect(page.get_by_role("heading", name="No face in this photo")).to_be_visible()
    await _choose(page, "Choose the second photo", newton_photo)
    await _choose(page, "Choose the first photo", newton_photo)
    await expect(page.get_by_role("heading", name="One person, it seems")).to_be_visible()
    await _choose(page, "Change the second photo", wall)
    await expect(page.get_by_role("heading", name="No face in this photo")).to_be_visible()


async def test_photos_are_compared_from_the_keyboard(page: Page, newton_photo: Path, gauss_photo: Path) -> None:
    await _start(page)
    await expect(page.locator("main")).to_be_focused()
    for photo in (newton_photo, gauss_photo):
        async with page.expect_file_chooser() as chooser:
            await page.keyboard.press("Tab")
            await page.keyboard.press("Enter")
        await (await chooser.value).set_files(photo)
    await expect(page.get_by_role("heading", name="Two people")).to_be_visible()


async def test_a_phone_compares_without_scrolling_sideways(
    phone: Page, newton_photo: Path, six_faces_photo: Path
) -> None:
    await _start(phone)
    files = phone.locator("input[type=file]")
    await files.first.set_input_files(newton_photo)
    await phone.get_by_role("button", name="Change the first photo").wait_for()
    await files.nth(1).set_input_files(six_faces_photo)
    await expect(phone.get_by_role("heading", name="Two people")).to_be_visible()
    overflow = await phone.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0
