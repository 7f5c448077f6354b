"""Many readers or one writer; a waiting writer goes before readers that come later, so that it is never starved."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from runtime.errors import NotReady


class SharedLock:
    """A readers-writer lock for threads; neither side may take it twice.

    Once it is closed, whoever wants it or waits for it gets NotReady.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._readers = 0
        self._writing = False
        self._waiting_writers = 0
        self._is_closed = False

    def close(self) -> None:
        """Lets nobody in any more: what it guards was left in a state that nobody may see."""
        with self._condition:
            self._is_closed = True
            self._condition.notify_all()

    @property
    def is_wanted_for_writing(self) -> bool:
        """Whether a reader would wait for a writer now, as far as can be told without the lock."""
        return self._writing or self._waiting_writers > 0

    def _wait_while(self, is_taken: Callable[[], object]) -> None:
        while not self._is_closed and is_taken():
            self._condition.wait()
        if self._is_closed:
            raise NotReady("the gallery has to be built anew")

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Holds the lock beside other readers."""
        with self._condition:
            self._wait_while(lambda: self._writing or self._waiting_writers)
            self._readers += 1
        try:
            yield
        finally:
            with self._condition:
                self._readers -= 1
                if self._readers == 0:
                    self._condition.notify_all()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Holds the lock alone."""
        with self._condition:
            self._waiting_writers += 1
            try:
                self._wait_while(lambda: self._writing or self._readers)
            finally:
                self._waiting_writers -= 1
            self._writing = True
        try:
            yield
        finally:
            with self._condition:
                self._writing = False
                self._condition.notify_all()
