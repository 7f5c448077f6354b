"""Deletion tokens: whoever holds a photo's may delete it, and have all that is held about it."""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final

# Compared with when there is nothing to compare with, so that an unknown photo takes as long as a wrong token.
_NO_HASH: Final = bytes(32)


def opens(token: str | None, row: Mapping[str, Any] | None) -> bool:
    """Tells whether the token is that of a row of photos or deletions, in the same time whatever the row.

    token: none is needed when None, and then it is true even without a row.
    """
    if token is None:
        return True
    stored = row["deletion_token_sha256"] if row is not None else b""
    given = hashlib.sha256(token.encode()).digest()
    return hmac.compare_digest(given, stored or _NO_HASH) and bool(stored)
