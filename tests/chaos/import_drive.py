"""A thousand photos through the Drive emulator, a fifth of whose answers are faults.

``python -m tests.chaos.import_drive --photos 1000 --kills 10 --faults 20 --how referenced`` (or ``uploaded``):
a folder of the owner's Drive is imported where it lies, or a folder of this machine into Drive; the gateway is killed
with SIGKILL on the way. Afterwards both sides are reconciled as if two days had passed. One JSON line says what came
of it; the exit code is 0 when every photo is there once.
"""

import argparse
import asyncio
import contextlib
import json
import random
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cli.settings import ClientSettings
from tests.chaos.import_kills import (
    GatewayProcess,
    gateway_beside,
    kill_on_the_way,
    photo_count,
    put_photos,
    seed_of_this_run,
    sources,
)
from tests.conftest import open_data_dir
from tests.drive_emulator import DriveEmulator
from tests.drive_emulator.tokens import FILE_SCOPE
from tests.support.stack import TWIN, Stack

_READ_SCOPE: Final = "https://www.googleapis.com/auth/drive.readonly"
_FAULTS: Final = (
    "rate_limit_403",
    "rate_limit_429",
    "error_500",
    "error_503",
    "unauthorized_401",
    "lost_response",
    "short_body",
    "wrong_bytes",
    "timeout",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.import_drive")
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--faults", type=float, default=20.0, help="of a hundred requests")
    parser.add_argument("--how", choices=("referenced", "uploaded"), default="referenced")
    chosen = parser.parse_args()
    draws = random.Random(seed_of_this_run())
    with open_data_dir() as folder, DriveEmulator(seed=draws.randrange(2**31)) as emulator:
        stack = Stack(Path(folder) / "data")
        stack.start()
        try:
            outcome = _run(stack, emulator, Path(folder) / "album", draws, chosen)
        finally:
            stack.stop()
    print(json.dumps(outcome))
    return 0 if outcome["is_whole"] else 1


def _run(
    stack: Stack, emulator: DriveEmulator, album: Path, draws: random.Random, chosen: argparse.Namespace
) -> dict[str, Any]:
    names = put_photos(album, chosen.photos, ClientSettings().models_path())
    owners_folder = emulator.drive.owner_folder("album")
    if chosen.how == "referenced":
        for name in names:
            emulator.drive.owner_file(name, (album / name).read_bytes(), owners_folder)
    for kind in _FAULTS:
        # What does not answer costs seconds each time, and is rarer in life too.
        share = 0.1 if kind == "timeout" else 1 / (len(_FAULTS) - 1)
        emulator.faults.add(kind, percent=chosen.faults * share, times=None, retry_after_s=None)
    environment = {
        "TWIN_PHOTO_STORE": "drive",
        "TWIN_GOOGLE_TOKEN_JSON": emulator.token_json(FILE_SCOPE, _READ_SCOPE),
        "TWIN_DRIVE_ENDPOINT": emulator.url,
        "TWIN_DRIVE_IMPORTS": "true",
    }
    began_s = time.monotonic()
    with gateway_beside(stack, **environment) as gateway:
        if chosen.how == "referenced":
            for _ in range(chosen.kills):
                kill_on_the_way(stack, gateway, owners_folder, draws, step=chosen.photos // (chosen.kills + 1))
            said = _twin(stack, gateway, "import", f"drive:{owners_folder}")
        else:
            said = _upload(stack, gateway, album, draws, chosen.kills)
        seconds = time.monotonic() - began_s
        happened = dict(emulator.faults.happened)
        requests = sum(emulator.faults.requests.values())
        emulator.faults.clear()
        left_over = _reconciled(stack, gateway, emulator)
        again = _twin(stack, gateway, "import", f"drive:{owners_folder}" if chosen.how == "referenced" else str(album))
    keys = asyncio.run(sources(stack))
    files = len(emulator.drive.photos())
    kept = chosen.photos if chosen.how == "uploaded" else 0
    return {
        "is_whole": len(keys) == len(set(keys)) == chosen.photos and files == kept and "0 originals" in left_over[-1],
        "photos": len(keys),
        "distinct_originals": len(set(keys)),
        "uploaded_files": files,
        "said": said,
        "skipped": _skipped(stack),
        "reconciled": left_over,
        "again": again,
        "seconds": round(seconds, 1),
        "requests": requests,
        "faults": happened,
    }


def _upload(stack: Stack, gateway: GatewayProcess, album: Path, draws: random.Random, kills: int) -> str:
    """Imports a folder of this machine with one command, which outlives the gateways that are killed beneath it."""
    step = len(list(album.iterdir())) // (kills + 1)
    with subprocess.Popen(
        [str(TWIN), "import", str(album)], env=_environment(stack, gateway), stdout=subprocess.PIPE, text=True
    ) as command:
        for kill in range(1, kills + 1):
            while command.poll() is None and asyncio.run(photo_count(stack)) < kill * step:
                time.sleep(0.1)
            time.sleep(draws.uniform(0, 0.3))
            gateway.kill()
            gateway.start()
        told, _ = command.communicate()
    return next((line for line in told.splitlines() if "added" in line), told[-500:])


def _skipped(stack: Stack) -> list[str]:
    """Returns what the reports of imports say, of all that were skipped for a while."""
    reports = sorted((stack.data_dir / "imports").glob("*.csv"))
    return [line for report in reports for line in report.read_text().splitlines()[1:]][:20]


def _reconciled(stack: Stack, gateway: GatewayProcess, emulator: DriveEmulator) -> list[str]:
    """Reconciles as if two days had passed; returns what each look said, the last one after the removal."""
    then = (datetime.now(UTC) - timedelta(days=2)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    with emulator.drive.lock:
        for file in emulator.drive.photos():
            file.created = file.modified = then
    first = _twin(stack, gateway, "drive", "reconcile")
    _twin(stack, gateway, "drive", "reconcile", "--apply", "--max", "1000")
    return [first, _twin(stack, gateway, "drive", "reconcile")]


def _twin(stack: Stack, gateway: GatewayProcess, *arguments: str) -> str:
    ended = subprocess.run(
        [str(TWIN), *arguments],
        env=_environment(stack, gateway),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    lines = (ended.stdout + ended.stderr).splitlines()
    return next((line for line in lines if "looked at" in line or "added" in line), " ".join(lines[-2:]))


def _environment(stack: Stack, gateway: GatewayProcess) -> dict[str, str]:
    return {**stack.environment, "TWIN_GATEWAY_TARGET": gateway.address, "COLUMNS": "200"}


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
