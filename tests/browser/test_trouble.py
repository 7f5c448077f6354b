"""What the page says when a search cannot be done, and that it goes on where it can."""

import asyncio
import base64
import re
from pathlib import Path

import pytest
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from playwright.async_api import Page, Route, expect

from tests.browser.conftest import DESKTOP, visit
from tests.browser.steps import agree_to_keep, choose, choose_bytes, hand_over, see_twin
from tests.support.photos import converted, huge_header_png, no_face_jpeg
from tests.support.stack import Stack

pytestmark = pytest.mark.browser


async def test_a_photo_without_a_face_says_so_and_what_helps(page: Page) -> None:
    await choose_bytes(page, "wall.jpg", no_face_jpeg())
    await expect(page.get_by_role("heading", name="No face in this photo")).to_be_visible()
    await expect(page.get_by_role("status").filter(has_text="No face in this photo")).to_have_count(1)
    await expect(page.get_by_role("button", name="Try another photo")).to_be_visible()


async def test_text_that_is_named_like_a_photo_is_refused_before_it_is_sent(page: Page) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    await choose_bytes(page, "me.jpg", b"I am not a photo at all, whatever my name says.")
    await expect(page.get_by_role("heading", name="This is not a photo")).to_be_visible()
    assert not [url for url in sent if url.endswith("/Search")]


@pytest.mark.parametrize("form", ["GIF", "BMP", "TIFF", "AVIF"])
async def test_a_picture_of_a_kind_that_is_not_read_is_named(page: Page, newton_photo: Path, form: str) -> None:
    await choose_bytes(page, f"me.{form.lower()}", converted(newton_photo, form))
    await expect(page.get_by_role("heading", name=f"{form} pictures cannot be read")).to_be_visible()
    await expect(page.locator(".words").get_by_text("JPEG, PNG and WebP photos work")).to_be_visible()


async def test_a_damaged_photo_is_named_as_unreadable(page: Page) -> None:
    await choose_bytes(page, "cut.jpg", no_face_jpeg()[:300])
    await expect(page.get_by_role("heading", name="This photo cannot be read")).to_be_visible()


async def test_a_photo_of_too_many_pixels_is_named_as_too_large(page: Page) -> None:
    await choose_bytes(page, "huge.png", huge_header_png())
    await expect(page.get_by_role("heading", name="This photo is too large")).to_be_visible()
    await expect(page.locator(".words").get_by_text(re.compile(r"up to \d+\smegapixels work"))).to_be_visible()


async def test_an_heic_photo_is_explained(page: Page) -> None:
    await choose_bytes(page, "IMG_0001.HEIC", b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(64))
    await expect(page.get_by_role("heading", name="This browser cannot open HEIC photos")).to_be_visible()
    await expect(page.locator(".words").get_by_text("Most Compatible")).to_be_visible()


async def test_a_dropped_link_is_refused_with_a_reason(page: Page) -> None:
    await page.evaluate(
        """() => {
          const data = new DataTransfer();
          data.setData("text/uri-list", "https://example.com/face.jpg");
          document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
        }"""
    )
    await expect(page.get_by_role("heading", name="That was a link, not a photo")).to_be_visible()


def _not_ready() -> bytes:
    """Returns a refusal: UNAVAILABLE, NOT_READY, come back in half a second."""
    retry = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(nanos=500_000_000))
    return _refusal(14, "NOT_READY", retry)


def _refusal(code: int, reason: str, *more: Message) -> bytes:
    """Returns a grpc-web body that holds trailers alone: the status, with the reason and what else it details."""
    details: list[any_pb2.Any] = []
    for detail in (error_details_pb2.ErrorInfo(reason=reason, domain="twin"), *more):
        packed = any_pb2.Any()
        packed.Pack(detail)
        details.append(packed)
    status = status_pb2.Status(code=code, message="words", details=details).SerializeToString()
    encoded = base64.b64encode(status).decode().rstrip("=")
    trailers = f"grpc-status: {code}\r\ngrpc-message: words\r\ngrpc-status-details-bin: {encoded}\r\n".encode()
    return b"\x80" + len(trailers).to_bytes(4, "big") + trailers


