"""grpc-web, byte by byte: the same checks through the gateway's own HTTP port and through a real Envoy."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from twin.gateway.v1 import gateway_pb2 as pb

from runtime.errors import NoFaceFound
from runtime.status import error_info, retry_delay_s
from tests.gateway.envoy_proxy import running_envoy
from tests.gateway.fakes import NO_FACE
from tests.gateway.grpc_web_client import BINARY, TEXT, Answer, call, frame, post
from tests.gateway.harness import ADMIN, ADMIN_KEY, Gateway, until
from tests.gateway.pictures import picture

SERVICE = "/twin.gateway.v1.TwinService"
CODE = {code: code.value[0] for code in grpc.StatusCode}


@dataclass
class Web:
    """A way in."""

    gateway: Gateway
    session: aiohttp.ClientSession
    url: str
    kind: str

    async def call(self, method: str, message: bytes, *, text: bool = False, **headers: str) -> Answer:
        return await call(self.session, f"{self.url}{SERVICE}/{method}", message, text=text, **headers)


@pytest.fixture(params=["ours", "envoy"])
async def web(request: pytest.FixtureRequest, gateway: Gateway, tmp_path: Path) -> AsyncIterator[Web]:
    async with contextlib.AsyncExitStack() as stack:
        url = gateway.url
        if request.param == "envoy":
            url = await stack.enter_async_context(running_envoy(tmp_path, gateway.address, gateway.http))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield Web(gateway, session, url, request.param)


@pytest.fixture
async def ours(gateway: Gateway) -> AsyncIterator[Web]:
    async with aiohttp.ClientSession() as session:
        yield Web(gateway, session, gateway.url, "ours")


async def test_every_shape_of_call_in_both_encodings(web: Web) -> None:
    added = await web.gateway.stub.AddPhoto(pb.AddPhotoRequest(image=picture(size=(1200, 900))), metadata=ADMIN)
    photo = pb.GetPhotoRequest(photo_id=added.saved_photo.photo_id).SerializeToString()
    for text in (False, True):
        answer = await web.call("Search", pb.SearchRequest(image=picture(seed=3)).SerializeToString(), text=text)
        assert (answer.http_status, answer.code) == (200, 0)
        assert answer.content_type == ("application/grpc-web-text+proto" if text else "application/grpc-web+proto")
        assert len(pb.SearchResponse.FromString(answer.messages[0]).results[0].twins) == 1
        streamed = await web.call("GetPhoto", photo, text=text)
        assert streamed.code == 0
        assert len(streamed.messages) > 1
        data = b"".join(pb.GetPhotoResponse.FromString(message).data for message in streamed.messages)
        assert data == web.gateway.kept_files()[0].read_bytes()


async def test_an_empty_stream_of_messages_and_an_empty_message_are_whole_answers(web: Web) -> None:
    reflection = f"{web.url}/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    empty = await post(web.session, reflection, b"")
    assert (empty.code, empty.messages) == (0, [])
    answer = await web.call("GetStats", b"")
    assert answer.code == 0
    assert pb.GetStatsResponse.FromString(answer.messages[0]).policy_version == "2026-11"


async def test_an_error_carries_its_details_and_no_message(web: Web) -> None:
    request = pb.SearchRequest(image=picture() + NO_FACE).SerializeToString()
    for text in (False, True):
        answer = await web.call("Search", request, text=text)
        assert answer.http_status == 200
        assert answer.messages == []
        assert answer.code == CODE[grpc.StatusCode.FAILED_PRECONDITION]
        assert answer.message == NoFaceFound().message
        info = error_info(answer.status)
        assert info is not None and info.reason == "NO_FACE"
        assert answer.trailers_in_headers


async def test_messages_beyond_ascii_are_percent_encoded(web: Web) -> None:
    class Unusual(NoFaceFound):
        pass

    web.gateway.embedder.script.fail("Embed", Unusual("100 % Gesichtslos: é\n日本"))
    answer = await web.call("Search", pb.SearchRequest(image=picture()).SerializeToString())
    assert answer.message == "100 % Gesichtslos: é\n日本"
    assert answer.trailers["grpc-message"].isascii()


async def test_metadata_goes_in_and_comes_out(web: Web) -> None:
    answer = await web.call("ImportPhotos", b"", authorization=f"Bearer {ADMIN_KEY}")
    assert answer.code == CODE[grpc.StatusCode.UNAVAILABLE], "let in, and there is no database for its jobs"
    answer = await web.call("ImportPhotos", b"")
    assert answer.code == CODE[grpc.StatusCode.PERMISSION_DENIED]
    answer = await web.call("ImportPhotos", b"", authorization="Bearer wrong", x_request_id="from-the-browser")
    assert answer.code == CODE[grpc.StatusCode.UNAUTHENTICATED]
    assert answer.trailers["x-request-id"] == "from-the-browser"


async def test_health_and_reflection_are_reachable(web: Web) -> None:
    url = f"{web.url}/grpc.health.v1.Health/Check"
    answer = await call(web.session, url, health_pb2.HealthCheckRequest().SerializeToString())
    assert health_pb2.HealthCheckResponse.FromString(answer.messages[0]).status == 1
    request = reflection_pb2.ServerReflectionRequest(list_services="*").SerializeToString()
    for text in (False, True):
        url = f"{web.url}/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
        answer = await call(web.session, url, request, text=text)
        assert answer.code == 0
        listed = reflection_pb2.ServerReflectionResponse.FromString(answer.messages[0]).list_services_response.service
        assert "twin.gateway.v1.TwinService" in {service.name for service in listed}


async def test_an_unknown_method_is_unimplemented(web: Web) -> None:
    assert (await web.call("Nothing", b"")).code == CODE[grpc.StatusCode.UNIMPLEMENTED]
    answer = await call(web.session, f"{web.url}/twin.gateway.v1.Nobody/Nothing", b"")
    assert answer.code == CODE[grpc.StatusCode.UNIMPLEMENTED]


async def test_the_deadline_reaches_the_work(web: Web) -> None:
    request = pb.SearchRequest(image=picture()).SerializeToString()
    web.gateway.embedder.script.hold("Embed")
    answer = await web.call("Search", request, grpc_timeout="300m")
    assert answer.code == CODE[grpc.StatusCode.DEADLINE_EXCEEDED]
    await web.gateway.embedder.script.cancelled["Embed"].wait()


async def test_a_browser_that_leaves_cancels_the_work(web: Web) -> None:
    web.gateway.embedder.script.hold("Embed")
    request = pb.SearchRequest(image=picture()).SerializeToString()
    task = asyncio.create_task(web.call("Search", request))
    await until(lambda: web.gateway.embedder.script.calls["Embed"] == 1)
    task.cancel()
    await web.gateway.embedder.script.cancelled["Embed"].wait()


async def test_text_may_come_in_several_padded_runs(ours: Web) -> None:
    """Clients flush where they like; Envoy is stricter than PROTOCOL-WEB.md here and refuses them."""
    body = frame(pb.GetStatsRequest(gallery="default").SerializeToString())
    runs = b"".join(base64.b64encode(part) for part in (body[:1], body[1:5], body[5:]))
    assert b"=" in runs[:-4]
    answer = await post(ours.session, f"{ours.url}{SERVICE}/GetStats", runs, content_type=TEXT)
    assert answer.code == 0


async def test_the_answer_is_encoded_as_accept_asks(web: Web) -> None:
    url = f"{web.url}{SERVICE}/GetStats"
    answer = await post(web.session, url, frame(b""), content_type=BINARY, accept=TEXT)
    assert answer.content_type == "application/grpc-web-text+proto"
    answer = await post(web.session, url, base64.b64encode(frame(b"")), content_type=TEXT, accept=BINARY)
    assert answer.content_type == "application/grpc-web+proto"


async def test_the_short_names_of_the_types_are_taken(web: Web) -> None:
    url = f"{web.url}{SERVICE}/GetStats"
    assert (await post(web.session, url, frame(b""), content_type="application/grpc-web")).code == 0
    text = base64.b64encode(frame(b""))
    assert (await post(web.session, url, text, content_type="application/grpc-web-text+proto")).code == 0


@pytest.mark.parametrize("count", [0, 2])
async def test_a_unary_method_takes_one_message(ours: Web, count: int) -> None:
    """gRPC's own server would take the first of two, and wait for one that never comes."""
    answer = await post(ours.session, f"{ours.url}{SERVICE}/GetStats", frame(b"") * count)
    assert answer.code == CODE[grpc.StatusCode.INVALID_ARGUMENT]
    assert (await ours.call("GetStats", b"")).code == 0


