"""A bound on the bytes that wait together: who would exceed it waits for others to be done."""

import asyncio
from collections import deque


class ByteBudget:
    """Takes and gives back bytes, in turn. What is larger than the whole budget gets in alone: nothing waits for ever.

    All methods belong to one event loop.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._taken = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, byte_count: int) -> None:
        """Waits until there is room, and takes it."""
        if not self._waiting and self._fits(byte_count):
            self._taken += byte_count
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((byte_count, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back(byte_count)
            else:
                self._waiting.remove((byte_count, turn))
                self._let_in()
            raise

    def give_back(self, byte_count: int) -> None:
        """Gives room back that was taken."""
        self._taken -= byte_count
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            byte_count, turn = self._waiting.popleft()
            if not turn.done():
                self._taken += byte_count
                turn.set_result(None)

    def _fits(self, byte_count: int) -> bool:
        return not self._taken or self._taken + byte_count <= self._max_bytes
