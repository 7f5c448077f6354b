"""What can be done with a result: look for others, leave out the less alike, lay one face over the other."""

import re
from pathlib import Path

import grpc
import pytest
from playwright.async_api import Page, Request, expect
from twin.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from twin.vectorstore.v1 import vectorstore_pb2

from tests.browser.conftest import DESKTOP, visit
from tests.browser.steps import choose, see_twin
from tests.support.photos import converted

pytestmark = pytest.mark.browser

# A grpc-web frame begins with a byte of flags and four of length.
_FRAME_HEADER_BYTES = 5


def _searches(page: Page) -> list[gateway_pb2.SearchRequest]:
    """Returns the list that every search from now on is added to."""
    asked: list[gateway_pb2.SearchRequest] = []

    def read(request: Request) -> None:
        if request.url.endswith("TwinService/Search"):
            asked.append(gateway_pb2.SearchRequest.FromString((request.post_data_buffer or b"")[_FRAME_HEADER_BYTES:]))

    page.on("request", read)
    return asked


async def test_another_mode_looks_for_others_with_the_same_face(page: Page, newton_photo: Path) -> None:
    asked = _searches(page)
    await choose(page, newton_photo)
    await see_twin(page)
    await page.get_by_text("Same person", exact=True).click()
    await expect(page.get_by_role("heading", name="Not in this gallery")).to_be_visible()
    await page.get_by_text("Nearest", exact=True).click()
    await see_twin(page)
    await expect(page.get_by_role("radio", name="Nearest")).to_be_checked()
    assert [request.mode for request in asked] == [
        vectorstore_pb2.MATCH_MODE_LOOKALIKE,
        vectorstore_pb2.MATCH_MODE_SAME_PERSON,
        vectorstore_pb2.MATCH_MODE_NEAREST,
    ]
    assert [request.face_index for request in asked[1:]] == [0, 0]


async def test_the_mode_is_chosen_with_the_arrow_keys_and_keeps_the_focus(page: Page, newton_photo: Path) -> None:
    await choose(page, newton_photo)
    await see_twin(page)
    await page.get_by_role("radio", name="Look-alikes").focus()
    await page.keyboard.press("ArrowRight")
    await expect(page.get_by_role("heading", name="Not in this gallery")).to_be_visible()
    await expect(page.get_by_role("radio", name="Same person")).to_be_focused()


async def test_a_minimum_leaves_out_the_less_alike_at_once(page: Page, newton_photo: Path) -> None:
    asked = _searches(page)
    await choose(page, newton_photo)
    best = await see_twin(page)
    percents = page.locator(".others .card-percent")
    all_percents = [int(re.sub(r"\D", "", text)) for text in await percents.all_inner_texts()]
    least = all_percents[2]
    slider = page.get_by_role("slider", name="How alike the others must be")
    await slider.fill(str(least))
    passing = [percent for percent in all_percents if percent >= least]
    await expect(percents).to_have_count(len(passing))
    await expect(page.locator(".least output")).to_have_text(f"{len(passing)} of {len(all_percents)} others")
    await slider.fill("99")
    await expect(page.get_by_text("None of the others is as alike as that.")).to_be_visible()
    await expect(page.locator(".words h1")).to_have_text(best)
    assert len(asked) == 1


async def test_more_of_the_others_are_there_for_the_asking(page: Page, newton_photo: Path) -> None:
    asked = _searches(page)
    await choose(page, newton_photo)
    await see_twin(page)
    cards = page.locator(".others .card")
    before = await cards.count()
    await page.get_by_role("button", name="Show more").click()
    await expect(cards.nth(before)).to_be_visible()
    await expect(page.get_by_role("button", name="Show more")).to_have_count(0)
    assert [request.limit for request in asked] == [15, 100]


async def test_one_face_is_drawn_across_the_other(page: Page, newton_photo: Path) -> None:
    await choose(page, newton_photo)
    await see_twin(page)
    await page.get_by_text("Slide", exact=True).click()
    edge = page.get_by_role("slider", name="Where the one face ends")
    await expect(edge).to_have_value("50")
    await edge.press("ArrowRight")
    await expect(edge).to_have_value("51")
    box = await page.locator(".pair").bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    await page.mouse.move(box["x"] + box["width"] * 0.5, middle)
    await page.mouse.down()
    await page.mouse.move(box["x"] + box["width"] * 0.2, middle, steps=4)
    await page.mouse.up()
    assert abs(int(await edge.input_value()) - 20) <= 1
    await expect(page.locator(".twin-frame")).to_have_css("clip-path", re.compile(r"inset\(0px 0px 0px (19|20|21)%\)"))


