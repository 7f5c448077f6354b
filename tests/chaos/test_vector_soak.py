"""The short form of ``python -m tests.chaos.vector_soak``, for each kind of index that every machine has."""

import pytest

from tests.chaos.stores import PostgresServer
from tests.chaos.vector_soak import Plan, SoakReport, soak

SECONDS = 12.0
SEED = 9

pytestmark = pytest.mark.chaos


@pytest.mark.parametrize("index", ["flat", "compressed"])
async def test_nothing_is_wrong_while_all_goes_on_at_once(postgres: PostgresServer, index: str) -> None:
    plan = Plan(SECONDS, seed=SEED, dimension=64, planted=400, churning=200, faces=8)
    report = await soak(plan, postgres, index)
    print(f"seed {SEED}", report)
    assert report.wrong == []
    assert report.failed == {}
    assert report.counts["searches"] > 100
    assert report.counts["deleted"] > 20
    assert report.counts["snapshots"] > 0


@pytest.mark.parametrize(("mebibytes", "is_flat"), [((243, 257, 261), True), ((315, 325, 366), False)])
def test_memory_that_grows_is_told_from_memory_that_does_not(mebibytes: tuple[int, ...], is_flat: bool) -> None:
    """As measured in three minutes with freed memory given back, and without."""
    report = SoakReport(memory=[part * 2**20 for part in mebibytes for _ in range(100)])
    assert report.is_flat is is_flat
