"""What PostgreSQL's failures mean to a caller, in one place.

asyncpg shows a server that is down, starting, stopping or stalled in half a dozen ways. None of its texts reaches a
caller or a log: an exception's DETAIL can hold a whole row, embedding included.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from runtime.errors import DependencyUnavailable, StorageFull

DEPENDENCY = "postgres"
# Class 08: connection; 57P0x: shutting down, crashed, starting; 53: no connection, memory or disk left; 28 and 3D000:
# it lets us in no more, as while it is moved or its password is changed; 25006: it became a standby; 58030: its disk
# fails; 25P03, 55P03 and 57014: our own timeouts; 40xxx: rolled back through no fault of the statement.
_UNAVAILABLE_STATES = ("08", "57P0", "53", "28", "3D000", "25006", "58030", "25P03", "57014", "55P03", "40")
_FULL_STATES = ("53100", "53200")


# Everything that asyncpg raises when something goes wrong with the server, the connection or a statement.
POSTGRES_FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


class DatabaseBug(Exception):
    """PostgreSQL refused a statement that it should have taken; holds the kind of refusal and nothing of the row."""


def is_unavailable(error: BaseException) -> bool:
    """Tells whether the failure is of the connection or the server, so that the same statement can succeed later."""
    if isinstance(error, asyncpg.PostgresError):
        # A connection that ends while a statement runs is shown as a PostgresError without a state.
        state = error.sqlstate
        return state is None or state.startswith(_UNAVAILABLE_STATES)
    return isinstance(
        error,
        OSError  # TimeoutError and ConnectionError too
        | asyncpg.InterfaceError
        | asyncpg.InternalClientError
        | asyncpg.exceptions.ConnectionDoesNotExistError,
    )


@contextmanager
def mapped_errors() -> Iterator[None]:
    """Turns PostgreSQL's failures into DependencyUnavailable("postgres"), StorageFull or DatabaseBug."""
    try:
        yield
    except POSTGRES_FAILURES as error:
        if _is_being_cancelled():
            # A rollback that fails on a dead connection must not take the place of the cancellation that led to it:
            # whoever cancelled would wait for ever.
            raise asyncio.CancelledError from None
        state = error.sqlstate if isinstance(error, asyncpg.PostgresError) else None
        if state in _FULL_STATES:
            raise StorageFull("the database's disk is full") from None
        if is_unavailable(error):
            raise DependencyUnavailable(DEPENDENCY) from None
        # "from None": the original's text may hold a row.
        raise DatabaseBug(f"{type(error).__name__} {state}") from None


def _is_being_cancelled() -> bool:
    try:
        task = asyncio.current_task()
    except RuntimeError:
        # No event loop runs in this thread.
        return False
    return task is not None and task.cancelling() > 0
