"""Which files are photos of a kind that is imported: by their names, and the same wherever photos are looked for."""

from pathlib import PurePosixPath
from typing import Final

PHOTO_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp"})


def is_photo(path: str) -> bool:
    """Tells by its name whether a file is a photo of a kind that is imported."""
    return PurePosixPath(path).suffix.lower() in PHOTO_SUFFIXES