async def test_one_face_fades_into_the_other(page: Page, newton_photo: Path) -> None:
    await choose(page, newton_photo)
    await see_twin(page)
    await page.get_by_text("Fade", exact=True).click()
    await page.get_by_role("slider", name="From the left face to the right").fill("75")
    await expect(page.locator(".twin-frame")).to_have_css("opacity", "0.75")
    await page.get_by_text("Side by side", exact=True).click()
    await expect(page.locator(".twin-frame")).to_have_css("opacity", "1")


async def test_the_twins_of_a_result_are_found_and_the_way_back_leads_home(page: Page, newton_photo: Path) -> None:
    asked = _searches(page)
    await choose(page, newton_photo)
    own = await see_twin(page)
    name = await page.locator(".others .card-name").first.inner_text()
    await page.locator(".others .card").first.click()
    await page.get_by_role("dialog").get_by_role("button", name="Find twins of this face").click()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await page.locator(".stage-done .twin-frame img.face-photo-here").wait_for()
    await expect(page.get_by_role("heading", name="29 faces in the photo")).to_be_visible()
    same = page.get_by_role("region", name="Photos that look to be of the same person")
    await expect(same.locator(".card-name").first).to_have_text(name)
    assert name not in await page.locator(".others:not(.yourself) .card-name").all_inner_texts()
    # A photo out of the gallery has been kept already.
    await expect(page.get_by_role("button", name="Keep my photo here")).to_have_count(0)
    await page.get_by_role("button", name="Back to my photo").click()
    assert await see_twin(page) == own
    await expect(page.get_by_role("button", name="Back to my photo")).to_have_count(0)
    await expect(page.get_by_role("button", name="Keep my photo here")).to_be_visible()
    assert len(asked) == 2


async def test_a_photo_that_was_deleted_meanwhile_is_no_mystery(twin_page_url: str, newton_photo: Path) -> None:
    # The browser itself reports the missing picture in the console.
    async with visit(twin_page_url, DESKTOP, expected_errors=re.compile("404")) as page:
        await choose(page, newton_photo)
        own = await see_twin(page)
        await page.locator(".others .card").first.click()
        dialog = page.get_by_role("dialog")
        await dialog.locator(".viewer-outline").wait_for()
        await page.route(re.compile("/photos/.*size=original"), lambda route: route.fulfill(status=404))
        await dialog.get_by_role("button", name="Find twins of this face").click()
        await expect(page.get_by_role("heading", name="This photo can no longer be had")).to_be_visible()
        await page.get_by_role("button", name="Back to my photo").click()
        assert await see_twin(page) == own


async def test_further_photos_of_a_person_are_behind_the_first(
    page: Page, gateway_channel: grpc.Channel, newton_photo: Path, gauss_photo: Path
) -> None:
    stub = gateway_pb2_grpc.TwinServiceStub(gateway_channel)
    consent = gateway_pb2.ConsentGrant(policy_version=stub.GetStats(gateway_pb2.GetStatsRequest()).policy_version)
    receipts = []
    try:
        for image in (newton_photo.read_bytes(), converted(newton_photo, "JPEG")):
            request = gateway_pb2.AddPhotoRequest(image=image, consent=consent, keep_duplicate=True)
            receipts.append(stub.AddPhoto(request).saved_photo)
        await choose(page, gauss_photo)
        await see_twin(page)
        await page.locator(".card", has_text="2 photos").click()
        photos = page.get_by_role("list", name="Photos of this person").get_by_role("button")
        await expect(photos).to_have_count(2)
        shown = page.locator(".viewer-photo img")
        first = await shown.get_attribute("src") or ""
        await photos.nth(1).click()
        await expect(photos.nth(1)).to_have_attribute("aria-pressed", "true")
        await expect(shown).not_to_have_attribute("src", first)
        await page.locator(".viewer-outline").wait_for()
    finally:
        for receipt in receipts:
            deletion = gateway_pb2.DeletePhotoRequest(photo_id=receipt.photo_id, deletion_token=receipt.deletion_token)
            stub.DeletePhoto(deletion)
