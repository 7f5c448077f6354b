"""What files beside photos say about them: who is in them, and which collection they belong to.

- ``source_info.json`` beside a folder ``images``: its ``name``, or else its own folder's, is the collection of what
  lies in there.
- ``*.csv`` with a column for the file (``filename``, ``file``, ``image``, ``image_id``, ``path``) and one for the
  ``person`` (or ``identity``), the ``collection`` (or ``source``), or both. A file is named from the CSV's folder on,
  or by its bare name wherever it lies below.
- ``identity_CelebA.txt``: lines of a file name and a number, for what lies below its folder's parent, where CelebA has
  its pictures.

Other files of these kinds say nothing. Paths are divided by "/".
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from runtime.names import MAX_TEXT_CHARACTERS

MAX_METADATA_BYTES: Final = 64 * 2**20
_SOURCE_INFO: Final = "source_info.json"
_PHOTO_FOLDER: Final = "images"
_IDENTITIES: Final = "identity_celeba.txt"
_FILE_COLUMNS: Final = ("filename", "file_name", "file", "image", "image_id", "path")
_PERSON_COLUMNS: Final = ("person", "identity")
_COLLECTION_COLUMNS: Final = ("collection", "source")


@dataclass(frozen=True, slots=True)
class PhotoFacts:
    """Who is in a photo and where it comes from; "" for what is not known."""

    person: str = ""
    collection: str = ""


NOTHING: Final = PhotoFacts()


def is_metadata(path: str) -> bool:
    """Tells, by its name, whether a file may say something of photos."""
    name = PurePosixPath(path).name.lower()
    return name in (_SOURCE_INFO, _IDENTITIES) or name.endswith(".csv")


class PhotoMetadata:
    """What the files of one import say; in memory, some 200 bytes for each photo that they name."""

    def __init__(self) -> None:
        self._by_place: dict[str, PhotoFacts] = {}
        # By folder, then by bare name.
        self._by_name: dict[str, dict[str, PhotoFacts]] = {}
        self._collections: dict[str, str] = {}

    def add(self, path: str, data: bytes) -> None:
        """Takes in one file; what it does not understand of it counts as not said."""
        place = PurePosixPath(path)
        text = data.decode("utf-8-sig", "replace")
        if place.name.lower() == _SOURCE_INFO:
            name = _source_name(text) or _clean(place.parent.name)
            self._collections[str(place.parent / _PHOTO_FOLDER)] = name
        elif place.name.lower() == _IDENTITIES:
            self._add_names(place.parent.parent, _identities(text))
        else:
            self._add_names(place.parent, _rows(text))

    def facts_of(self, path: str) -> PhotoFacts:
        """Returns what is said of a photo; what names it alone goes before what is said of its folder."""
        place = PurePosixPath(path)
        facts = self._by_place.get(str(place))
        collection = ""
        for folder in map(str, place.parents):
            facts = facts or self._by_name.get(folder, {}).get(place.name)
            collection = collection or self._collections.get(folder, "")
        facts = facts or NOTHING
        return PhotoFacts(facts.person, facts.collection or collection)

    def _add_names(self, folder: PurePosixPath, facts_by_name: Iterator[tuple[str, PhotoFacts]]) -> None:
        names = self._by_name.setdefault(str(folder), {})
        for name, facts in facts_by_name:
            if "/" in name:
                self._by_place[str(folder / name)] = facts
            else:
                names[name] = facts


def _source_name(text: str) -> str:
    try:
        info = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    name = info.get("name") if isinstance(info, dict) else None
    return _clean(name) if isinstance(name, str) else ""


def _identities(text: str) -> Iterator[tuple[str, PhotoFacts]]:
    for line in io.StringIO(text):
        name, _, number = line.strip().partition(" ")
        if name and number.strip().isdigit():
            yield name, PhotoFacts(person=f"CelebA {number.strip()}")


def _rows(text: str) -> Iterator[tuple[str, PhotoFacts]]:
    try:
        for row in csv.DictReader(io.StringIO(text.replace("\0", "")), skipinitialspace=True):
            values = {(key or "").strip().lower(): value for key, value in row.items() if isinstance(value, str)}
            name = _first(values, _FILE_COLUMNS)
            facts = PhotoFacts(_first(values, _PERSON_COLUMNS), _first(values, _COLLECTION_COLUMNS))
            if name and facts != NOTHING:
                yield name.removeprefix("./"), facts
    except csv.Error:
        return


def _first(values: Mapping[str, str], columns: tuple[str, ...]) -> str:
    return next((_clean(values[column]) for column in columns if values.get(column)), "")


def _clean(text: str) -> str:
    return text.replace("\0", "").strip()[:MAX_TEXT_CHARACTERS]
