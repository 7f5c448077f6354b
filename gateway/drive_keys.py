"""Keys of originals in Drive: the file's id is in them, and whether the file is ours or its owner's."""

import re
from dataclasses import dataclass
from typing import Final

from gateway.photo_store import KEPT_PREFIX, BadKey

# What Drive makes, and what a folder's address in a browser holds.
FILE_ID: Final = re.compile(r"[A-Za-z0-9_-]{10,200}")
_UUID: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_KEPT: Final = re.compile(rf"{KEPT_PREFIX}([a-z0-9-]{{1,63}})/({_UUID})-({FILE_ID.pattern})\.([a-z0-9]{{1,5}})")
_OWNED: Final = re.compile(rf"file/({FILE_ID.pattern})")
_FOLDER_ADDRESS: Final = re.compile(
    rf"https://drive\.google\.com/drive/(?:u/\d+/)?folders/({FILE_ID.pattern})(?:[?#].*)?"
)


@dataclass(frozen=True, slots=True)
class KeptKey:
    """An original that the gateway put there."""

    gallery: str
    photo_id: str
    file_id: str
    suffix: str

    def __str__(self) -> str:
        return f"{KEPT_PREFIX}{self.gallery}/{self.photo_id}-{self.file_id}.{self.suffix}"


def parse_kept(key: str) -> KeptKey:
    """Returns the parts of a key of ours; raises BadKey for any other."""
    match = _KEPT.fullmatch(key)
    if match is None:
        raise BadKey("the key is none of an original that was put there")
    return KeptKey(*match.groups())


def owned_key(file_id: str) -> str:
    """Returns the key of a file of the owner's."""
    return f"file/{file_id}"


def file_id_of(key: str) -> str:
    """Returns the file that a key names, whoever's it is; raises BadKey."""
    if key.startswith(KEPT_PREFIX):
        return parse_kept(key).file_id
    match = _OWNED.fullmatch(key)
    if match is None:
        raise BadKey("the key names no file in Drive")
    return match[1]


def folder_id_of(text: str) -> str:
    """Returns the folder that somebody names by its id or its address, "root" for "" (everything); raises BadKey."""
    if not text.strip("/"):
        return "root"
    match = _FOLDER_ADDRESS.fullmatch(text)
    if match is not None:
        return match[1]
    if FILE_ID.fullmatch(text) is None:
        raise BadKey("a folder in Drive is named by its id, the last part of its address, or by its address")
    return text
