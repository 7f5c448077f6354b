"""An import that is killed ten times on the way ends with every photo, each once."""

import asyncio
import os
import random
import subprocess
import time
from pathlib import Path

import pytest

from tests.chaos.import_kills import (
    admin_metadata,
    gateway_beside,
    import_to_the_end,
    kill_on_the_way,
    photo_count,
    put_photos,
    seed_of_this_run,
    sources,
)
from tests.support.stack import TWIN, Stack

pytestmark = pytest.mark.chaos
KILLS = 10
PHOTOS = 80
# So many that the last kill comes before the end: some twenty are imported between two.
GATEWAY_PHOTOS = 240


def reconciled(stack: Stack) -> str:
    """Removes what is left of cut-off uploads, as if a day had passed, and returns what a second look says."""
    for original in (stack.data_dir / "photos" / "kept").rglob("*.*"):
        os.utime(original, times=(time.time() - 2 * 86_400,) * 2)
    stack.twin("drive", "reconcile", "--apply", "--max", "1000")
    looked = stack.twin("drive", "reconcile")
    assert looked.returncode == 0, looked.stdout + looked.stderr
    return looked.stdout


@pytest.mark.timeout(600)
def test_a_gateway_killed_ten_times_imports_every_photo_once(own_stack: Stack, models_dir: Path) -> None:
    draws = random.Random(seed_of_this_run())
    names = put_photos(own_stack.data_dir / "photos" / "album", GATEWAY_PHOTOS, models_dir)
    with gateway_beside(own_stack) as gateway:
        for _ in range(KILLS):
            kill_on_the_way(own_stack, gateway, "album", draws)
        state, failures = asyncio.run(import_to_the_end(own_stack, gateway.address, "album"))
    assert failures == []
    assert (state.seen_count, state.added_count, state.unchanged_count) == (GATEWAY_PHOTOS, GATEWAY_PHOTOS, 0)
    assert sorted(asyncio.run(sources(own_stack))) == [f"album/{name}" for name in names]
    logs = own_stack.log.read_text() + (own_stack.data_dir / "postgres" / "log").read_text(errors="replace")
    assert not [name for name in names if name in logs]
    assert "0 originals without a photo, 0 photos without their original" in reconciled(own_stack)


@pytest.mark.timeout(600)
def test_a_command_killed_ten_times_imports_every_photo_once(
    own_stack: Stack, tmp_path: Path, models_dir: Path
) -> None:
    draws = random.Random(seed_of_this_run())
    put_photos(tmp_path / "album", PHOTOS, models_dir)
    admin_metadata(own_stack)
    for _ in range(KILLS):
        before = asyncio.run(photo_count(own_stack))
        with subprocess.Popen(
            [str(TWIN), "import", str(tmp_path / "album")], env=own_stack.environment, stdout=subprocess.DEVNULL
        ) as process:
            while process.poll() is None and asyncio.run(photo_count(own_stack)) < min(before + 3, PHOTOS):
                time.sleep(0.02)
            time.sleep(draws.uniform(0, 0.1))
            process.kill()
    ended = own_stack.twin("import", str(tmp_path / "album"))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert len(set(asyncio.run(sources(own_stack)))) == len(asyncio.run(sources(own_stack))) == PHOTOS
    assert "0 originals without a photo, 0 photos without their original" in reconciled(own_stack)
