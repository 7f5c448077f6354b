"""Which searches the event loop does itself: those that are over almost before a thread would have been woken."""

import time
import weakref
from typing import Final, NamedTuple

from vectorstore.gallery_view import GalleryView
from vectorstore.orders import Mode, SearchOrder

# A search of 100,000 faces takes 0.8 ms. Handing it to a thread and its answer back takes 0.25 more, while the loop of
# a caller who is alone has nothing else to do.
_SHORT_S: Final = 0.002
# A search that has begun is given up for a thread's after this; between scans, since none can be interrupted.
_LONGEST_S: Final = 2 * _SHORT_S
# Share of its time that the loop must have rested: one that is busy has others to serve while threads scan. A caller
# who is alone leaves it three fifths.
_LEAST_REST: Final = 0.4
# What was measured is forgotten once a gallery has grown by half: the next search of it is measured in a thread.
_MOST_GROWTH: Final = 1.5


class TakesLongerError(Exception):
    """A search that was thought to be short is not."""


class _Measured(NamedTuple):
    duration_s: float
    face_count: int


class ShortSearches:
    """Decides by how long a gallery's last lone search took, and by how busy the event loop is; for the loop alone."""

    def __init__(self) -> None:
        self._last: weakref.WeakKeyDictionary[GalleryView, dict[tuple[Mode, int, bool], _Measured]] = (
            weakref.WeakKeyDictionary()
        )
        self._since_s = time.monotonic()
        self._work_since_s = time.thread_time()

    def are_for_the_loop(self, view: GalleryView, order: SearchOrder) -> bool:
        """Tells whether the loop is to answer one query, while no other search is under way."""
        return (
            order.faces.is_open
            # It looks through all of a named person's faces, however many these are.
            and order.mode is not Mode.SAME_PERSON
            and self._was_short(view, order)
            and view.index.is_local
            and not view.lock.is_wanted_for_writing
            and self._is_loop_at_rest()
        )

    def check(self, start_s: float) -> None:
        """Raises TakesLongerError when a search that began at start_s, by the monotonic clock, holds up the loop."""
        if time.monotonic() - start_s >= _LONGEST_S:
            raise TakesLongerError

    def note(self, view: GalleryView, order: SearchOrder, duration_s: float, *, answered: bool) -> None:
        """Takes in how long one query took; one that was not answered counts only when that was long."""
        if order.faces.is_open and (answered or duration_s >= _SHORT_S):
            self._last.setdefault(view, {})[_key(order)] = _Measured(duration_s, len(view.catalog))

    def note_answered(self) -> None:
        """From here on the loop's rest counts."""
        self._since_s = time.monotonic()
        self._work_since_s = time.thread_time()

    def _was_short(self, view: GalleryView, order: SearchOrder) -> bool:
        last = self._last.get(view, {}).get(_key(order))
        return (
            last is not None
            and last.duration_s < _SHORT_S
            and len(view.catalog) <= _MOST_GROWTH * max(1, last.face_count)
        )

    def _is_loop_at_rest(self) -> bool:
        passed_s = time.monotonic() - self._since_s
        worked_s = time.thread_time() - self._work_since_s
        return passed_s - worked_s >= _LEAST_REST * passed_s


def _key(order: SearchOrder) -> tuple[Mode, int, bool]:
    return order.mode, order.first_count, order.exact
