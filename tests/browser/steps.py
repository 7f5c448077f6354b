"""What visitors do on the page, and what they look at."""

import base64
import re
from pathlib import Path

from playwright.async_api import FilePayload, Locator, Page, expect

# Puts a file into a DataTransfer, as the system does for a drop or a paste, and hands it to the page's own handlers.
_HAND_OVER = """([kind, name, type, base64]) => {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], name, { type }));
  const event = kind === "paste"
    ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true })
    : new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true });
  document.body.dispatchEvent(event);
}"""


async def choose(page: Page, photo: Path) -> None:
    """Chooses a file with the device's own chooser."""
    async with page.expect_file_chooser() as chooser:
        await page.get_by_role("button", name=re.compile("Choose a photo$|Try another photo")).click()
    await (await chooser.value).set_files(photo)


async def choose_bytes(page: Page, name: str, data: bytes) -> None:
    """Chooses a file that exists only in memory."""
    payload: FilePayload = {"name": name, "mimeType": "image/jpeg", "buffer": data}
    await page.locator("input[type=file]").first.set_input_files(payload)


async def hand_over(page: Page, kind: str, data: bytes) -> None:
    """Drops ("dragover", then "drop") or pastes ("paste") a file."""
    await page.evaluate(_HAND_OVER, [kind, "photo.png", "image/png", base64.b64encode(data).decode()])


async def see_twin(page: Page) -> str:
    """Waits for a result whose pictures have arrived; returns the best twin's name."""
    await page.locator(".stage-done").wait_for()
    await expect(page.get_by_role("img", name="Your face, from your photo")).to_be_visible()
    # The page calls a picture here once its bytes have been decoded.
    await page.locator(".twin-frame img.face-photo-here").wait_for()
    await expect(page.locator(".percent-number")).to_have_text(re.compile(r"^\d{1,2}$"))
    return await page.locator(".words h1").inner_text()


def outlines(page: Page) -> Locator:
    """The outlined faces of the visitor's photo."""
    return page.locator(".query-photo").get_by_role("button")


def field(page: Page, name: str) -> Locator:
    """A receipt's or a form's field."""
    return page.get_by_role("textbox", name=name)


async def agree_to_keep(page: Page) -> None:
    """Agrees to have the photo kept, and asks for it."""
    await page.get_by_role("button", name="Keep my photo here").click()
    await page.get_by_role("checkbox").check()
    await page.get_by_role("button", name="Keep it").click()


async def keep(page: Page) -> tuple[str, str]:
    """Keeps the photo that was searched with; returns the receipt's photo id and deletion token."""
    await page.get_by_role("button", name="Keep my photo here").click()
    confirm = page.get_by_role("button", name="Keep it")
    await expect(confirm).to_be_disabled()
    await page.get_by_role("radio", name="30 days").check()
    await page.get_by_role("checkbox", name="I have read this and agree").check()
    await confirm.click()
    await page.get_by_role("heading", name="This is your receipt").wait_for()
    return await field(page, "Photo id").input_value(), await field(page, "Deletion token").input_value()


async def remove(page: Page, photo_id: str, token: str) -> None:
    """Asks for a photo's removal with what a receipt says."""
    await page.get_by_role("link", name="Remove a photo").click()
    await field(page, "Photo id").fill(photo_id)
    await field(page, "Deletion token").fill(token)
    await page.get_by_role("button", name="Remove this photo").click()