async def test_a_search_in_a_gallery_that_is_gone_does_not_speak_of_receipts(page: Page, newton_photo: Path) -> None:
    async def refuse(route: Route) -> None:
        await route.fulfill(status=200, content_type="application/grpc-web+proto", body=_refusal(5, "NOT_FOUND"))

    await page.route(re.compile("TwinService/Search$"), refuse)
    await choose(page, newton_photo)
    await expect(page.get_by_role("heading", name="The gallery was not found")).to_be_visible()
    await expect(page.locator(".words")).not_to_contain_text("token")


async def test_a_starting_service_is_waited_for(page: Page, newton_photo: Path) -> None:
    refusals = 0

    async def refuse_twice(route: Route) -> None:
        nonlocal refusals
        if refusals == 2:
            await route.continue_()
            return
        refusals += 1
        await route.fulfill(status=200, content_type="application/grpc-web+proto", body=_not_ready())

    await page.route(re.compile("TwinService/Search$"), refuse_twice)
    await choose(page, newton_photo)
    await expect(page.get_by_role("heading", name="The service is starting")).to_be_visible()
    await expect(page.locator(".next-try")).to_be_visible()
    await see_twin(page)
    assert refusals == 2


async def test_a_page_that_opens_too_early_says_so_and_goes_on_by_itself(page: Page, newton_photo: Path) -> None:
    is_up = False

    async def refuse_at_first(route: Route) -> None:
        if is_up:
            await route.continue_()
            return
        await route.fulfill(status=200, content_type="application/grpc-web+proto", body=_not_ready())

    await page.route(re.compile("TwinService/GetStats$"), refuse_at_first)
    await page.reload()
    await expect(page.locator(".problem")).to_contain_text("The service is starting")
    await expect(page.locator(".next-try")).to_have_text(re.compile(r"^(Next try in \d+ s|Trying now)$"))
    await expect(page.locator(".gallery-count")).to_have_count(0)
    is_up = True
    await expect(page.get_by_text("faces in the gallery")).to_be_visible()
    await expect(page.locator(".problem")).to_have_count(0)
    await choose(page, newton_photo)
    await see_twin(page)


async def test_a_service_that_lacks_another_is_not_said_to_start(page: Page, newton_photo: Path) -> None:
    async def refuse(route: Route) -> None:
        body = _refusal(14, "DEPENDENCY_UNAVAILABLE")
        await route.fulfill(status=200, content_type="application/grpc-web+proto", body=body)

    await page.route(re.compile("TwinService/Search$"), refuse)
    await choose(page, newton_photo)
    await expect(page.get_by_role("heading", name="Part of the service is away")).to_be_visible()
    await page.unroute(re.compile("TwinService/Search$"))
    await page.get_by_role("button", name="Try now").click()
    await see_twin(page)


async def test_a_service_that_is_killed_mid_search_is_waited_for(own_stack: Stack, newton_photo: Path) -> None:
    url = f"http://{own_stack.addresses['gateway_http']}"
    async with visit(url, DESKTOP) as page:
        embedder = own_stack.service_process("embedder")
        # Stopped, it takes the search and does not answer; killed, it has lost it.
        embedder.suspend()
        await choose(page, newton_photo)
        await page.locator(".stage-searching").wait_for()
        embedder.kill()
        await expect(page.get_by_role("heading", name="Nobody else yet")).to_be_visible(timeout=60_000)


async def test_a_search_can_be_cancelled_while_it_waits(page: Page, newton_photo: Path) -> None:
    async def refuse(route: Route) -> None:
        await route.fulfill(status=200, content_type="application/grpc-web+proto", body=_not_ready())

    await page.route(re.compile("TwinService/Search$"), refuse)
    await choose(page, newton_photo)
    await expect(page.get_by_role("heading", name="The service is starting")).to_be_visible()
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.get_by_role("heading", name="Who looks like you?")).to_be_visible()


