"""Which searches the event loop does itself: those that are over almost before a thread would have been woken."""

import time
import weakref
from typing import Final

from vectorstore.gallery_view import GalleryView
from vectorstore.orders import SearchOrder

# A search of 100,000 faces takes 0.8 ms. Handing it to a thread and its answer back takes 0.25 more, while the loop of
# a caller who is alone has nothing else to do.
_SHORT_S: Final = 0.002
# A search that has begun is given up for a thread's after this; between scans, since none can be interrupted.
_LONGEST_S: Final = 2 * _SHORT_S
# Share of its time that the loop must have rested: one that is busy has others to serve while threads scan.
_LEAST_REST: Final = 0.4


class TakesLongerError(Exception):
    """A search that was thought to be short is not."""


class ShortSearches:
    """Decides by how long a gallery's last lone search took, and by how busy the event loop is; for the loop alone."""

    def __init__(self) -> None:
        self._last_s: weakref.WeakKeyDictionary[GalleryView, dict[tuple[int, bool], float]] = (
            weakref.WeakKeyDictionary()
        )
        self._since_s = time.monotonic()
        self._work_since_s = time.thread_time()

    def are_for_the_loop(self, view: GalleryView, order: SearchOrder) -> bool:
        """Tells whether the loop is to answer one query, while no other search is under way."""
        return (
            order.faces.is_open
            and self._last_s.get(view, {}).get((order.first_count, order.exact), _SHORT_S) < _SHORT_S
            and view.index.is_local
            and not view.lock.is_wanted_for_writing
            and self._is_loop_at_rest()
        )

    def check(self, start_s: float) -> None:
        """Raises TakesLongerError when a search that began at start_s, by the monotonic clock, holds up the loop."""
        if time.monotonic() - start_s >= _LONGEST_S:
            raise TakesLongerError

    def note(self, view: GalleryView, order: SearchOrder, duration_s: float) -> None:
        """Takes in how long it took to answer one query."""
        if order.faces.is_open:
            self._last_s.setdefault(view, {})[order.first_count, order.exact] = duration_s

    def note_answered(self) -> None:
        """From here on the loop's rest counts."""
        self._since_s = time.monotonic()
        self._work_since_s = time.thread_time()

    def _is_loop_at_rest(self) -> bool:
        passed_s = time.monotonic() - self._since_s
        worked_s = time.thread_time() - self._work_since_s
        return passed_s - worked_s >= _LEAST_REST * passed_s
