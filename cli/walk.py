"""Files in a folder, found without reading them."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from runtime.photo_files import is_photo, other_image_suffix


def photos_under(
    folder: Path, on_unreadable: Callable[[Path, OSError], None], on_other_image: Callable[[Path, str], None]
) -> Iterator[Path]:
    """Yields every photo under a folder, as files_under does.

    An image of a kind that is not imported is told to on_other_image, with its suffix.
    """
    for file in files_under(folder, on_unreadable):
        if is_photo(file.name):
            yield file
        elif suffix := other_image_suffix(file.name):
            on_other_image(file, suffix)


def files_under(folder: Path, on_unreadable: Callable[[Path, OSError], None]) -> Iterator[Path]:
    """Yields every file under a folder, by name, so that two runs go the same way.

    Hidden files and folders are left out, and links to folders are not followed: they may lead in circles. A folder
    that cannot be listed is told to on_unreadable, and the walk goes on. Of all names, only those in the folders
    between here and there are in memory.
    """
    levels = [_listed(folder, on_unreadable)]
    while levels:
        entry = next(levels[-1], None)
        if entry is None:
            levels.pop()
        elif entry.is_dir(follow_symlinks=False):
            levels.append(_listed(Path(entry.path), on_unreadable))
        else:
            yield Path(entry.path)


def _listed(folder: Path, on_unreadable: Callable[[Path, OSError], None]) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return iter(sorted((entry for entry in entries if entry.name[0] != "."), key=lambda entry: entry.name))
    except OSError as error:
        on_unreadable(folder, error)
        return iter(())
