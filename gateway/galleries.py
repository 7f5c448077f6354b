"""Which galleries a caller is told of: those that the operator names, and all of them for an administrator."""

from contextlib import aclosing
from typing import Final

from gateway.records import Gallery
from gateway.vectorstore_client import VectorStore

EVERY_GALLERY: Final = "*"
MAX_LISTED_GALLERIES: Final = 1000


class GalleryList:
    """Lists galleries. public_names: what visitors are told of; EVERY_GALLERY among them stands for all."""

    def __init__(self, vectors: VectorStore, public_names: tuple[str, ...]) -> None:
        self._vectors = vectors
        self._public_names = frozenset(public_names)

    async def list_galleries(self, timeout_s: float, *, is_admin: bool) -> tuple[Gallery, ...]:
        """Returns the first 1,000 by name. timeout_s is for each page; raises TwinError."""
        tells_all = is_admin or EVERY_GALLERY in self._public_names
        listed: list[Gallery] = []
        async with aclosing(self._vectors.list_galleries(timeout_s)) as galleries:
            async for gallery in galleries:
                if tells_all or gallery.name in self._public_names:
                    listed.append(gallery)
                if len(listed) == MAX_LISTED_GALLERIES:
                    break
        return tuple(listed)
