"""Exporting a photo: all that is held about it as one archive, for whoever holds its deletion token."""

import json
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from typing import Final

from gateway.archive import Archive
from gateway.deadlines import TimeLeft
from gateway.photo_store import BadKey, PhotoStore, is_kept
from gateway.pixels import content_type_of
from gateway.records import HeldPhoto
from gateway.vectorstore_client import VectorStore
from runtime.errors import InvalidField, NotFound

PIECE_BYTES: Final = 64 * 1024
_RECORD: Final = "photo.json"
_CONSENT: Final = "consent.txt"


class Exporter:
    """Hands photos out."""

    def __init__(
        self, vectors: VectorStore, store: PhotoStore, consent_texts: Mapping[str, str], *, store_timeout_s: float
    ) -> None:
        """consent_texts: every text that was ever agreed to, by version."""
        self._vectors = vectors
        self._store = store
        self._consent_texts = consent_texts
        self._store_timeout_s = store_timeout_s

    async def export(
        self, photo_id: str, deletion_token: str, time_left: TimeLeft, *, needs_token: bool
    ) -> AsyncGenerator[bytes, None]:
        """Yields an archive in pieces of 64 KiB at most; no more than a few of them are in memory.

        Raises InvalidField for no token; NotFound, in the same words and after the same work, for an unknown photo and
        a wrong token; and DependencyUnavailable: when the original's store fails before the first piece, or later.
        """
        if needs_token and not deletion_token:
            # Towards the vector store an empty token means that none is needed.
            raise InvalidField("deletion_token", "is needed to export a photo")
        token = deletion_token if needs_token else ""
        held = await self._vectors.export_photo(photo_id, token, time_left(self._store_timeout_s))
        async with aclosing(self._made(held)) as pieces:
            async for made in pieces:
                for start in range(0, len(made), PIECE_BYTES):
                    yield made[start : start + PIECE_BYTES]

    async def _made(self, held: HeldPhoto) -> AsyncGenerator[bytes, None]:
        size_bytes = await self._original_size(held)
        async with aclosing(self._original(held, size_bytes)) as original:
            # Before anything is sent: a store that does not answer fails the call, and does not cut an archive off.
            first = await anext(original, b"")
            name = f"original.{'png' if content_type_of(first) == 'image/png' else 'jpg'}" if first else ""
            with Archive(held.create_time) as archive:
                for file, content in self._texts(held, name):
                    archive.begin(file, len(content))
                    archive.write(content)
                yield archive.take()
                if first:
                    archive.begin(name, size_bytes)
                    archive.write(first)
                    yield archive.take()
                    async for piece in original:
                        archive.write(piece)
                        yield archive.take()
        yield archive.take()

    def _texts(self, held: HeldPhoto, original_file: str) -> Iterator[tuple[str, bytes]]:
        consent = self._consent_texts.get(held.policy_version, "")
        record = {**held.record, "original_file": original_file, "consent_file": _CONSENT if consent else ""}
        yield _RECORD, json.dumps(record, indent=2).encode()
        if consent:
            yield _CONSENT, consent.encode()

    async def _original_size(self, held: HeldPhoto) -> int:
        """Returns the size of the original, 0 where it is gone, or its owner's own file, which is not held here."""
        if held.source.store != self._store.name or not is_kept(held.source):
            return 0
        try:
            return (await self._store.stat(held.source.key)).size_bytes
        except (NotFound, BadKey):
            return 0

    async def _original(self, held: HeldPhoto, size_bytes: int) -> AsyncGenerator[bytes, None]:
        if size_bytes:
            async with aclosing(self._store.read(held.source.key, 0, size_bytes)) as pieces:
                async for piece in pieces:
                    yield piece
