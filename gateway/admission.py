"""How many calls are in progress at once: one too many is refused at once rather than kept waiting."""

from collections.abc import Iterator
from contextlib import contextmanager

from runtime.errors import Overloaded


class Admission:
    """Counts what is in progress, up to a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._in_progress = 0

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Holds one place; raises Overloaded when there is none."""
        if self._in_progress >= self._limit:
            raise Overloaded
        self._in_progress += 1
        try:
            yield
        finally:
            self._in_progress -= 1
