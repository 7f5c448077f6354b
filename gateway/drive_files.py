"""Drive's interface, as far as it is used: each method is one request, or one upload."""

import hashlib
import json
import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import httplib2
from googleapiclient.discovery import build_from_document
from googleapiclient.discovery_cache import get_static_doc

from gateway.drive_errors import Damaged, tell_conflict
from gateway.drive_http import DriveHttp
from gateway.drive_keys import KeptKey
from gateway.drive_upload import UPLOAD_IN_PARTS_BYTES, Upload
from gateway.photo_store import content_type_for

FOLDER_TYPE: Final = "application/vnd.google-apps.folder"
# What tells files of ours: a property that only the application sees and sets.
MARK: Final = "twin"
MARK_FOLDER: Final = "folder"
MARK_ORIGINAL: Final = "original"
# Of the folder, so that several installations may share a Drive; not its name, which its owner may change.
FOLDER_NAME_HASH: Final = "name_hash"
_FIELDS: Final = "id,name,mimeType,size,md5Checksum,createdTime,modifiedTime,trashed,parents,driveId,appProperties"
_PAGE_SIZE: Final = 1000
# What goes wrong is told by its outcome; these lines hold pieces of answers.
logging.getLogger("googleapiclient.http").setLevel(logging.ERROR)


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file or folder. Times are seconds since 1970; md5 is hexadecimal, "" for what has no bytes."""

    file_id: str
    name: str
    mime_type: str
    size_bytes: int
    md5: str
    create_time_s: float
    modify_time_s: float
    is_trashed: bool
    parent_ids: tuple[str, ...]
    # "" in the account's own drive.
    drive_id: str
    properties: dict[str, str]

    @property
    def is_folder(self) -> bool:
        """True for a folder."""
        return self.mime_type == FOLDER_TYPE

    @property
    def is_ours(self) -> bool:
        """True for what the application made."""
        return MARK in self.properties

    @property
    def kept_key(self) -> str | None:
        """The key of an original of ours; None for any other file."""
        # Not the name: its owner may change it.
        parts = [self.properties.get(part, "") for part in ("gallery", "photo_id", "suffix")]
        if self.properties.get(MARK) != MARK_ORIGINAL or not all(parts):
            return None
        if self.properties.get("file_id") != self.file_id:
            return None  # A copy that its owner made, properties and all.
        gallery, photo_id, suffix = parts
        return str(KeptKey(gallery, photo_id, self.file_id, suffix))


@dataclass(frozen=True, slots=True)
class Page:
    """A piece of a listing. next_token is empty on the last one."""

    files: tuple[FileInfo, ...]
    next_token: str
    is_incomplete: bool


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a file. info is None for one that is gone, or out of sight."""

    file_id: str
    info: FileInfo | None


@dataclass(frozen=True, slots=True)
class ChangePage:
    """A piece of what changed. next_token goes on; is_last: there is no more for now."""

    changes: tuple[Change, ...]
    next_token: str
    is_last: bool


@dataclass(frozen=True, slots=True)
class Account:
    """Who is signed in, and the room there is; limit_bytes is None where there is no limit."""

    email: str
    used_bytes: int
    limit_bytes: int | None


def quoted(text: str) -> str:
    r"""Returns a text as a string of the q language: "'" and "\" are escaped, so that it ends where it should."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def has_property(key: str, value: str) -> str:
    """Returns a condition of the q language for a property that the application has set."""
    return f"appProperties has {{ key={quoted(key)} and value={quoted(value)} }}"


def name_hash(name: str) -> str:
    """Returns a folder's name as a property holds it, which takes no long one."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


