"""Before anything else: is this PostgreSQL one that keeps what it acknowledges, and does it have our schema?"""

from typing import Any

import asyncpg

from runtime.errors import StartupError
from vectorstore.database import connection_options
from vectorstore.migrate import migrate
from vectorstore.postgres_errors import POSTGRES_FAILURES

# Off, any of them loses acknowledged photos: 1,784 of 27,500 in one kill with synchronous_commit=off.
_MUST_BE_ON = ("fsync", "full_page_writes", "synchronous_commit")


async def prepare_database(url: str, *, pooled: bool = False) -> None:
    """Checks the server's settings and applies missing migrations; raises StartupError with one line.

    pooled: see ``Database.open``.
    """
    try:
        options = connection_options(pooled=pooled)
        connection: asyncpg.Connection[Any] = await asyncpg.connect(url, timeout=10, **options)
    except asyncpg.ProtocolViolationError:
        raise StartupError(
            "PostgreSQL takes no settings at a connection's start, as a pooler in front of it does not; set "
            "TWIN_DATABASE_POOLED=true, or let TWIN_DATABASE_URL lead to the server itself"
        ) from None
    except (ValueError, *POSTGRES_FAILURES) as error:
        raise StartupError(
            f"PostgreSQL cannot be reached ({type(error).__name__}); check TWIN_DATABASE_URL, or leave it unset for "
            "the embedded one"
        ) from None
    try:
        async with connection.transaction():
            await _check_settings(connection)
        # As long as they take: a large table's index may be among them.
        await migrate(connection)
    except POSTGRES_FAILURES as error:
        state = getattr(error, "sqlstate", None)
        raise StartupError(f"the database could not be prepared ({type(error).__name__} {state})") from None
    finally:
        connection.terminate()


async def _check_settings(connection: "asyncpg.Connection[Any]") -> None:
    for name in _MUST_BE_ON:
        value = await connection.fetchval("SELECT current_setting($1)", name)
        if value == "off":
            raise StartupError(f"PostgreSQL runs with {name}={value}, which loses acknowledged photos; turn it on")
