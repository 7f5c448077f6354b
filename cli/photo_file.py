"""Photos that are named on the command line or found in a folder."""

import os
import stat
from pathlib import Path
from typing import Final

from cli.errors import CommandError

# What services take unless they were told otherwise.
MAX_PHOTO_BYTES: Final = 20 * 2**20


class UnreadablePhoto(CommandError):
    """A file that cannot be sent; reason is a short name for it."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def read_photo(path: Path) -> bytes:
    """Returns a file's bytes; whether it is a photo, the service says.

    Raises UnreadablePhoto when it cannot be read, is larger than services take, or is no file at all: reading a pipe
    or a device may never end.
    """
    try:
        # A pipe that nobody writes to is opened without waiting, and known for what it is before it is read.
        with open(path, "rb", opener=_open_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UnreadablePhoto("UNREADABLE_FILE", "is no regular file")
            # One byte more tells a file that is too large from one that just fits, also while it grows.
            image = file.read(MAX_PHOTO_BYTES + 1)
    except OSError as error:
        raise UnreadablePhoto("UNREADABLE_FILE", error.strerror or str(error)) from error
    if len(image) > MAX_PHOTO_BYTES:
        raise UnreadablePhoto("IMAGE_TOO_LARGE", f"more than {MAX_PHOTO_BYTES:,} bytes")
    return image


def read_named_photo(path: Path) -> bytes:
    """Returns the bytes of a photo that the user named; raises CommandError that names it too."""
    try:
        return read_photo(path)
    except UnreadablePhoto as error:
        raise CommandError(f"{path}: {error}") from error


def sendable(text: str) -> str:
    """Returns a name of the system's as UTF-8 has it: bytes of it that are no UTF-8 become replacement characters."""
    return os.fsencode(text).decode("utf-8", "replace")


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)
