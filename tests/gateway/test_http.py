"""The HTTP port: origins, security headers, the page, the consent texts, the probes."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from gateway.consent_texts import load_consent_texts
from gateway.settings import GatewaySettings
from runtime.errors import StartupError
from runtime.settings import load_settings
from tests.gateway.envoy_proxy import running_envoy
from tests.gateway.grpc_web_client import BINARY, call, frame, post
from tests.gateway.harness import Gateway, running_gateway

STATS = "/twin.gateway.v1.TwinService/GetStats"
FRIEND = "https://friend.example"
FOREIGN = [
    "https://evil.example",
    "null",
    "http://[",
    "https://friend.example.evil.example",
    "http://friend.example",
    "file://",
]


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def friendly(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with running_gateway(tmp_path, allowed_origins=(FRIEND,)) as gateway:
        yield gateway


@pytest.mark.parametrize("origin", FOREIGN)
async def test_a_foreign_pages_call_is_refused_before_it_runs(
    friendly: Gateway, session: aiohttp.ClientSession, origin: str
) -> None:
    calls = friendly.vectors.script.calls["ListGalleries"]
    answer = await post(session, friendly.url + STATS, frame(b""), headers={"Origin": origin})
    assert answer.http_status == 403
    assert friendly.vectors.script.calls["ListGalleries"] == calls
    assert "access-control-allow-origin" not in answer.headers
    async with session.options(friendly.url + STATS, headers={"Origin": origin}) as response:
        assert response.status == 403
        assert "Access-Control-Allow-Origin" not in response.headers


async def test_an_allowed_page_may_call_and_read_the_status(friendly: Gateway, session: aiohttp.ClientSession) -> None:
    headers = {"Origin": FRIEND, "Access-Control-Request-Method": "POST"}
    async with session.options(friendly.url + STATS, headers=headers) as response:
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Origin"] == FRIEND
        assert "POST" in response.headers["Access-Control-Allow-Methods"]
        allowed = response.headers["Access-Control-Allow-Headers"]
        assert {"content-type", "x-grpc-web", "grpc-timeout", "authorization"} <= set(allowed.split(", "))
    answer = await call(session, friendly.url + STATS, b"", origin=FRIEND)
    assert answer.code == 0
    assert answer.headers["access-control-allow-origin"] == FRIEND
    assert "grpc-status-details-bin" in answer.headers["access-control-expose-headers"]
    assert answer.headers["vary"] == "Origin"


async def test_the_gateways_own_page_needs_no_permission(gateway: Gateway, session: aiohttp.ClientSession) -> None:
    answer = await call(session, gateway.url + STATS, b"", origin=gateway.url)
    assert answer.code == 0
    assert "access-control-allow-origin" not in answer.headers
    assert (await call(session, gateway.url + STATS, b"")).code == 0
    answer = await post(session, gateway.url + STATS, frame(b""), headers={"Origin": FRIEND})
    assert answer.http_status == 403, "nobody is allowed unless named"


async def test_envoy_refuses_a_foreign_page_too_and_serves_the_rest(
    gateway: Gateway, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with running_envoy(tmp_path, gateway.address, gateway.http) as url:
        answer = await post(session, url + STATS, frame(b""), headers={"Origin": "https://evil.example"})
        assert answer.http_status == 403
        assert (await call(session, url + STATS, b"", origin="http://localhost:8090")).code == 0
        async with session.get(f"{url}/consent") as response:
            assert response.status == 200


async def test_every_answer_carries_the_security_headers(gateway: Gateway, session: aiohttp.ClientSession) -> None:
    for path in ("/", "/consent", "/nothing/here", "/photos/x", "/livez"):
        async with session.get(gateway.url + path) as response:
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Referrer-Policy"] == "no-referrer"


async def test_the_page_is_served_and_its_hashed_files_are_kept_by_browsers(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    folder = tmp_path / "dist"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>Find Your Twin</title>")
    (folder / "assets" / "index-abc123.js").write_text("export {}")
    (folder / ".env").write_text("secret")
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    async with running_gateway(tmp_path, web_dir=folder) as gateway:
        async with session.get(gateway.url + "/") as response:
            assert "Find Your Twin" in await response.text()
            assert response.headers["Cache-Control"] == "no-cache"
            assert response.content_type == "text/html"
        async with session.get(gateway.url + "/assets/index-abc123.js") as response:
            assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            assert response.content_type in ("text/javascript", "application/javascript")
        for path in ("/.env", "/link.txt", "/..%2Fsecret.txt", "/assets/..%2F..%2Fsecret.txt", "/%00", "/assets"):
            async with session.get(gateway.url + path) as response:
                assert response.status == 404, path
                assert "secret" not in await response.text()


async def test_a_page_that_is_not_built_says_so(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    async with running_gateway(tmp_path, web_dir=tmp_path / "nowhere") as gateway:
        async with session.get(gateway.url + "/") as response:
            assert response.status == 503
            assert "make setup" in await response.text()
        async with session.get(gateway.url + "/consent") as response:
            assert response.status == 200


async def test_the_consent_texts_can_be_read(gateway: Gateway, session: aiohttp.ClientSession) -> None:
    async with session.get(f"{gateway.url}/consent") as response:
        current = json.loads(await response.text())
    assert current["version"] == "2026-11"
    for word in ("kept", "Why", "How long", "delete"):
        assert word in current["text"]
    async with session.get(f"{gateway.url}/consent/2026-11") as response:
        assert response.content_type == "text/plain"
        assert await response.text() == current["text"]
    async with session.get(f"{gateway.url}/consent/1999-01") as response:
        assert response.status == 404


async def test_the_consent_text_is_told_in_the_readers_language(
    gateway: Gateway, session: aiohttp.ClientSession
) -> None:
    told = {}
    for language in ("en", "de", "fr", "../2026-11"):
        async with session.get(f"{gateway.url}/consent", params={"language": language}) as response:
            told[language] = json.loads(await response.text())
    assert (told["de"]["version"], told["de"]["language"]) == ("2026-11.de", "de")
    for word in ("behalten", "Wozu", "Wie lange", "lösch"):
        assert word in told["de"]["text"]
    assert {told[language]["version"] for language in ("en", "fr", "../2026-11")} == {"2026-11"}
    assert told["fr"]["language"] == "en"
    async with session.get(f"{gateway.url}/consent/2026-11.de") as response:
        assert await response.text() == told["de"]["text"]


def test_a_translation_has_the_parts_of_its_original() -> None:
    texts = load_consent_texts().texts
    for version, text in texts.items():
        original = texts[version.partition(".")[0]]
        assert [text.count(mark) for mark in ("\n- ", "\n\n")] == [original.count(mark) for mark in ("\n- ", "\n\n")]


def test_a_translation_needs_its_original_and_is_never_the_current_one(tmp_path: Path) -> None:
    for version in ("2026-11", "2026-11.de"):
        (tmp_path / f"{version}.txt").write_text(version)
    texts = load_consent_texts(tmp_path)
    assert texts.current_version == texts.current_in("fr") == "2026-11"
    assert texts.current_in("de") == "2026-11.de"
    assert texts.versions == {"2026-11", "2026-11.de"}
    (tmp_path / "2026-12.de.txt").touch()
    with pytest.raises(StartupError, match=r"2026-12\.de\.txt translates"):
        load_consent_texts(tmp_path)


def test_the_last_version_is_the_current_one_and_earlier_ones_still_count(tmp_path: Path) -> None:
    for version in ("2025-12", "2026-11", "notes"):
        (tmp_path / f"{version}.txt").write_text(version)
    texts = load_consent_texts(tmp_path)
    assert texts.current_version == "2026-11"
    assert texts.versions == {"2025-12", "2026-11"}
    with pytest.raises(StartupError):
        load_consent_texts(tmp_path / "nowhere")


async def test_the_probes_are_there_and_the_page_is_served_before_the_gateway_is_ready(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    async with running_gateway(tmp_path, start=False) as gateway:
        for path, status in (("/livez", 200), ("/readyz", 503), ("/consent", 200)):
            async with session.get(gateway.url + path) as response:
                assert response.status == status, path
        gateway.readiness.mark_ready()
        async with session.get(gateway.url + "/readyz") as response:
            assert response.status == 200


@pytest.mark.parametrize("value", ["friend.example", "https://friend.example/", "https://a.example,*", "ftp://x"])
def test_a_bad_origin_stops_the_start(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("TWIN_ALLOWED_ORIGINS", value)
    with pytest.raises(StartupError, match="TWIN_ALLOWED_ORIGINS"):
        load_settings(GatewaySettings)


def test_origins_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWIN_ALLOWED_ORIGINS", "https://a.example, http://b.example:8080")
    assert load_settings(GatewaySettings).allowed_origins == ("https://a.example", "http://b.example:8080")


async def test_what_is_no_http_is_refused_and_not_repeated_in_the_log(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    host, _, port = gateway.http.rpartition(":")
    for line in ("authorization Bearer planted-key", f"x: {'planted-key' * 2000}", "bad\0planted-key: x"):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET / HTTP/1.1\r\nHost: {gateway.http}\r\n{line}\r\n\r\n".encode())
        assert b" 400 " in await reader.readline()
        writer.close()
    assert "planted-key" not in caplog.text


async def test_a_bug_behind_a_page_is_told_by_an_id(
    gateway: Gateway, session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr("gateway.grpc_web.request_metadata", fail)
    async with session.post(gateway.url + STATS, data=frame(b""), headers={"Content-Type": BINARY}) as response:
        assert response.status == 500
        assert (await response.text()).startswith("internal error ")


async def test_binary_is_the_type_that_other_clients_send(gateway: Gateway, session: aiohttp.ClientSession) -> None:
    headers = {"Content-Type": f"{BINARY}; charset=utf-8"}
    async with session.post(gateway.url + STATS, data=frame(b""), headers=headers) as response:
        assert response.status == 200
