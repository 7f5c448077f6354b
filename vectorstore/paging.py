"""Page sizes and page tokens. A token is opaque to callers: what it was made for, and where the next page begins."""

import base64
import binascii
from typing import Final

from runtime.errors import InvalidField

DEFAULT_PAGE_SIZE: Final = 100
MAX_PAGE_SIZE: Final = 1000
_MAX_TOKEN_CHARACTERS: Final = 512


def check_page_size(page_size: int) -> int:
    """Returns the page's size, 100 when 0; raises InvalidField for less or more than 1 to 1,000."""
    if not 0 <= page_size <= MAX_PAGE_SIZE:
        raise InvalidField("page_size", f"is 1 to {MAX_PAGE_SIZE}, or 0 for {DEFAULT_PAGE_SIZE}")
    return page_size or DEFAULT_PAGE_SIZE


def make_page_token(purpose: str, place: str) -> str:
    """Returns the token of the page after a place."""
    return base64.urlsafe_b64encode(f"{purpose}/{place}".encode()).decode().rstrip("=")


def read_page_token(token: str, purpose: str) -> str:
    """Returns the place that a token was made of, "" for no token; raises InvalidField for any other token."""
    if not token:
        return ""
    try:
        if len(token) > _MAX_TOKEN_CHARACTERS:
            raise ValueError
        padded = token + "=" * (-len(token) % 4)
        found, _, place = base64.b64decode(padded, altchars=b"-_", validate=True).decode().partition("/")
        if found != purpose or not place:
            raise ValueError
    except (ValueError, binascii.Error):
        raise InvalidField("page_token", "is not one that this method gave for this request") from None
    return place


def read_page_number(token: str, purpose: str) -> int:
    """Returns the number that a token was made of, 0 for no token; raises InvalidField for any other token."""
    place = read_page_token(token, purpose) or "0"
    if not (place.isascii() and place.isdigit() and len(place) <= 18):
        raise InvalidField("page_token", "is not one that this method gave for this request")
    return int(place)
