"""The page stays small: what a visitor has to load before they see anything."""

import gzip
import os
import re
from pathlib import Path

import pytest
from playwright.async_api import Page

from gateway.page import find_web_dir

_MAX_SCRIPT_BYTES = 120_000
_MAX_STYLE_BYTES = 15_000


def test_scripts_and_styles_stay_within_their_budget() -> None:
    given = os.environ.get("TWIN_WEB_DIR")
    folder = find_web_dir(Path(given) if given else None)
    assert folder is not None, "the page is not built: run `make setup`"

    def packed_bytes(suffix: str) -> int:
        return sum(len(gzip.compress(path.read_bytes(), 9)) for path in (folder / "assets").glob(f"*{suffix}"))

    assert 0 < packed_bytes(".js") <= _MAX_SCRIPT_BYTES
    assert 0 < packed_bytes(".css") <= _MAX_STYLE_BYTES


@pytest.mark.browser
@pytest.mark.parametrize("kind", ["js", "css"])
async def test_scripts_and_styles_travel_packed(page: Page, kind: str) -> None:
    async with page.expect_response(re.compile(rf"/assets/index-.*\.{kind}$")) as response:
        await page.reload()
    assert (await (await response.value).all_headers())["content-encoding"] in ("br", "gzip")
    await page.get_by_text("faces in the gallery").wait_for()
