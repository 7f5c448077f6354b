"""Exporting a photo: all that is held about it as one archive, for whoever holds its deletion token."""

import enum
import json
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from gateway.archive import Archive
from gateway.checks import token_to_check
from gateway.deadlines import TimeLeft
from gateway.metrics import EXPORTS
from gateway.photo_store import BadKey, PhotoStore, is_kept
from gateway.pieces import in_pieces
from gateway.pixels import content_type_of
from gateway.records import HeldPhoto
from gateway.vectorstore_client import VectorStore
from runtime.errors import NotFound
from runtime.logs import get_logger

_RECORD: Final = "photo.json"
_CONSENT: Final = "consent.txt"
_LEFT_OUT: Final = "original-left-out.txt"
_LEFT_OUT_WORDS: Final = """\
The original photo is held, but it is not in this archive. It is kept in a store (source.store in photo.json) that the
service which made this archive cannot read. Ask whoever runs the service for it, and name the photo_id in photo.json.
"""
_log = get_logger(__name__)


class ExportedOriginal(enum.StrEnum):
    """What an archive has of the original."""

    INCLUDED = "included"
    OUT_OF_REACH = "out_of_reach"
    NOT_KEPT = "not_kept"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class ArchivePiece:
    """Some of an archive, 64 KiB at most."""

    data: bytes
    original: ExportedOriginal


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
    ) -> AsyncGenerator[ArchivePiece, None]:
        """Yields an archive in pieces of 64 KiB at most; no more than a few of them are in memory.

        An original that is held and cannot be read is left out: each piece, the archive, the log and a metric say so.
        Raises InvalidField for no token; NotFound, in the same words and after the same work, for an unknown photo and
        a wrong token; and DependencyUnavailable: when the original's store fails before the first piece, or later.
        """
        token = token_to_check(deletion_token, "export", needs_token=needs_token)
        held = await self._vectors.export_photo(photo_id, token, time_left(self._store_timeout_s))
        original, size_bytes = await self._find_original(held)
        EXPORTS.labels(original.value).inc()
        if original is ExportedOriginal.OUT_OF_REACH:
            _log.warning("an export lacks the original, which is in another store than the one in use")
        async with aclosing(self._made(held, original, size_bytes)) as pieces:
            async for made in pieces:
                for piece in in_pieces(made):
                    yield ArchivePiece(piece, original)

    async def _made(self, held: HeldPhoto, state: ExportedOriginal, size_bytes: int) -> AsyncGenerator[bytes, None]:
        async with aclosing(self._original(held, size_bytes)) as original:
            # Before anything is sent: a store that does not answer fails the call, and does not cut an archive off.
            first = await anext(original, b"")
            name = f"original.{'png' if content_type_of(first) == 'image/png' else 'jpg'}" if first else ""
            with Archive(held.create_time) as archive:
                for file, content in self._texts(held, state, name):
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

    def _texts(self, held: HeldPhoto, state: ExportedOriginal, original_file: str) -> Iterator[tuple[str, bytes]]:
        consent = self._consent_texts.get(held.policy_version, "")
        record = {
            **held.record,
            "original": state.value,
            "original_file": original_file,
            "consent_file": _CONSENT if consent else "",
        }
        yield _RECORD, json.dumps(record, indent=2).encode()
        if state is ExportedOriginal.OUT_OF_REACH:
            yield _LEFT_OUT, _LEFT_OUT_WORDS.encode()
        if consent:
            yield _CONSENT, consent.encode()

    async def _find_original(self, held: HeldPhoto) -> tuple[ExportedOriginal, int]:
        """Returns whether the original can be had, and its size, 0 where it cannot."""
        if not is_kept(held.source):
            return ExportedOriginal.NOT_KEPT, 0
        if held.source.store != self._store.name:
            return ExportedOriginal.OUT_OF_REACH, 0
        try:
            size_bytes = (await self._store.stat(held.source.key)).size_bytes
        except BadKey:
            return ExportedOriginal.OUT_OF_REACH, 0
        except NotFound:
            return ExportedOriginal.GONE, 0
        return (ExportedOriginal.INCLUDED if size_bytes else ExportedOriginal.GONE), size_bytes

    async def _original(self, held: HeldPhoto, size_bytes: int) -> AsyncGenerator[bytes, None]:
        if size_bytes:
            async with aclosing(self._store.read(held.source.key, 0, size_bytes)) as pieces:
                async for piece in pieces:
                    yield piece
