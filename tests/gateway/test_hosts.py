"""Names: a page that had its own name point at this machine is not taken for the gateway's own."""

from pathlib import Path

import aiohttp
import pytest

from gateway.hosts import host_rule
from gateway.settings import GatewaySettings
from runtime.errors import StartupError
from runtime.settings import load_settings
from tests.gateway.grpc_web_client import frame, post
from tests.gateway.harness import Gateway, running_gateway

STATS = "/twin.gateway.v1.TwinService/GetStats"


async def test_a_page_that_points_its_name_here_is_refused_before_its_call_runs(gateway: Gateway) -> None:
    port = gateway.http.rpartition(":")[2]
    evil = {"Host": f"evil.example:{port}", "Origin": f"http://evil.example:{port}"}
    calls = gateway.vectors.script.calls["ListGalleries"]
    async with aiohttp.ClientSession() as session:
        answer = await post(session, gateway.url + STATS, frame(b""), headers=evil)
        assert answer.http_status == 421
        assert gateway.vectors.script.calls["ListGalleries"] == calls
        async with session.get(gateway.url + "/consent", headers={"Host": "evil.example"}) as response:
            assert response.status == 421
        own = {"Host": f"localhost:{port}", "Origin": f"http://localhost:{port}"}
        assert (await post(session, gateway.url + STATS, frame(b""), headers=own)).code == 0


async def test_the_names_that_operators_give_are_answered_to(tmp_path: Path) -> None:
    async with (
        running_gateway(tmp_path, allowed_hosts=("twin.example",)) as gateway,
        aiohttp.ClientSession() as session,
    ):
        headers = {"Host": "Twin.Example", "Origin": "https://twin.example"}
        assert (await post(session, gateway.url + STATS, frame(b""), headers=headers)).code == 0


@pytest.mark.parametrize(
    ("bind_host", "allowed", "host", "answered"),
    [
        ("127.0.0.1", (), "127.0.0.1:8080", True),
        ("127.0.0.1", (), "LOCALHOST", True),
        ("127.0.0.1", (), "[::1]:8080", True),
        ("127.0.0.1", (), "192.168.1.5:8080", True),
        ("127.0.0.1", (), "localhost.evil.example", False),
        ("127.0.0.1", (), "127.0.0.1.evil.example", False),
        ("127.0.0.1", (), "", False),
        ("127.0.0.1", (), "[", False),
        ("::1", (), "evil.example", False),
        ("localhost", (), "evil.example", False),
        ("0.0.0.0", (), "twin.example:8090", True),
        ("192.168.1.5", (), "twin.example", True),
        ("0.0.0.0", ("twin.example",), "twin.example:443", True),
        ("0.0.0.0", ("twin.example",), "evil.example", False),
        ("0.0.0.0", ("twin.example",), "10.0.0.7:8080", True),
    ],
)
def test_which_hosts_are_answered_to(bind_host: str, allowed: tuple[str, ...], host: str, answered: bool) -> None:
    assert host_rule(bind_host, allowed)(host) is answered


def test_hosts_are_read_from_the_environment_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWIN_ALLOWED_HOSTS", "Twin.example, gateway")
    assert load_settings(GatewaySettings).allowed_hosts == ("twin.example", "gateway")
    monkeypatch.setenv("TWIN_ALLOWED_HOSTS", "https://twin.example")
    with pytest.raises(StartupError, match="TWIN_ALLOWED_HOSTS"):
        load_settings(GatewaySettings)
