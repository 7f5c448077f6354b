"""Who calls: a visitor, or an administrator who shows the key."""

import enum
import hmac
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from runtime.errors import RoleMissing, StartupError, UnknownKey
from runtime.keys import load_or_create_key

MIN_KEY_CHARACTERS: Final = 16
_SCHEME: Final = "bearer "


class Role(enum.Enum):
    """What a caller may do. An administrator may do all that a visitor may."""

    VISITOR = "visitor"
    ADMIN = "admin"


# The role that each method of TwinService needs. What a visitor must prove besides (consent, a deletion token) is
# the method's own matter.
REQUIRED_ROLES: Final[dict[str, Role]] = {
    "Search": Role.VISITOR,
    "DetectFaces": Role.VISITOR,
    "Compare": Role.VISITOR,
    "AddPhoto": Role.VISITOR,
    "DeletePhoto": Role.VISITOR,
    "GetPhoto": Role.VISITOR,
    "ExportPhoto": Role.VISITOR,
    "GetStats": Role.VISITOR,
    "ListGalleries": Role.VISITOR,
    "ImportPhotos": Role.ADMIN,
    "ReconcilePhotos": Role.ADMIN,
}


def read_admin_key(given: str | None, path: Path) -> str:
    """Returns the administrator's key: the given one, or the one in the file, made when missing.

    Raises StartupError for a given key that could be guessed.
    """
    if given is None:
        return load_or_create_key(path).hex()
    if len(given) < MIN_KEY_CHARACTERS or not given.isascii() or not given.isprintable():
        raise StartupError(
            f"TWIN_ADMIN_KEY has fewer than {MIN_KEY_CHARACTERS} printable ASCII characters; set a longer one"
        )
    return given


class Authorizer:
    """Tells callers' roles from their metadata."""

    def __init__(self, admin_key: str) -> None:
        self._admin_key = admin_key.encode()

    def authorize(self, method: str, metadata: Sequence[tuple[str, str | bytes]]) -> Role:
        """Returns the caller's role; raises UnknownKey for a wrong key and RoleMissing where the method needs more."""
        role = self._role_of(metadata)
        if REQUIRED_ROLES[method] is Role.ADMIN and role is not Role.ADMIN:
            raise RoleMissing(Role.ADMIN.value)
        return role

    def _role_of(self, metadata: Sequence[tuple[str, str | bytes]]) -> Role:
        given = [value for key, value in metadata if key == "authorization"]
        if not given:
            return Role.VISITOR
        # Several headers, or another scheme, are no key that is known.
        if len(given) == 1 and isinstance(given[0], str) and given[0].lower().startswith(_SCHEME):
            key = given[0][len(_SCHEME) :].strip().encode()
            if hmac.compare_digest(key, self._admin_key):
                return Role.ADMIN
        raise UnknownKey
