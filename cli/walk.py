"""Photos in a folder, found without reading them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

PHOTO_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp"})


def photos_under(folder: Path) -> Iterator[Path]:
    """Yields every photo under a folder, by name, so that two runs go the same way.

    Hidden files and folders are left out, and links to folders are not followed: they may lead in circles.
    """
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            if not entry.is_symlink():
                yield from photos_under(entry)
        elif entry.suffix.lower() in PHOTO_SUFFIXES:
            yield entry
