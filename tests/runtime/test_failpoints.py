"""Failpoints: armed by name alone, refused when misspelt or not allowed, and all of them where the list says."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

from runtime import failpoints
from runtime.errors import DependencyUnavailable, StartupError

ROOT = Path(__file__).resolve().parents[2]
ALLOWED = {failpoints.ALLOW_VARIABLE: "1"}


def _points_in_the_sources() -> list[str]:
    calls = re.compile(r"failpoints\.reach(?:_async)?\(\s*\"([^\"]*)\"")
    sources = [
        path for folder in ("runtime", "vectorstore", "embedder", "gateway") for path in ROOT.glob(f"{folder}/**/*.py")
    ]
    return [name for path in sources for name in calls.findall(path.read_text())]


def test_every_point_of_the_list_is_in_the_code_and_no_other() -> None:
    assert set(_points_in_the_sources()) == failpoints.POINTS


def test_an_unarmed_point_does_nothing() -> None:
    assert not failpoints.reach("add.committed")
    assert not asyncio.run(failpoints.reach_async("add.committed"))


def test_a_point_that_is_not_in_the_list_is_a_bug_once_anything_is_armed() -> None:
    with failpoints.armed("add.committed=sleep:0"), pytest.raises(ValueError, match="is no failpoint"):
        failpoints.reach("add.comitted")


def test_an_error_is_raised_at_the_nth_time_alone() -> None:
    with failpoints.armed("add.committed=raise:postgres_gone@2"):
        failpoints.reach("add.committed")
        with pytest.raises(DependencyUnavailable):
            failpoints.reach("add.committed")
        failpoints.reach("add.committed")
    failpoints.reach("add.committed")


def test_draws_follow_the_seed() -> None:
    def drawn(seed: int) -> list[bool]:
        with failpoints.armed("changes.notify=drop%30", seed):
            return [failpoints.reach("changes.notify") for _ in range(200)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert 30 < sum(drawn(1)) < 90


def test_a_coroutine_that_sleeps_lets_the_others_go_on() -> None:
    async def both() -> list[str]:
        done: list[str] = []

        async def sleeper() -> None:
            await failpoints.reach_async("add.committed")
            done.append("sleeper")

        async def other() -> None:
            done.append("other")

        with failpoints.armed("add.committed=sleep:0.05"):
            await asyncio.gather(sleeper(), other())
        return done

    assert asyncio.run(both()) == ["other", "sleeper"]


def test_a_kill_ends_the_process_where_it_stands() -> None:
    code = (
        "import os; from runtime import failpoints; failpoints.arm_from_environment(os.environ); "
        "failpoints.reach('add.committed'); print('still here')"
    )
    environment = {"TWIN_FAILPOINTS": "add.committed=kill", **ALLOWED, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == -9
    assert "still here" not in ended.stdout


@pytest.mark.parametrize(
    ("specification", "says"),
    [
        ("add.comitted=kill", "is no failpoint"),
        ("add.committed", "is no failpoint"),
        ("add.committed=explode", "is none of"),
        ("add.committed=raise:unheard_of", "is none of"),
        ("add.committed=sleep:long", "is none of"),
        ("add.committed=sleep:-1", "is none of"),
        ("add.committed=drop", "is none of"),
        ("add.committed=kill@0", "is none of"),
        ("add.committed=kill%200", "is none of"),
    ],
)
def test_what_cannot_be_armed_stops_the_start(specification: str, says: str) -> None:
    with pytest.raises(StartupError, match=says):
        failpoints.arm_from_environment({failpoints.VARIABLE: specification, **ALLOWED})
    assert not failpoints._armed


def test_failpoints_that_were_not_allowed_stop_the_start() -> None:
    with pytest.raises(StartupError, match="is for tests"):
        failpoints.arm_from_environment({failpoints.VARIABLE: "add.committed=kill"})
    failpoints.arm_from_environment({failpoints.ALLOW_VARIABLE: "1"})
