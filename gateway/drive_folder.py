"""The application's own folder: found by its mark, or made."""

import asyncio
import contextlib

from gateway.drive_calls import QUICK, DriveCalls
from gateway.drive_errors import DriveUnavailable, IdInUse
from gateway.drive_files import (
    FOLDER_NAME_HASH,
    FOLDER_TYPE,
    MARK,
    MARK_FOLDER,
    DriveFiles,
    has_property,
    name_hash,
    quoted,
)
from gateway.drive_http import DriveHttp


class AppFolder:
    """Knows the folder's id once somebody asked for it."""

    def __init__(self, files: DriveFiles, calls: DriveCalls, name: str) -> None:
        self._files = files
        self._calls = calls
        self._name = name
        self._id: str | None = None
        self._one_at_a_time = asyncio.Lock()

    async def file_id(self) -> str:
        """Returns the folder's id; raises what DriveCalls.run does."""
        async with self._one_at_a_time:
            if self._id is None:
                self._id = await self._find() or await self._make()
            return self._id

    async def existing_id(self) -> str | None:
        """Returns the folder's id if there is such a folder, without making one."""
        return self._id or await self._find()

    def forget(self) -> None:
        """Has it looked for again: it is not where it was."""
        self._id = None

    async def _find(self) -> str | None:
        query = f"{has_property(MARK, MARK_FOLDER)} and {has_property(FOLDER_NAME_HASH, name_hash(self._name))}"
        query += f" and mimeType = {quoted(FOLDER_TYPE)} and trashed = false"
        page = await self._calls.run(lambda http: self._files.page(http, query, self._files.shared_drive), QUICK)
        if page.files:
            # Two gateways may each have made one at the same moment: both take the older.
            return min(page.files, key=lambda file: (file.create_time_s, file.file_id)).file_id
        if page.is_incomplete:
            raise DriveUnavailable
        return None

    async def _make(self) -> str:
        reserved = await self._calls.run(self._files.new_id, QUICK)

        def make(http: DriveHttp) -> None:
            # An attempt before this one may have been heard, and its answer lost.
            with contextlib.suppress(IdInUse):
                self._files.make_folder(http, reserved, self._name)

        await self._calls.run(make, QUICK)
        return await self._find() or reserved
