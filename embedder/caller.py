"""Who waits for an answer, and whether they still do."""

import threading
import time
from collections.abc import Hashable

from runtime.errors import CallerGone, DeadlineExceeded


class Caller:
    """One caller's patience. Worker threads ask it before each stage; any thread may."""

    def __init__(self, time_left_s: float | None, key: Hashable = "") -> None:
        """Key says whose share of the workers this is charged to: one connection's, or one stream's."""
        self.key = key
        self._deadline = None if time_left_s is None else time.monotonic() + time_left_s
        self._gone = threading.Event()

    def leave(self) -> None:
        """Says that nobody waits for the answer any more."""
        self._gone.set()

    def check(self) -> None:
        """Raises CallerGone or DeadlineExceeded when the work would be for nothing."""
        if self._gone.is_set():
            raise CallerGone
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise DeadlineExceeded
