"""What every COPY in binary begins and ends with."""

from typing import Final

# https://www.postgresql.org/docs/18/sql-copy.html, "Binary Format": signature, flags, length of an extension.
HEADER: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER: Final = b"\xff\xff"