class DriveFiles:
    """Makes the requests; threads may share it, each with its own DriveHttp.

    Every method raises what drive_errors.failure_of understands.
    """

    def __init__(self, endpoint: str, shared_drive: str = "") -> None:
        """endpoint: where the interface answers, uploads included; shared_drive: an id, or "" for the own drive."""
        text = get_static_doc("drive", "v3")
        document: dict[str, Any] = json.loads(text or "{}")
        # Uploads follow rootUrl; the client's own setting for another endpoint would leave them at Google's.
        document["rootUrl"] = endpoint if endpoint.endswith("/") else f"{endpoint}/"
        service = build_from_document(document, http=httplib2.Http())
        self._files, self._about, self._changes = service.files(), service.about(), service.changes()
        # Where the application's folder lies, and so what it uploads.
        self.shared_drive = shared_drive
        self._everywhere = {"supportsAllDrives": True}

    def new_id(self, http: DriveHttp) -> str:
        """Reserves the id of a file that is to be made."""
        answer = _asked(self._files.generateIds(count=1, space="drive", type="files", fields="ids"), http)
        return str(answer["ids"][0])

    def make_folder(self, http: DriveHttp, file_id: str, name: str) -> None:
        """Makes the application's folder; raises IdInUse when an attempt before has made it."""
        body: dict[str, Any] = {"id": file_id, "name": name, "mimeType": FOLDER_TYPE}
        body["appProperties"] = {MARK: MARK_FOLDER, FOLDER_NAME_HASH: name_hash(name)}
        body["parents"] = [self.shared_drive or "root"]
        with tell_conflict():
            self._files.create(body=body, fields="id", **self._everywhere).execute(http=http)

    def upload(self, key: KeptKey, data: bytes, folder_id: str) -> Upload:
        """Returns an upload, to be run."""
        mime_type = content_type_for(key.suffix)
        body = {
            "id": key.file_id,
            "name": f"{key.photo_id}.{key.suffix}",
            "mimeType": mime_type,
            "parents": [folder_id],
            "appProperties": {
                MARK: MARK_ORIGINAL,
                "file_id": key.file_id,
                "photo_id": key.photo_id,
                "gallery": key.gallery,
                "suffix": key.suffix,
            },
        }

        def request(media: Any) -> Any:
            return self._files.create(body=body, media_body=media, fields=_FIELDS, **self._everywhere)

        return Upload(request, data, mime_type, in_parts=len(data) > UPLOAD_IN_PARTS_BYTES)

    def stat(self, http: DriveHttp, file_id: str) -> FileInfo:
        """Returns what is known of a file."""
        return info_of(_asked(self._files.get(fileId=file_id, fields=_FIELDS, **self._everywhere), http))

    def read(self, http: DriveHttp, file_id: str, start: int, stop: int) -> bytes:
        """Returns the bytes from start to before stop; raises Damaged unless all of them came."""
        request = self._files.get_media(fileId=file_id, **self._everywhere)
        request.headers |= {"range": f"bytes={start}-{stop - 1}", "accept-encoding": "identity"}
        data: bytes = request.execute(http=http)
        if len(data) != stop - start:
            raise Damaged
        return data

    def delete(self, http: DriveHttp, file_id: str) -> None:
        """Removes a file for good, past the bin."""
        self._files.delete(fileId=file_id, **self._everywhere).execute(http=http)

    def page(self, http: DriveHttp, query: str, drive_id: str = "", token: str = "") -> Page:
        """Returns a piece of the files that a query means, in the shared drive or, for "", wherever else."""
        more: dict[str, Any] = {"pageToken": token} if token else {}
        if drive_id:
            more |= {"corpora": "drive", "driveId": drive_id}
        request = self._files.list(
            q=query,
            pageSize=_PAGE_SIZE,
            orderBy="createdTime",
            fields=f"nextPageToken,incompleteSearch,files({_FIELDS})",
            includeItemsFromAllDrives=True,
            **self._everywhere,
            **more,
        )
        answer = _asked(request, http)
        files = tuple(info_of(file) for file in answer.get("files", ()))
        return Page(files, answer.get("nextPageToken", ""), bool(answer.get("incompleteSearch")))

    def account(self, http: DriveHttp) -> Account:
        """Returns who is signed in."""
        fields = "user(emailAddress),storageQuota(limit,usage)"
        answer = _asked(self._about.get(fields=fields), http)
        quota = answer.get("storageQuota", {})
        limit = int(quota["limit"]) if "limit" in quota else None
        return Account(answer["user"].get("emailAddress", ""), int(quota.get("usage", 0)), limit)

    def start_token(self, http: DriveHttp, drive_id: str) -> str:
        """Returns where changes of a shared drive, or of the own one for "", begin from now on."""
        more = {"driveId": drive_id} if drive_id else {}
        answer = _asked(self._changes.getStartPageToken(**self._everywhere, **more), http)
        return str(answer["startPageToken"])

    def changes(self, http: DriveHttp, token: str, drive_id: str) -> ChangePage:
        """Returns a piece of what changed since a token was given for that drive."""
        more = {"driveId": drive_id} if drive_id else {}
        request = self._changes.list(
            pageToken=token,
            pageSize=_PAGE_SIZE,
            fields=f"nextPageToken,newStartPageToken,changes(fileId,removed,file({_FIELDS}))",
            includeItemsFromAllDrives=True,
            **self._everywhere,
            **more,
        )
        answer = _asked(request, http)
        changes = tuple(
            Change(change["fileId"], None if change.get("removed") else info_of(change["file"]))
            for change in answer.get("changes", ())
            if "fileId" in change
        )
        following = answer.get("nextPageToken", "")
        return ChangePage(changes, following or answer["newStartPageToken"], not following)


class _Answer(dict[str, Any]):
    """What Drive answered, as JSON; without a part that was asked for, it is damaged."""

    def __missing__(self, name: str) -> Any:
        raise Damaged


def _asked(request: Any, http: DriveHttp) -> _Answer:
    answer = request.execute(http=http)
    if not isinstance(answer, dict):
        raise Damaged
    return _Answer(answer)


def info_of(file: dict[str, Any]) -> FileInfo:
    """Reads a file as Drive describes it."""
    file = _Answer(file)
    return FileInfo(
        file_id=file["id"],
        name=file["name"],
        mime_type=file["mimeType"],
        size_bytes=int(file.get("size", 0)),
        md5=file.get("md5Checksum", ""),
        create_time_s=datetime.fromisoformat(file["createdTime"]).timestamp(),
        modify_time_s=datetime.fromisoformat(file["modifiedTime"]).timestamp(),
        is_trashed=bool(file.get("trashed")),
        parent_ids=tuple(file.get("parents", ())),
        drive_id=file.get("driveId", ""),
        properties=file.get("appProperties", {}),
    )


def check_bytes(info: FileInfo, data: bytes) -> None:
    """Raises Damaged unless the file has these bytes, by size and md5."""
    if info.size_bytes != len(data) or info.md5 != hashlib.md5(data, usedforsecurity=False).hexdigest():
        raise Damaged
