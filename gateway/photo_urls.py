"""Addresses of photos: signed, and good for a short while.

A signature covers the photo, the face and the time; the size may be chosen freely, since whoever may see a photo may
see it in every size.
"""

import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import urlencode

SIZES: Final = ("thumb", "large", "original")


class PhotoUrls:
    """Makes and checks addresses. ttl_s: how long one is good for, at least; a quarter longer at most."""

    def __init__(self, key: bytes, ttl_s: int, clock: Callable[[], float] = time.time) -> None:
        self._key = key
        self._ttl_s = ttl_s
        # Addresses made within one step are equal, so that browsers can use what they have.
        self._step_s = max(1, ttl_s // 4)
        self._clock = clock

    def make(self, photo_id: str, size: str, face_id: int | None = None) -> str:
        """Returns the path and query of a photo, or of one face of it."""
        steps = int(self._clock()) // self._step_s + 1
        expires = steps * self._step_s + self._ttl_s
        query = {"size": size}
        if face_id is not None:
            query["face"] = str(face_id)
        query |= {"expires": str(expires), "signature": self._sign(photo_id, query.get("face", ""), str(expires))}
        return f"/photos/{photo_id}?{urlencode(query)}"

    def seconds_left(self, photo_id: str, face: str, expires: str, signature: str) -> int | None:
        """Returns how long the address is still good for, in seconds; None when it is not, or never was."""
        right = self._sign(photo_id, face, expires)
        if not hmac.compare_digest(right.encode(), signature.encode()) or not expires.isdecimal():
            return None
        left_s = int(expires) - int(self._clock())
        return left_s if left_s > 0 else None

    def _sign(self, photo_id: str, face: str, expires: str) -> str:
        text = f"{photo_id}\n{face}\n{expires}"
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()
