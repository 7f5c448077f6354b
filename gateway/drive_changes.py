"""What changed in a folder of Drive, and below it, since an import looked last."""

from collections.abc import AsyncGenerator
from functools import partial
from typing import Final

from gateway.drive_calls import BACKGROUND, DriveCalls
from gateway.drive_files import DriveFiles, FileInfo
from gateway.drive_keys import folder_id_of, owned_key
from gateway.photo_store import Changed, StoredObject
from runtime.errors import NotFound

# Drive's own drive, as everything is named that has no folder above it.
_EVERYTHING: Final = "root"


class DriveChanges:
    """Follows Drive's list of changes."""

    def __init__(self, files: DriveFiles, calls: DriveCalls) -> None:
        self._files = files
        self._calls = calls

    async def start_token(self, folder: str) -> str:
        """Returns where a folder's changes from now on begin; raises BadKey, NotFound and DriveUnavailable."""
        drive_id = await self._drive_of(folder_id_of(folder))
        return await self._calls.run(partial(self._files.start_token, drive_id=drive_id), BACKGROUND)

    async def since(self, folder: str, token: str) -> AsyncGenerator[Changed, None]:
        """Yields what changed in a folder since the token was given; raises BadKey, NotFound and DriveUnavailable."""
        folder_id = folder_id_of(folder)
        drive_id = await self._drive_of(folder_id)
        above: dict[str, FileInfo | None] = {}
        while True:
            page = await self._calls.run(partial(self._files.changes, token=token, drive_id=drive_id), BACKGROUND)
            found: list[StoredObject] = []
            gone: list[str] = []
            has_moved = False
            for change in page.changes:
                info = change.info
                if info is None or info.is_trashed:
                    # It may have been a folder.
                    gone.append(owned_key(change.file_id))
                    has_moved = has_moved or (info is not None and info.is_folder)
                elif info.is_folder:
                    has_moved = has_moved or not info.is_ours
                elif info.md5 and info.kept_key is None:
                    path = await self._path(info, folder_id, above)
                    if path is None:
                        gone.append(owned_key(info.file_id))
                    else:
                        found.append(
                            StoredObject(
                                owned_key(info.file_id), info.size_bytes, info.modify_time_s, path=path, md5=info.md5
                            )
                        )
            yield Changed(tuple(found), tuple(gone), has_moved, page.next_token)
            if page.is_last:
                return
            token = page.next_token

    async def _drive_of(self, folder_id: str) -> str:
        """Returns the shared drive that a folder lies in, "" for the own one: each has a list of changes of its own."""
        if folder_id == _EVERYTHING:
            return ""
        return (await self._calls.run(lambda http: self._files.stat(http, folder_id), BACKGROUND)).drive_id

    async def _path(self, info: FileInfo, folder_id: str, above: dict[str, FileInfo | None]) -> str | None:
        """Returns a file's path from a folder, or None for a file that is not below it."""
        names = [info.name]
        parent_ids = info.parent_ids
        while parent_ids and parent_ids[0] != folder_id:
            parent = await self._folder(parent_ids[0], above)
            if parent is None or not parent.parent_ids:
                # The top: of everything that is seen, it is no folder of a path.
                return "/".join(names) if folder_id == _EVERYTHING else None
            names.insert(0, parent.name)
            parent_ids = parent.parent_ids
        if not parent_ids and folder_id != _EVERYTHING:
            return None
        return "/".join(name.replace("/", "_") for name in names)

    async def _folder(self, file_id: str, above: dict[str, FileInfo | None]) -> FileInfo | None:
        if file_id not in above:
            try:
                above[file_id] = await self._calls.run(lambda http: self._files.stat(http, file_id), BACKGROUND)
            except NotFound:
                above[file_id] = None
        return above[file_id]
