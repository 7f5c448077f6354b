"""A visitor: Debian's chromium on the page, watched for errors and for requests that leave its origin."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.async_api import Page, ViewportSize, async_playwright

from tests.support.chromium import chromium

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
DESKTOP: ViewportSize = {"width": 1440, "height": 900}
PHONE: ViewportSize = {"width": 360, "height": 740}


@dataclass(slots=True)
class Watch:
    """What a visitor does not see: errors in the console, and requests to other origins."""

    origin: str
    errors: list[str] = field(default_factory=list)
    foreign_requests: list[str] = field(default_factory=list)

    def follow(self, page: Page) -> None:
        """Listens until the page closes."""
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self._judge(request.url))

    def _judge(self, url: str) -> None:
        if not url.startswith((f"{self.origin}/", f"blob:{self.origin}/", "data:")):
            self.foreign_requests.append(url)


@asynccontextmanager
async def visit(
    url: str,
    viewport: ViewportSize,
    expected_errors: re.Pattern[str] | None = None,
    arguments: Sequence[str] = (),
    shown: str = "faces in the gallery",
    **context: Any,
) -> AsyncIterator[Page]:
    """Opens the page, waits until it shows the gallery's size, and checks at the end that nothing went wrong unseen."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=[*CHROMIUM_ARGUMENTS, *arguments])
        try:
            page = await (await browser.new_context(viewport=viewport, **context)).new_page()
            page.set_default_timeout(20_000)
            watch = Watch(url)
            watch.follow(page)
            await page.goto(url)
            await page.get_by_text(shown).wait_for()
            yield page
            assert [error for error in watch.errors if not (expected_errors and expected_errors.search(error))] == []
            assert watch.foreign_requests == []
        finally:
            await browser.close()


@pytest.fixture
async def page(twin_page_url: str) -> AsyncIterator[Page]:
    """The page on a desk."""
    async with visit(twin_page_url, DESKTOP) as page:
        yield page


@pytest.fixture
async def phone(twin_page_url: str) -> AsyncIterator[Page]:
    """The page on a small phone."""
    async with visit(twin_page_url, PHONE, has_touch=True, is_mobile=True, device_scale_factor=2) as page:
        yield page