async def test_a_streaming_method_takes_several_messages(web: Web) -> None:
    request = frame(reflection_pb2.ServerReflectionRequest(list_services="*").SerializeToString())
    url = f"{web.url}/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    answer = await post(web.session, url, request + request)
    assert (answer.code, len(answer.messages)) == (0, 2)


BAD_BODIES = {
    "no header": b"\x00\x00",
    "cut off": frame(b"12345678")[:-3],
    "far too long a length": b"\x00\xff\xff\xff\xff",
    "unknown flags": frame(b"", flags=0x42),
    "trailers": frame(b"a:b\r\n", flags=0x80),
}


@pytest.mark.parametrize("name", BAD_BODIES)
async def test_a_malformed_frame_is_an_invalid_argument(ours: Web, name: str) -> None:
    answer = await post(ours.session, f"{ours.url}{SERVICE}/GetStats", BAD_BODIES[name])
    assert (answer.http_status, answer.code) == (200, CODE[grpc.StatusCode.INVALID_ARGUMENT])


@pytest.mark.parametrize("body", [b"!!!!", b"AAA", b"AA=A", b"====", b"AAAAA===", b"AAAA\n"])
async def test_malformed_base64_is_an_invalid_argument(ours: Web, body: bytes) -> None:
    answer = await post(ours.session, f"{ours.url}{SERVICE}/GetStats", body, content_type=TEXT)
    assert (answer.http_status, answer.code) == (200, CODE[grpc.StatusCode.INVALID_ARGUMENT])


