"""A photo store in memory."""

import time
from collections.abc import AsyncGenerator, AsyncIterator

from gateway.photo_store import KEPT_PREFIX, BadKey, StoredObject, new_key
from runtime.errors import DependencyUnavailable, ImageTooLarge, NotFound


class MemoryStore:
    """A PhotoStore that forgets with its process."""

    name = "memory"

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, float]] = {}

    async def reserve(self, photo_id: str, gallery: str, suffix: str) -> str:
        return new_key(photo_id, suffix)

    async def put(self, key: str, data: bytes) -> None:
        self.objects[key] = (data, time.time())

    async def get(self, key: str, max_bytes: int) -> bytes:
        if key not in self.objects:
            raise NotFound("photo")
        data = self.objects[key][0]
        if len(data) > max_bytes:
            raise ImageTooLarge(limit=max_bytes, actual=len(data), unit="bytes")
        return data

    async def stat(self, key: str) -> StoredObject:
        if key not in self.objects:
            raise NotFound("photo")
        data, time_s = self.objects[key]
        return StoredObject(key, len(data), time_s)

    async def read(self, key: str, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        data = await self.get(key, 2**30)
        if stop > len(data):
            raise DependencyUnavailable(self.name)
        yield data[start:stop]

    async def delete(self, key: str) -> None:
        if not key.startswith(KEPT_PREFIX):
            raise BadKey("the file is its owner's")
        self.objects.pop(key, None)

    async def list(self, prefix: str) -> AsyncIterator[StoredObject]:
        found = {key: item for key, item in self.objects.items() if not prefix or key.startswith(f"{prefix}/")}
        if prefix and not found:
            raise NotFound("folder")
        for key, (data, time_s) in found.items():
            yield StoredObject(key, len(data), time_s)

    async def check(self) -> None:
        return

    async def close(self) -> None:
        return
