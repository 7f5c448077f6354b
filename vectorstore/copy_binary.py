"""PostgreSQL's binary form: what every COPY begins and ends with, and how times are counted."""

from datetime import datetime
from typing import Final

from vectorstore.catalog_face import to_microseconds

# https://www.postgresql.org/docs/18/sql-copy.html, "Binary Format": signature, flags, length of an extension.
HEADER: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER: Final = b"\xff\xff"
# From 1970 to 2000-01-01, from where PostgreSQL counts microseconds.
EPOCH_SHIFT_US: Final = 946_684_800_000_000


def to_postgres_us(time: datetime) -> int:
    """Returns a time, which has a zone, in microseconds since 2000."""
    return to_microseconds(time) - EPOCH_SHIFT_US
