"""A real Envoy in front of a gateway, with the configuration that operators get."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

CONFIG = Path(__file__).parents[2] / "deploy" / "envoy" / "envoy.yaml"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def running_envoy(tmp_path: Path, grpc_address: str, http_address: str) -> AsyncIterator[str]:
    """Starts Envoy and yields the URL of its listener."""
    text = CONFIG.read_text()
    port, admin = _free_port(), _free_port()
    for old, new in {
        "address: 0.0.0.0, port_value: 8090": f"address: 127.0.0.1, port_value: {port}",
        "port_value: 50050": f"port_value: {grpc_address.rpartition(':')[2]}",
        "port_value: 8080": f"port_value: {http_address.rpartition(':')[2]}",
        "port_value: 9901": f"port_value: {admin}",
    }.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    config = tmp_path / "envoy.yaml"
    config.write_text(text)
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "envoy"),
        *("-c", str(config), "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "error"),
    )
    try:
        await _until_ready(f"http://127.0.0.1:{admin}/clusters", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def _until_ready(url: str, process: asyncio.subprocess.Process) -> None:
    """Waits until Envoy's own health check has found the gateway."""
    async with aiohttp.ClientSession() as session:
        while True:
            assert process.returncode is None, "Envoy did not start"
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(url) as response:
                    lines = (await response.text()).splitlines()
                if any(line.startswith("gateway_grpc::") and "::health_flags::healthy" in line for line in lines):
                    return
            await asyncio.sleep(0.05)
