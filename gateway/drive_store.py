"""Originals in the owner's Google Drive.

A file's id is reserved before it is uploaded, and is in the key: however often an upload is sent, there is one file.
What the application uploaded bears its mark and may be removed; every other file is its owner's, and is only read.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from gateway.drive_calls import BACKGROUND, QUICK, READ, REMOVE, UPLOAD, WORKERS, DriveCalls
from gateway.drive_changes import DriveChanges
from gateway.drive_credentials import load_credentials
from gateway.drive_errors import Damaged, DriveFull, DriveRefused, DriveUnavailable, IdInUse
from gateway.drive_files import (
    MARK,
    MARK_ORIGINAL,
    Account,
    DriveFiles,
    FileInfo,
    Page,
    check_bytes,
    has_property,
    info_of,
    quoted,
)
from gateway.drive_folder import AppFolder
from gateway.drive_http import DriveHttp
from gateway.drive_keys import KeptKey, file_id_of, folder_id_of, owned_key, parse_kept
from gateway.drive_settings import DriveSettings
from gateway.drive_tokens import TokenKeeper
from gateway.photo_store import KEPT_PREFIX, BadKey, Changed, StoredObject
from runtime.errors import ImageTooLarge, NotFound

_PIECE_BYTES = 4 * 2**20


class DriveStore:
    """A PhotoStore."""

    name = "drive"

    def __init__(self, settings: DriveSettings, *, workers: int = WORKERS) -> None:
        """Asks nothing of Drive yet; raises StartupError when the settings name nobody to sign in as."""
        self._calls = DriveCalls(TokenKeeper(lambda: load_credentials(settings)), workers=workers)
        self._files = DriveFiles(settings.drive_endpoint, settings.drive_shared_drive)
        self._folder = AppFolder(self._files, self._calls, settings.drive_folder)

    async def reserve(self, photo_id: str, gallery: str, suffix: str) -> str:
        """Returns a key with a file's id that Drive has set aside; raises DependencyUnavailable within seconds."""
        try:
            async with asyncio.timeout(QUICK.total_s):
                await self._folder.file_id()
                file_id = await self._calls.run(self._files.new_id, QUICK)
        except TimeoutError as error:
            raise DriveUnavailable from error
        return str(KeptKey(gallery, photo_id, file_id, suffix))

    async def put(self, key: str, data: bytes) -> None:
        """Uploads the bytes, however often, to the one file that the key names; raises StorageFull, DriveUnavailable.

        What Drive then says it has is compared with what was sent; a file that is not whole is removed.
        """
        kept = parse_kept(key)
        upload = self._files.upload(kept, data, await self._folder.file_id())

        def run(http: DriveHttp) -> FileInfo:
            try:
                return info_of(upload.run(http))
            except IdInUse:
                # An attempt before this one was heard, and its answer lost.
                return self._files.stat(http, kept.file_id)

        try:
            await asyncio.to_thread(check_bytes, await self._calls.run(run, UPLOAD), data)
        except NotFound as error:
            self._folder.forget()
            raise DriveUnavailable from error
        except Damaged:
            await self.delete(key)
            raise

    async def get(self, key: str, max_bytes: int) -> bytes:
        """Returns the bytes, compared with Drive's checksum; raises NotFound, ImageTooLarge, DriveUnavailable."""
        info = await self._info(key)
        if info.size_bytes > max_bytes:
            raise ImageTooLarge(limit=max_bytes, actual=info.size_bytes, unit="bytes")
        data = b"".join([piece async for piece in self.read(key, 0, info.size_bytes)])
        await asyncio.to_thread(check_bytes, info, data)
        return data

    async def stat(self, key: str) -> StoredObject:
        """Returns what Drive knows of a file; raises NotFound or DriveUnavailable."""
        info = await self._info(key)
        return StoredObject(key, info.size_bytes, info.modify_time_s, path=info.name, md5=info.md5)

    async def read(self, key: str, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Yields the bytes from start to before stop, a request for each piece; raises NotFound, DriveUnavailable."""
        file_id = file_id_of(key)
        while start < stop:
            end = min(start + _PIECE_BYTES, stop)

            def read(http: DriveHttp, first: int = start, last: int = end) -> bytes:
                return self._files.read(http, file_id, first, last)

            yield await self._calls.run(read, READ)
            start = end

    async def delete(self, key: str) -> None:
        """Removes a file that the application made; one that is not there is no error.

        Raises BadKey for a key of the owner's files, or of another photo's file; DriveRefused for a file without the
        mark, whatever the key says, and for a Drive that nothing was ever put into: it is another one, and the file is
        where it was; DriveUnavailable.
        """
        kept = parse_kept(key)
        try:
            info = await self._calls.run(lambda http: self._files.stat(http, kept.file_id), REMOVE)
            if not info.is_ours:
                # Marks are seen by the OAuth client alone that set them: it may be ours, and counts as not removed.
                raise DriveRefused("are of another OAuth client than the photo's, or the file is its owner's")
            if info.kept_key != key:
                raise BadKey("the file is its owner's")
            await self._calls.run(lambda http: self._files.delete(http, kept.file_id), REMOVE)
        except NotFound:
            if await self._folder.existing_id() is None:
                raise DriveRefused("are of another Drive than the photo's") from None

    async def list(self, prefix: str) -> AsyncIterator[StoredObject]:
        """Yields what the application put into its folder, for "kept"; or else the files in the folder that is named.

        A folder is named by its id or its address, and "" is the whole drive. Raises BadKey, NotFound, and
        DriveUnavailable for a listing that Drive calls incomplete.
        """
        if f"{prefix.strip('/')}/" == KEPT_PREFIX:
            folder_id = await self._folder.existing_id()
            if folder_id is None:
                return
            ours = f"{has_property(MARK, MARK_ORIGINAL)} and {quoted(folder_id)} in parents"
            async for info in self._found(ours, self._files.shared_drive):
                if (key := info.kept_key) is not None:
                    yield StoredObject(key, info.size_bytes, info.create_time_s, path=info.name, md5=info.md5)
            return
        async for info, path in self._walk(folder_id_of(prefix)):
            yield StoredObject(owned_key(info.file_id), info.size_bytes, info.modify_time_s, path=path, md5=info.md5)

    async def check(self) -> None:
        """Returns when Drive can be used; raises DriveRefused, DriveFull or DriveUnavailable."""
        account = await self.account()
        if account.limit_bytes is not None and 0 < account.limit_bytes <= account.used_bytes:
            raise DriveFull(is_service_account=False)

    async def account(self) -> Account:
        """Returns who is signed in, and the room there is; raises DriveRefused or DriveUnavailable."""
        return await self._calls.run(self._files.account, QUICK)

    async def start_token(self, folder: str) -> str:
        """Returns where a folder's changes from now on begin; raises BadKey, NotFound or DriveUnavailable."""
        return await DriveChanges(self._files, self._calls).start_token(folder)

    def changed(self, folder: str, token: str) -> AsyncGenerator[Changed, None]:
        """Yields what changed in a folder since the token was given; raises BadKey, NotFound or DriveUnavailable."""
        return DriveChanges(self._files, self._calls).since(folder, token)

    async def close(self) -> None:
        """Cuts off what is in progress."""
        await self._calls.close()

    async def _info(self, key: str) -> FileInfo:
        file_id = file_id_of(key)
        info = await self._calls.run(lambda http: self._files.stat(http, file_id), READ)
        if not info.md5:
            raise NotFound("photo")
        return info

    async def _found(self, query: str, drive_id: str) -> AsyncIterator[FileInfo]:
        """Yields every file of a shared drive, or of the own one, that a query means, the bin left out.

        Raises DriveUnavailable for only a part of them.
        """
        token = ""
        while True:

            def look(http: DriveHttp, token: str = token) -> Page:
                return self._files.page(http, f"{query} and trashed = false", drive_id, token)

            page = await self._calls.run(look, BACKGROUND)
            if page.is_incomplete:
                raise DriveUnavailable
            for info in page.files:
                yield info
            token = page.next_token
            if not token:
                return

    async def _walk(self, folder_id: str) -> AsyncIterator[tuple[FileInfo, str]]:
        """Yields the files in a folder and below it, each with its path from there."""
        drive_id = ""
        if folder_id != "root":
            folder = await self._calls.run(lambda http: self._files.stat(http, folder_id), READ)
            if not folder.is_folder:
                raise NotFound("folder")
            drive_id = folder.drive_id
        waiting, seen = [(folder_id, "")], {folder_id}
        while waiting:
            parent, path = waiting.pop()
            async for info in self._found(f"{quoted(parent)} in parents", drive_id):
                place = f"{path}{info.name.replace('/', '_')}"
                if info.is_folder and info.file_id not in seen:
                    seen.add(info.file_id)
                    waiting.append((info.file_id, f"{place}/"))
                elif info.md5 and info.kept_key is None:
                    yield info, place
