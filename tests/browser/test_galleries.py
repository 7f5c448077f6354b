"""Galleries to choose between: the menu in the header, the address, and the count after a photo was kept."""

import re
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from playwright.async_api import Locator, Page, expect
from twin.gateway.v1 import gateway_pb2 as gw
from twin.gateway.v1 import gateway_pb2_grpc as gw_grpc
from twin.vectorstore.v1 import vectorstore_pb2 as vs
from twin.vectorstore.v1 import vectorstore_pb2_grpc as vs_grpc

from cli.settings import ClientSettings
from tests.browser.axe import violations
from tests.browser.conftest import DESKTOP, PHONE, visit
from tests.browser.steps import choose, keep, see_twin
from tests.conftest import open_data_dir
from tests.support.stack import Stack

pytestmark = pytest.mark.browser
TIMEOUT_S = 30.0


@pytest.fixture(scope="module")
def url(models_dir: Path, gauss_photo: Path, solvay_photo: Path) -> Iterator[str]:
    """A page with two galleries that visitors may see: "default" with a crowd, "family" with one person."""
    with open_data_dir() as folder:
        stack = Stack(Path(folder) / "data", TWIN_PUBLIC_GALLERIES="*")
        stack.start()
        try:
            _fill(stack, gauss_photo.read_bytes(), solvay_photo.read_bytes())
            yield f"http://{stack.addresses['gateway_http']}"
        finally:
            stack.stop()


def _fill(stack: Stack, gauss: bytes, solvay: bytes) -> None:
    admin = ClientSettings(data_dir=stack.data_dir).admin_metadata()
    with (
        grpc.insecure_channel(stack.addresses["vectorstore"]) as to_store,
        grpc.insecure_channel(stack.addresses["gateway"]) as to_gateway,
    ):
        store, gateway = vs_grpc.VectorStoreServiceStub(to_store), gw_grpc.TwinServiceStub(to_gateway)
        (default,) = store.ListGalleries(vs.ListGalleriesRequest(), timeout=TIMEOUT_S).galleries
        family = vs.CreateGalleryRequest(
            name="family", model_id=default.model_id, dimension=512, calibration=default.calibration
        )
        store.CreateGallery(family, timeout=TIMEOUT_S)
        for photo in (
            gw.AddPhotoRequest(gallery="family", image=gauss, person="Carl Friedrich Gauss"),
            gw.AddPhotoRequest(image=solvay, all_faces=True),
        ):
            gateway.AddPhoto(photo, timeout=TIMEOUT_S, metadata=admin)


def menu(page: Page) -> Locator:
    return page.get_by_role("combobox", name="Gallery")


def chosen(page: Page) -> Locator:
    return menu(page).locator("option:checked")


async def test_a_gallery_is_picked_by_keyboard_and_the_photo_is_searched_anew(url: str, newton_photo: Path) -> None:
    async with visit(url, DESKTOP, shown="Remove a photo") as page:
        await expect(chosen(page)).to_have_text("29 faces in “default”")
        await choose(page, newton_photo)
        assert await see_twin(page) != "Carl Friedrich Gauss"

        await menu(page).press("ArrowDown")
        await expect(page.locator(".words h1")).to_have_text("Carl Friedrich Gauss")
        await expect(page).to_have_url(re.compile(r"/\?gallery=family$"))
        await expect(chosen(page)).to_have_text("1 face in “family”")
        await expect(menu(page)).to_be_focused()
        assert await violations(page) == []

        await keep(page)
        await expect(chosen(page)).to_have_text("2 faces in “family”")

        await page.go_back()
        await expect(chosen(page)).to_have_text("29 faces in “default”")
        await expect(page.locator(".words h1")).not_to_have_text("Carl Friedrich Gauss")
        await see_twin(page)


async def test_a_gallery_that_is_not_there_can_be_left_for_one_that_is(url: str) -> None:
    async with visit(url, DESKTOP, shown="Remove a photo") as page:
        await page.goto(f"{url}/?gallery=gone")
        await expect(page.locator(".problem")).to_contain_text("The gallery was not found")
        await menu(page).select_option("family")
        await expect(page.locator(".problem")).to_have_count(0)
        await expect(chosen(page)).to_have_text(re.compile("in “family”$"))


async def test_ones_own_photo_is_searched_anew_where_one_out_of_the_gallery_was_shown(
    url: str, newton_photo: Path
) -> None:
    async with visit(url, PHONE, shown="Remove a photo", has_touch=True, is_mobile=True) as page:
        await choose(page, newton_photo)
        await see_twin(page)
        await page.locator(".others .card").first.click()
        await page.get_by_role("dialog").get_by_role("button", name="Find twins of this face").click()
        home = page.get_by_role("button", name="Back to my photo")
        await home.wait_for()

        await menu(page).select_option("family")
        await expect(page.locator(".words h1")).to_have_text("Carl Friedrich Gauss")
        await expect(home).to_have_count(0)
        await expect(page.get_by_role("heading", name="29 faces in the photo")).to_have_count(0)
        overflow = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0
