"""A bound on the bytes that wait together: who would exceed it waits for others to be done."""

import asyncio


class ByteBudget:
    """Takes and gives back bytes. What is larger than the whole budget gets in alone: nothing waits for ever."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._taken = 0
        self._given_back = asyncio.Condition()

    async def take(self, byte_count: int) -> None:
        """Waits until there is room, and takes it."""
        async with self._given_back:
            await self._given_back.wait_for(lambda: not self._taken or self._taken + byte_count <= self._max_bytes)
            self._taken += byte_count

    async def give_back(self, byte_count: int) -> None:
        """Gives room back that was taken."""
        async with self._given_back:
            self._taken -= byte_count
            self._given_back.notify_all()
