"""Finding the photos of a folder in the store, and putting them down as jobs, page by page."""

from collections.abc import AsyncIterator
from pathlib import PurePosixPath
from typing import Final

from gateway.import_ledger import ImportLedger, ImportRun, ListedFile
from gateway.photo_store import KEPT_PREFIX, BadKey, PhotoStore, StoredObject
from runtime.errors import InvalidField
from runtime.photo_metadata import MAX_METADATA_BYTES, PhotoMetadata, is_metadata

SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp"})
# One job's photos: few, so that the work of a worker that died is soon done again, and that many share an import.
PAGE_FILES: Final = 16


class ImportWalk:
    """Walks folders of one store. Walked again, after it was cut off, it puts down what is missing."""

    def __init__(self, store: PhotoStore) -> None:
        self._store = store

    async def walk(self, run: ImportRun, ledger: ImportLedger) -> None:
        """Puts every photo of the folder down; raises InvalidField, NotFound and DependencyUnavailable."""
        try:
            metadata = await self._metadata(run.order.folder)
            page: list[ListedFile] = []
            async for found in self._found(run.order.folder):
                if not is_photo(path_of(found)):
                    continue
                page.append(_listed(self._store.name, found, metadata))
                if len(page) == PAGE_FILES:
                    await ledger.list_files(run, page)
                    page = []
            if page:
                await ledger.list_files(run, page)
        except BadKey as error:
            raise InvalidField("folder", "leads out of the photo store") from error
        await ledger.end_walk(run, None)

    async def _metadata(self, folder: str) -> PhotoMetadata:
        """Reads what files of the folder say of its photos: all of them before the first photo is put down."""
        metadata = PhotoMetadata()
        async for found in self._found(folder):
            if is_metadata(path_of(found)) and found.size_bytes <= MAX_METADATA_BYTES:
                metadata.add(path_of(found), await self._store.get(found.key, MAX_METADATA_BYTES))
        return metadata

    async def _found(self, folder: str) -> AsyncIterator[StoredObject]:
        async for found in self._store.list(folder):
            if not found.key.startswith(KEPT_PREFIX):
                yield found


def is_photo(path: str) -> bool:
    """Tells by its name whether a file is a photo of a kind that is imported."""
    return PurePosixPath(path).suffix.lower() in SUFFIXES


def path_of(found: StoredObject) -> str:
    """Returns the path that people know a file by."""
    return found.path or found.key


def _listed(store: str, found: StoredObject, metadata: PhotoMetadata) -> ListedFile:
    path = _storable(path_of(found))
    if found.md5:
        fingerprint = f"md5 {found.md5}"
    else:
        fingerprint = f"{store} {found.size_bytes} {found.modify_time_s!r} {_storable(found.key)}"
    facts = metadata.facts_of(path)
    return ListedFile(
        _storable(found.key), path, found.size_bytes, fingerprint, _storable(facts.person), _storable(facts.collection)
    )


def _storable(text: str) -> str:
    """Returns a name as UTF-8 has it: bytes of it that are no UTF-8 become replacement characters."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