async def test_pictures_that_have_run_out_come_back_with_another_search(twin_page_url: str, newton_photo: Path) -> None:
    pictures = re.compile("/photos/")
    # The browser itself reports the refused pictures in the console.
    async with visit(twin_page_url, DESKTOP, expected_errors=re.compile("403")) as page:
        await page.route(pictures, lambda route: route.fulfill(status=403))
        await choose(page, newton_photo)
        again = page.locator(".words").get_by_role("button", name="Search again")
        await again.wait_for()
        await expect(page.get_by_role("status").filter(has_text="can no longer be shown")).to_have_count(1)
        await page.locator(".others .card").first.click()
        await expect(page.get_by_role("dialog").get_by_role("button", name="Search again")).to_be_visible()
        await page.keyboard.press("Escape")
        await page.unroute(pictures)
        await again.click()
        await see_twin(page)
        await expect(again).to_have_count(0)


async def test_what_is_not_retried_does_not_promise_it(page: Page, newton_photo: Path) -> None:
    async def refuse(route: Route) -> None:
        await route.fulfill(status=200, content_type="application/grpc-web+proto", body=_not_ready())

    await choose(page, newton_photo)
    await see_twin(page)
    await page.route(re.compile("TwinService/AddPhoto$"), refuse)
    await agree_to_keep(page)
    await expect(page.get_by_role("alert")).to_contain_text("Try again in a moment")
    confirm = page.get_by_role("button", name="Keep it")
    await expect(confirm).to_be_focused()
    await expect(confirm).to_be_enabled()


async def test_a_failure_to_keep_is_told_after_the_visitor_went_on(
    page: Page, newton_photo: Path, gauss_photo: Path
) -> None:
    searched_on = asyncio.Event()

    async def refuse_late(route: Route) -> None:
        await searched_on.wait()
        await route.fulfill(status=200, content_type="application/grpc-web+proto", body=_not_ready())

    await choose(page, newton_photo)
    await see_twin(page)
    await page.route(re.compile("TwinService/AddPhoto$"), refuse_late)
    await agree_to_keep(page)
    await choose(page, gauss_photo)
    await see_twin(page)
    searched_on.set()
    await expect(page.get_by_role("heading", name="Your photo was not kept")).to_be_visible()
    await expect(page.locator(".keep")).to_contain_text("It was newton.png")


async def test_a_newer_photo_cancels_the_search_before_it(page: Page, newton_photo: Path, gauss_photo: Path) -> None:
    held = asyncio.Event()
    searches = 0

    async def hold_the_first(route: Route) -> None:
        nonlocal searches
        searches += 1
        if searches == 1:
            held.set()
            return
        await route.continue_()

    await page.route(re.compile("TwinService/Search$"), hold_the_first)
    async with page.expect_event("requestfailed", lambda request: request.url.endswith("/Search")):
        await page.locator("input[type=file]").first.set_input_files(newton_photo)
        await held.wait()
        await hand_over(page, "paste", gauss_photo.read_bytes())
    await see_twin(page)
    assert searches == 2


async def test_a_photo_dropped_where_none_is_wanted_does_not_leave_the_page(page: Page, newton_photo: Path) -> None:
    await page.get_by_role("link", name="Remove a photo").click()
    await expect(page.locator("main")).to_be_focused()
    await expect(page).to_have_title("Remove a photo · Find Your Twin")
    left_to_the_browser = await page.evaluate(
        """() => {
          const data = new DataTransfer();
          data.items.add(new File(["x"], "me.png", { type: "image/png" }));
          const event = (kind) => new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true });
          return ["dragover", "drop"].filter((kind) => document.body.dispatchEvent(event(kind)));
        }"""
    )
    assert left_to_the_browser == []
    await expect(page.locator(".drop-veil")).to_have_count(0)
    await expect(page.get_by_role("heading", name="Remove a photo")).to_be_visible()


async def test_the_address_names_the_gallery_and_one_that_is_not_there_is_told(
    page: Page, twin_page_url: str, newton_photo: Path
) -> None:
    await page.goto(f"{twin_page_url}/?gallery=family")
    await expect(page.locator(".problem")).to_contain_text("The gallery was not found")
    await choose(page, newton_photo)
    await expect(page.get_by_role("heading", name="The gallery was not found")).to_be_visible()
    await page.goto(f"{twin_page_url}/?gallery=default")
    await expect(page.locator(".gallery-count")).to_have_text(re.compile(r"^\d+ faces in “default”$"))
    await choose(page, newton_photo)
    await see_twin(page)
