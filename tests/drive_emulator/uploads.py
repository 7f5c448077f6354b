"""Uploads: in one request, or in parts that can be taken up again."""

import json
import re
import secrets
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from tests.drive_emulator.answers import Refused
from tests.drive_emulator.drive import FOLDER_TYPE, ROOT, Drive, DriveFile, Held, now
from tests.drive_emulator.tokens import Access

_RANGE: Final = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+)")
_BOUNDARY: Final = re.compile(r'boundary="?([^";]+)')
# What a part's size must be a multiple of, but for the last.
_PART_BYTES: Final = 256 * 2**10
MULTIPART_MAX_BYTES: Final = 5 * 2**20


@dataclass(slots=True)
class Session:
    """An upload in parts. target: the file that is to get the bytes, None for a new one."""

    metadata: dict[str, Any]
    access: Access
    target: str | None
    received: bytearray = field(default_factory=bytearray)
    finished: DriveFile | None = None


class Uploads:
    """The uploads in progress."""

    def __init__(self, drive: Drive) -> None:
        self._drive = drive
        self.sessions: dict[str, Session] = {}

    async def multipart(self, request: web.Request, access: Access, target: str | None) -> DriveFile:
        head, data = _parts(await request.read(), request.headers["Content-Type"])
        metadata = json.loads(head)
        if len(data) > MULTIPART_MAX_BYTES:
            raise Refused(413, "uploadTooLarge")
        return self.store(metadata, access, data, target)

    async def begin(self, request: web.Request, access: Access, target: str | None) -> str:
        """Returns the id of a new upload in parts."""
        metadata = json.loads(await request.text() or "{}")
        if target is None:
            self._check(metadata, access)
        upload_id = secrets.token_urlsafe(12)
        self.sessions[upload_id] = Session(metadata, access, target)
        return upload_id

    async def part(self, upload_id: str, request: web.Request) -> DriveFile | int:
        """Takes one part, or a question how far it is; returns the file once it is whole, or the bytes received."""
        session = self.sessions.get(upload_id)
        if session is None:
            raise Refused(404, "notFound", "no such upload")
        match = _RANGE.fullmatch(request.headers.get("Content-Range", ""))
        if match is None:
            raise Refused(400, "badRequest", "Content-Range is missing")
        if session.finished is not None:
            return session.finished
        total = int(match[3])
        if match[1] is not None:
            start, data = int(match[1]), await request.read()
            if start > len(session.received) or len(data) != int(match[2]) - start + 1:
                raise Refused(400, "badRequest", "the part does not follow")
            if start + len(data) < total and len(data) % _PART_BYTES:
                raise Refused(400, "badRequest", "the part is no multiple of 256 KiB")
            # What came before is not taken twice.
            session.received += data[len(session.received) - start :]
        if len(session.received) < total:
            return len(session.received)
        session.finished = self.store(session.metadata, session.access, bytes(session.received), session.target)
        return session.finished

    def store(self, metadata: dict[str, Any], access: Access, data: bytes | None, target: str | None) -> DriveFile:
        """Makes the file, or gives one that is there new bytes."""
        drive = self._drive
        with drive.lock:
            if target is not None:
                file = drive.files[target]
                file.content, file.modified = Held(data or b""), now()
                drive.note(target)
                return file
            self._check(metadata, access)
            file_id = metadata.get("id") or drive.new_id()
            drive.reserved.discard(file_id)
            parents = metadata.get("parents", [ROOT])
            return drive.add(
                DriveFile(
                    file_id,
                    metadata.get("name", "Untitled"),
                    metadata.get("mimeType", "image/jpeg"),
                    parents,
                    by_application=True,
                    drive_id=self._drive_of(parents),
                    app_properties=metadata.get("appProperties", {}),
                    content=None if metadata.get("mimeType") == FOLDER_TYPE else Held(data or b""),
                )
            )

    def _check(self, metadata: dict[str, Any], access: Access) -> None:
        drive, file_id = self._drive, metadata.get("id")
        parents = metadata.get("parents", [ROOT])
        with drive.lock:
            if file_id in drive.files:
                raise Refused(409, "fileIdInUse", "A file already exists with the provided ID.")
            if file_id is not None and file_id not in drive.reserved:
                raise Refused(400, "invalid", "The provided file ID is not usable.")
            for parent in parents:
                if parent != ROOT and parent not in drive.files and parent not in drive.shared_drives:
                    raise Refused(404, "notFound", f"File not found: {parent}.")
            if (
                access.is_service_account
                and self._drive_of(parents) is None
                and metadata.get("mimeType") != FOLDER_TYPE
            ):
                raise Refused(403, "storageQuotaExceeded", "Service Accounts do not have storage quota.")
            if drive.used_bytes() >= drive.quota_bytes:
                raise Refused(403, "storageQuotaExceeded", "The user's Drive storage quota has been exceeded.")

    def _drive_of(self, parents: list[str]) -> str | None:
        if parents[0] in self._drive.shared_drives:
            return parents[0]
        parent = self._drive.files.get(parents[0])
        return parent.drive_id if parent is not None else None


def _parts(body: bytes, content_type: str) -> tuple[bytes, bytes]:
    """Takes the two parts of a multipart/related body apart."""
    match = _BOUNDARY.search(content_type)
    if match is None:
        raise Refused(400, "badRequest", "no boundary")
    pieces = body.split(b"--" + match[1].encode())[1:3]
    # Google's client ends its lines without a carriage return; one before the boundary is the file's own.
    line_end = b"\r\n" if pieces[0].startswith(b"\r\n") else b"\n"
    head, data = (piece.partition(2 * line_end)[2].removesuffix(line_end) for piece in pieces)
    return head, data