async def test_a_compressed_frame_is_unimplemented(ours: Web) -> None:
    answer = await post(ours.session, f"{ours.url}{SERVICE}/GetStats", frame(b"", flags=1))
    assert answer.code == CODE[grpc.StatusCode.UNIMPLEMENTED]


@pytest.mark.parametrize("text", [False, True])
async def test_a_request_over_the_limit_is_exhausted_in_the_browsers_own_form(ours: Web, text: bool) -> None:
    message = bytes(48 * 2**20 + 1)
    answer = await ours.call("Search", message, text=text)
    assert (answer.http_status, answer.code) == (200, CODE[grpc.StatusCode.RESOURCE_EXHAUSTED])


async def test_a_malformed_timeout_is_an_invalid_argument_and_a_long_one_is_not(ours: Web) -> None:
    for timeout in ("5", "S", "-1S", "123456789S", "5X"):
        answer = await ours.call("GetStats", b"", grpc_timeout=timeout)
        assert answer.code == CODE[grpc.StatusCode.INVALID_ARGUMENT], timeout
    assert (await ours.call("GetStats", b"", grpc_timeout="99999999H")).code == 0
    assert (await ours.call("GetStats", b"", grpc_timeout="0S")).code == CODE[grpc.StatusCode.DEADLINE_EXCEEDED]


async def test_something_else_than_grpc_web_is_an_unsupported_type(ours: Web) -> None:
    for kind in ("application/json", "application/grpc", "text/html", "application/grpc-web+json"):
        answer = await post(ours.session, f"{ours.url}{SERVICE}/GetStats", b"{}", content_type=kind)
        assert answer.http_status == 415
    async with ours.session.put(f"{ours.url}{SERVICE}/GetStats") as response:
        assert response.status == 405


async def test_binary_metadata_that_is_no_base64_is_an_invalid_argument(ours: Web) -> None:
    answer = await ours.call("GetStats", b"", x_trace_bin="!!")
    assert answer.code == CODE[grpc.StatusCode.INVALID_ARGUMENT]
    assert (await ours.call("GetStats", b"", x_trace_bin="AAA", cookie="a=b", te="trailers")).code == 0


async def test_a_gateway_that_is_not_ready_says_when_to_come_back(ours: Web) -> None:
    ours.gateway.readiness.mark_not_ready("waiting for the embedder")
    answer = await ours.call("GetStats", b"")
    assert answer.code == CODE[grpc.StatusCode.UNAVAILABLE]
    assert answer.message == "waiting for the embedder"
    assert retry_delay_s(answer.status) == 1.0
