"""Photos that are named on the command line."""

from pathlib import Path

from cli.errors import CommandError


def read_photo(path: Path) -> bytes:
    """Returns a file's bytes; raises CommandError when it cannot be read. Whether it is a photo, the service says."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or error}") from error
