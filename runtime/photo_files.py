"""Which files are photos, of a kind that is imported or not: by their names, alike wherever photos are looked for."""

from pathlib import PurePosixPath
from typing import Final

PHOTO_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp"})
# Kinds that people keep photos in, and that nothing here decodes.
OTHER_IMAGE_SUFFIXES: Final = frozenset(
    {".arw", ".avif", ".bmp", ".cr2", ".cr3", ".dib", ".dng", ".gif", ".heic", ".heif", ".hif", ".jfif", ".jp2", ".jxl"}
    | {".nef", ".orf", ".pef", ".ppm", ".psd", ".raf", ".rw2", ".srw", ".tga", ".tif", ".tiff"}
)


def is_photo(path: str) -> bool:
    """Tells by its name whether a file is a photo of a kind that is imported."""
    return PurePosixPath(path).suffix.lower() in PHOTO_SUFFIXES


def other_image_suffix(path: str) -> str:
    """Returns the suffix of an image of a kind that is not imported, in small letters; "" for every other file."""
    suffix = PurePosixPath(path).suffix.lower()
    return suffix if suffix in OTHER_IMAGE_SUFFIXES else ""
