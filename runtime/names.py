"""Names and other texts that callers give, checked the same way everywhere."""

import re
import uuid

from runtime.errors import InvalidField

DEFAULT_GALLERY = "default"
MAX_TEXT_CHARACTERS = 1024
_GALLERY_NAME = re.compile(r"[a-z0-9-]{1,63}")
# uuid.UUID also takes braces, "urn:uuid:" and missing dashes; one spelling keeps ids comparable as text.
_PHOTO_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def check_gallery_name(name: str, field: str = "gallery") -> str:
    """Returns the name, "default" when empty; raises InvalidField unless it is 1 to 63 of a-z, 0-9 and '-'."""
    name = name or DEFAULT_GALLERY
    if not _GALLERY_NAME.fullmatch(name):
        raise InvalidField(field, "a gallery's name is 1 to 63 of a-z, 0-9 and '-'")
    return name


def check_photo_id(text: str, field: str = "photo_id") -> str:
    """Returns the id in lower case; raises InvalidField unless it is written as 8-4-4-4-12 hexadecimal digits."""
    text = text.lower()
    if not _PHOTO_ID.fullmatch(text):
        raise InvalidField(field, "a photo's id is a UUID such as 123e4567-e89b-42d3-a456-426614174000")
    return text


def parse_photo_id(text: str, field: str = "photo_id") -> uuid.UUID:
    """Returns the UUID; raises InvalidField as ``check_photo_id`` does."""
    return uuid.UUID(check_photo_id(text, field))


def check_text(text: str, field: str) -> str:
    """Returns the text; raises InvalidField when it is too long or holds a NUL, which PostgreSQL cannot keep."""
    if len(text) > MAX_TEXT_CHARACTERS:
        raise InvalidField(field, f"has {len(text)} characters; at most {MAX_TEXT_CHARACTERS} are kept")
    if "\x00" in text:
        raise InvalidField(field, "holds a NUL character")
    return text
