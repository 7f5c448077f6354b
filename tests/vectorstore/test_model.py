"""Ten thousand random operations against a plain Python model of what a vector store is, with reopenings."""

import pytest

from tests.vectorstore.conftest import StartStore
from tests.vectorstore.model import hold_against_model

OPENINGS = 5
OPERATIONS = 1000


@pytest.mark.parametrize("seed", range(2))
async def test_random_operations_agree_with_a_plain_model(start_store: StartStore, seed: int) -> None:
    model = await hold_against_model(start_store, seed, OPERATIONS, OPENINGS)
    assert model.operation_count == OPENINGS * OPERATIONS
    assert len(model.photos) > 100
    assert len(model.deleted) > 100
