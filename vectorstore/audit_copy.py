"""Entries of the audit log in the binary form of COPY, made before their changes have revisions."""

import io
import struct
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from vectorstore.audit import AuditAction
from vectorstore.copy_binary import HEADER, TRAILER

_COLUMNS: Final = ("action", "gallery", "photo_id", "revision", "request_id")
_COUNT: Final = struct.pack(">h", len(_COLUMNS))
_UUID_SIZE: Final = struct.pack(">i", 16)
# With its size.
_NO_REVISION: Final = struct.pack(">iq", 8, 0)


class AuditCopy:
    """Entries (n,), at least one: (gallery, 16 bytes of the photo's UUID, the call's id) of each."""

    def __init__(self, action: AuditAction, entries: Sequence[tuple[str, bytes, str]]) -> None:
        name = _text(action.value)
        beginnings = {gallery: _COUNT + name + _text(gallery) + _UUID_SIZE for gallery, _, _ in entries}
        ends = {request_id: _text(request_id) for _, _, request_id in entries}
        rows = [
            b"".join((beginnings[gallery], photo_id, _NO_REVISION, ends[request_id]))
            for gallery, photo_id, request_id in entries
        ]
        self._content = bytearray(b"".join((HEADER, *rows, TRAILER)))
        row_stops = len(HEADER) + np.cumsum([len(row) for row in rows])
        # Where the revisions' bytes are.
        starts = row_stops - [len(ends[request_id]) + 8 for _, _, request_id in entries]
        self._revisions_at = starts[:, None] + np.arange(8)

    async def write(self, connection: Any, revisions: Sequence[int]) -> None:
        """Records them with their revisions (n,), in the caller's turn."""
        content = np.frombuffer(self._content, np.uint8)
        content[self._revisions_at] = np.array(revisions, ">i8").view(np.uint8).reshape(-1, 8)
        source = io.BytesIO(self._content)
        await connection.copy_to_table("audit_log", columns=_COLUMNS, source=source, format="binary")


def _text(text: str) -> bytes:
    content = text.encode()
    return struct.pack(">i", len(content)) + content
