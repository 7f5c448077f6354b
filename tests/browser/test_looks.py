"""The main views look as they did, in either colours, on a desk and on a phone; see pictures/.

After a change that is meant, ``TWIN_DRAW_PICTURES=1 .venv/bin/pytest tests/browser/test_looks.py`` draws them anew.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser.coarse_picture import DRAWS_ANEW, coarse, looks_the_same, store, stored
from tests.browser.conftest import DESKTOP, PHONE, visit
from tests.browser.steps import see_twin

pytestmark = pytest.mark.browser
DESK_CELL_PX = 20
PHONE_CELL_PX = 10
# The script that makes a fault, and the views on which it has to show: the plainest has next to nothing of the accent.
_FAULTS = {
    "blank": ("document.querySelector('#page').style.display = 'none'", ("welcome", "manage")),
    "unstyled": ("for (const sheet of document.styleSheets) sheet.disabled = true", ("welcome", "manage")),
    "another accent": ("document.documentElement.style.setProperty('--accent', '#1f6bff')", ("welcome",)),
    "the other scheme's paper": (
        "document.documentElement.style.setProperty('--paper', 'light-dark(#131315, #f6f6f3)')",
        ("welcome", "manage"),
    ),
}


@dataclass(frozen=True, slots=True)
class View:
    """The page in one colour scheme and size."""

    page: Page
    kind: str
    cell_px: int

    async def differs(self, name: str, kept: Path) -> bool:
        """Compares what is shown with its picture; what it sees is kept in the folder for people to look at."""
        await self.page.evaluate("() => document.fonts.ready.then(() => undefined)")
        screenshot = await self.page.screenshot(path=kept / f"{name}-{self.kind}.png", animations="disabled")
        picture = coarse(screenshot, self.cell_px)
        if DRAWS_ANEW:
            store(f"{name}-{self.kind}", picture)
        return not looks_the_same(picture, stored(f"{name}-{self.kind}"))


@pytest.fixture(params=["light-desk", "dark-desk", "light-phone", "dark-phone"])
async def view(request: pytest.FixtureRequest, twin_page_url: str) -> AsyncIterator[View]:
    scheme, size = request.param.split("-")
    viewport, cell_px = (DESKTOP, DESK_CELL_PX) if size == "desk" else (PHONE, PHONE_CELL_PX)
    async with visit(twin_page_url, viewport, color_scheme=scheme, reduced_motion="reduce") as page:
        yield View(page, request.param, cell_px)


async def test_the_main_views_look_as_they_did(
    view: View, newton_photo: Path, gauss_photo: Path, tmp_path: Path
) -> None:
    page = view.page
    different = [await view.differs("welcome", tmp_path)]
    await page.locator("input[type=file]").first.set_input_files(newton_photo)
    await see_twin(page)
    await expect(page.locator(".face-photo-coming")).to_have_count(0)
    different.append(await view.differs("result", tmp_path))
    await page.get_by_role("link", name="Compare two photos").click()
    await expect(page).to_have_title("How alike are they? · Find Your Twin")
    files = page.locator("input[type=file]")
    await files.first.set_input_files(newton_photo)
    await page.get_by_role("button", name="Change the first photo").wait_for()
    await files.nth(1).set_input_files(gauss_photo)
    await expect(page.get_by_role("heading", name="Two people")).to_be_visible()
    different.append(await view.differs("compare", tmp_path))
    await page.get_by_role("link", name="Remove a photo").click()
    await expect(page.get_by_role("heading", name="Remove a photo")).to_be_visible()
    different.append(await view.differs("manage", tmp_path))
    assert not any(different), f"{different} of welcome, result, compare and manage; they are in {tmp_path}"


@pytest.mark.skipif(DRAWS_ANEW, reason="a fault is not to be drawn")
@pytest.mark.parametrize("view", ["light-desk", "dark-phone"], indirect=True)
@pytest.mark.parametrize("fault", _FAULTS)
async def test_a_fault_is_seen(view: View, fault: str, tmp_path: Path) -> None:
    script, names = _FAULTS[fault]
    await view.page.evaluate(script)
    for name in names:
        if name != "welcome":
            await view.page.evaluate("name => { location.hash = name }", name)
        assert await view.differs(name, tmp_path)
