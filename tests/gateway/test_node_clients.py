"""Clients that this project did not write, in Node, through the gateway's own port and through a real Envoy."""

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

from tests.gateway.envoy_proxy import running_envoy
from tests.gateway.harness import ADMIN_KEY, Gateway
from tests.gateway.pictures import picture

WEB = Path(__file__).parents[2] / "web"


@pytest.fixture
def gateway(importing_gateway: Gateway) -> Gateway:
    return importing_gateway


@pytest.mark.parametrize("through", ["ours", "envoy"])
async def test_every_method_answers_connect_web_and_grpc_web(gateway: Gateway, tmp_path: Path, through: str) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(picture(size=(1600, 1200)))
    async with contextlib.AsyncExitStack() as stack:
        url = gateway.url
        if through == "envoy":
            url = await stack.enter_async_context(running_envoy(tmp_path, gateway.address, gateway.http))
        process = await asyncio.create_subprocess_exec(
            *("npx", "--no-install", "vitest", "run", "--config", "vitest.contract.config.ts"),
            cwd=WEB,
            env={
                **os.environ,
                "TWIN_GATEWAY_HTTP_TARGET": url,
                "TWIN_CONTRACT_PHOTO": str(photo),
                "TWIN_ADMIN_KEY": ADMIN_KEY,
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode(errors="replace")
    assert gateway.vectors.photos == {}
    assert gateway.kept_files() == []
