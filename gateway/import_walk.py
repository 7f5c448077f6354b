"""Finding the photos of a folder in the store, and putting them down as jobs, page by page.

A store that tells what has changed is looked through once; later runs follow its changes.
"""

from collections.abc import AsyncIterator, Sequence

from gateway.import_ledger import PAGE_FILES, ImportLedger
from gateway.import_records import ImportRun, ListedFile
from gateway.photo_store import KEPT_PREFIX, BadKey, PhotoStore, StoredObject, TellsChanges
from runtime.errors import InvalidField, NotFound
from runtime.photo_files import is_photo
from runtime.photo_metadata import MAX_METADATA_BYTES, PhotoMetadata, is_metadata


class ImportWalk:
    """Walks folders of one store. Walked again, after it was cut off, it puts down what is missing."""

    def __init__(self, store: PhotoStore) -> None:
        self._store = store

    async def walk(self, run: ImportRun, ledger: ImportLedger) -> None:
        """Puts the photos of the folder down; raises InvalidField, NotFound and DependencyUnavailable."""
        try:
            if isinstance(self._store, TellsChanges) and run.change_token is not None:
                next_token = await self._follow(self._store, run, run.change_token, ledger)
                if next_token is not None:
                    await ledger.list_failed(run)
                    await ledger.end_walk(run, next_token)
                    return
                await ledger.look_at_all(run)
            # Taken before the first look: what changes while it is walked is told again.
            next_token = None
            if isinstance(self._store, TellsChanges):
                next_token = await self._store.start_token(run.order.folder)
            await self._look_at_all(run, ledger)
        except BadKey as error:
            raise InvalidField("folder", "leads out of the photo store") from error
        await ledger.end_walk(run, next_token)

    async def _look_at_all(self, run: ImportRun, ledger: ImportLedger) -> None:
        metadata_files = {
            found.key: path_of(found) async for found in self._found(run.order.folder) if _is_metadata(found)
        }
        await ledger.set_metadata_files(run, metadata_files)
        metadata = await self._read_metadata(metadata_files)
        page: list[StoredObject] = []
        async for found in self._found(run.order.folder):
            if is_photo(path_of(found)):
                page.append(found)
            if len(page) == PAGE_FILES:
                await self._put_down(run, ledger, page, metadata)
                page = []
        await self._put_down(run, ledger, page, metadata)

    async def _follow(self, store: TellsChanges, run: ImportRun, token: str, ledger: ImportLedger) -> str | None:
        """Puts down what changed; returns where to go on the next time, or None when every file is to be looked at."""
        metadata_files = await ledger.metadata_files(run)
        metadata = await self._read_metadata(metadata_files)
        async for changed in store.changed(run.order.folder, token):
            if changed.has_moved or any(_is_metadata(found) for found in changed.found):
                return None
            await ledger.forget(run, changed.gone)
            photos = [found for found in changed.found if is_photo(path_of(found))]
            for start in range(0, len(photos), PAGE_FILES):
                await self._put_down(run, ledger, photos[start : start + PAGE_FILES], metadata)
            token = changed.next_token
        return token

    async def _put_down(
        self, run: ImportRun, ledger: ImportLedger, photos: Sequence[StoredObject], metadata: PhotoMetadata
    ) -> None:
        if photos:
            await ledger.list_files(run, [_listed(self._store.name, found, metadata) for found in photos])

    async def _read_metadata(self, paths: dict[str, str]) -> PhotoMetadata:
        """Reads what files of the folder say of its photos: all of them before the first photo is put down."""
        metadata = PhotoMetadata()
        for key, path in paths.items():
            try:
                metadata.add(path, await self._store.get(key, MAX_METADATA_BYTES))
            except NotFound:
                continue  # Removed meanwhile.
        return metadata

    async def _found(self, folder: str) -> AsyncIterator[StoredObject]:
        async for found in self._store.list(folder):
            if not found.key.startswith(KEPT_PREFIX):
                yield found


def path_of(found: StoredObject) -> str:
    """Returns the path that people know a file by."""
    return found.path or found.key


def _is_metadata(found: StoredObject) -> bool:
    return is_metadata(path_of(found)) and found.size_bytes <= MAX_METADATA_BYTES


def _listed(store: str, found: StoredObject, metadata: PhotoMetadata) -> ListedFile:
    path = _storable(path_of(found))
    if found.md5:
        fingerprint = f"md5 {found.md5}"
    else:
        fingerprint = f"{store} {found.size_bytes} {found.modify_time_s!r} {_storable(found.key)}"
    facts = metadata.facts_of(path)
    return ListedFile(_storable(found.key), path, found.size_bytes, fingerprint, facts.person, facts.collection)


def _storable(text: str) -> str:
    """Returns a name as UTF-8 has it: bytes of it that are no UTF-8 become replacement characters."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
