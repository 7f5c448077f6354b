"""Waiting for a change to be applied here, while the database that tells of it goes away."""

import asyncio
from typing import Any, cast

import pytest

from runtime.errors import NotReady
from vectorstore.follower import Follower
from vectorstore.projection import Projection


class AwayDatabase:
    """Lets nobody connect; found to be away only when a test says so."""

    is_pooled = False

    def __init__(self) -> None:
        self.is_up = True

    async def connect(self) -> Any:
        raise ConnectionRefusedError


async def test_nobody_waits_for_a_change_while_the_database_is_away() -> None:
    database = AwayDatabase()
    follower = Follower(cast(Any, database), Projection(), cast(Any, None))
    following = asyncio.create_task(follower.follow())
    try:
        waiting = asyncio.create_task(follower.wait_for(1, 3600))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        database.is_up = False
        async with asyncio.timeout(30):
            with pytest.raises(NotReady, match="not yet 1"):
                await waiting
            with pytest.raises(NotReady):
                await follower.wait_for(1, 3600)
    finally:
        following.cancel()
