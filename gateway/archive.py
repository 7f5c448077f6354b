"""A ZIP archive that is sent while it is made: nothing of it is kept but what was not taken yet."""

import zipfile
from datetime import UTC, datetime
from typing import IO, Final, cast

_EARLIEST: Final = datetime(1980, 1, 1, tzinfo=UTC)  # What a ZIP archive can tell.


class Archive:
    """Files go in one after the other; what they have become is taken out in between, and the end of it afterwards.

    A context manager: leaving it ends the archive.
    """

    def __init__(self, file_time: datetime) -> None:
        """file_time: what every file says of when it was made."""
        self._made = _Made()
        self._zip = zipfile.ZipFile(cast(IO[bytes], self._made), "w", zipfile.ZIP_STORED)
        self._date_time = max(file_time.astimezone(UTC), _EARLIEST).timetuple()[:6]
        self._file: IO[bytes] | None = None

    def begin(self, name: str, size_bytes: int) -> None:
        """Begins a file; the one before it is finished. size_bytes: how large it will be."""
        self._finish_file()
        entry = zipfile.ZipInfo(name, self._date_time)
        entry.file_size = size_bytes
        self._file = self._zip.open(entry, "w")

    def write(self, data: bytes) -> None:
        """Adds to the file that was begun."""
        assert self._file is not None
        self._file.write(data)

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_: object) -> None:
        self._finish_file()
        self._zip.close()

    def take(self) -> bytes:
        """Returns what was made since the last time."""
        return self._made.take()

    def _finish_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class _Made:
    """A file that cannot go back, as zipfile writes it."""

    def __init__(self) -> None:
        self._data = bytearray()

    def write(self, data: bytes) -> int:
        self._data += data
        return len(data)

    def flush(self) -> None:
        """There is nowhere to flush to."""

    def take(self) -> bytes:
        data = bytes(self._data)
        self._data.clear()
        return data
