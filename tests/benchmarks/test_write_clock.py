"""When the writing benchmark begins to measure."""

import itertools
from collections.abc import Iterable

import pytest

from benchmarks import write_clock
from benchmarks.write_clock import Clock


class _Readings(Clock):
    """A clock of which the readings (client, service, PostgreSQL) are given, one for each look."""

    def __init__(self, readings: Iterable[tuple[float, float, float]]) -> None:
        self.left = iter(readings)

    def _read(self) -> tuple[float, float, float]:
        return next(self.left)


@pytest.fixture(autouse=True)
def short_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_clock, "_QUIET_S", 0)


async def test_a_measurement_waits_for_the_service_and_for_postgres() -> None:
    working = [(0.0, 0.0, 0.0), (0.0, 2.0, 0.0), (0.0, 2.0, 0.0), (0.0, 2.0, 1.0)]
    quiet = [(0.0, 2.0, 1.0), (9.0, 2.1, 1.1)]
    clock = _Readings([*working, *quiet, (9.0, 9.0, 9.0)])
    await clock.until_quiet()
    assert list(clock.left) == [(9.0, 9.0, 9.0)]


async def test_a_service_that_never_rests_ends_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_clock, "_PATIENCE_S", 0.05)
    with pytest.raises(TimeoutError):
        await _Readings((0.0, used, 0.0) for used in itertools.count(0.0)).until_quiet()
