"""What is checked of every request before a peer is called."""

import re
from dataclasses import dataclass

from runtime.errors import ImageTooLarge, InvalidField, UnreadableImage

# 256 bits in base64url take 43 characters.
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43,128}")


@dataclass(frozen=True, slots=True)
class Limits:
    """What requests are measured against."""

    max_image_bytes: int
    policy_versions: frozenset[str]


def check_image(image: bytes, limits: Limits, field: str = "image") -> bytes:
    """Returns the image's bytes; raises UnreadableImage when there are none, ImageTooLarge when there are too many."""
    if not image:
        raise UnreadableImage("the image is empty", detected_type="empty", field=field)
    if len(image) > limits.max_image_bytes:
        raise ImageTooLarge(limit=limits.max_image_bytes, actual=len(image), unit="bytes", field=field)
    return image


def check_token(token: str, photo_id: str) -> str | None:
    """Returns a caller's own deletion token, None for none; raises InvalidField unless it can hold 256 random bits."""
    if not token:
        return None
    if not photo_id:
        raise InvalidField("deletion_token", "a token of one's own needs a photo_id of one's own")
    if not _TOKEN.fullmatch(token):
        raise InvalidField("deletion_token", "is 43 to 128 characters of base64url")
    return token


def token_to_check(deletion_token: str, purpose: str, *, needs_token: bool) -> str:
    """Returns the token that the vector store is to check, "" for a caller who needs none; raises InvalidField."""
    if not needs_token:
        return ""
    if not deletion_token:
        # Towards the vector store an empty token means that none is needed.
        raise InvalidField("deletion_token", f"is needed to {purpose} a photo")
    return deletion_token
