"""The short form of ``python -m tests.chaos.vector_soak``, for each kind of index that every machine has."""

import pytest

from tests.chaos.stores import PostgresServer
from tests.chaos.vector_soak import Plan, soak

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
