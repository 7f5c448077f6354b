"""What the page says when a search cannot be done, and that it goes on where it can."""

import base64
import re
from pathlib import Path

import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from playwright.async_api import Page, Route, expect

from tests.browser.steps import choose, choose_bytes, see_twin
from tests.support.photos import huge_header_png, no_face_jpeg

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


async def test_a_damaged_photo_is_named_as_unreadable(page: Page) -> None:
    await choose_bytes(page, "cut.jpg", no_face_jpeg()[:300])
    await expect(page.get_by_role("heading", name="This photo cannot be read")).to_be_visible()


async def test_a_photo_of_too_many_pixels_is_named_as_too_large(page: Page) -> None:
    await choose_bytes(page, "huge.png", huge_header_png())
    await expect(page.get_by_role("heading", name="This photo is too large")).to_be_visible()


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
    """Returns a grpc-web body that holds trailers alone: UNAVAILABLE, NOT_READY, come back in half a second."""
    details: list[any_pb2.Any] = []
    for detail in (
        error_details_pb2.ErrorInfo(reason="NOT_READY", domain="twin"),
        error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(nanos=500_000_000)),
    ):
        packed = any_pb2.Any()
        packed.Pack(detail)
        details.append(packed)
    status = status_pb2.Status(code=14, message="loading", details=details).SerializeToString()
    encoded = base64.b64encode(status).decode().rstrip("=")
    trailers = f"grpc-status: 14\r\ngrpc-message: loading\r\ngrpc-status-details-bin: {encoded}\r\n".encode()
    return b"\x80" + len(trailers).to_bytes(4, "big") + trailers


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
    await see_twin(page)
    assert refusals == 2


async def test_a_search_can_be_cancelled_while_it_waits(page: Page, newton_photo: Path) -> None:
    async def refuse(route: Route) -> None:
        await route.fulfill(status=200, content_type="application/grpc-web+proto", body=_not_ready())

    await page.route(re.compile("TwinService/Search$"), refuse)
    await choose(page, newton_photo)
    await expect(page.get_by_role("heading", name="The service is starting")).to_be_visible()
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.get_by_role("heading", name="Who looks like you?")).to_be_visible()
