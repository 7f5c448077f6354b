"""The routes, and what goes wrong on them."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web
from yarl import URL

from tests.drive_emulator import fields, query
from tests.drive_emulator.answers import Refused, not_found, token_error
from tests.drive_emulator.drive import Drive, DriveFile, Repeated
from tests.drive_emulator.faults import Fault, Faults
from tests.drive_emulator.tokens import Access, Tokens
from tests.drive_emulator.uploads import Uploads

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_MAX_PAGE: Final = 1000
_PIECE_BYTES: Final = 2**20
_RANGE: Final = re.compile(r"bytes=(\d+)-(\d*)")
_REFUSALS: Final = {
    "conflict_409": (409, "fileIdInUse"),
    "daily_limit_403": (403, "dailyLimitExceeded"),
    "error_500": (500, "internalError"),
    "error_503": (503, "backendError"),
    "quota_full": (403, "storageQuotaExceeded"),
    "rate_limit_403": (403, "userRateLimitExceeded"),
    "rate_limit_429": (429, "rateLimitExceeded"),
    "unauthorized_401": (401, "authError"),
}


def make_app(drive: Drive, tokens: Tokens, faults: Faults) -> web.Application:
    """Returns the application. Requests are told apart as operations, which is what faults are named by."""
    routes = _Routes(drive, tokens, faults)
    app = web.Application(client_max_size=2**30)
    files, upload = "/drive/v3/files", "/upload/drive/v3/files"
    for method, path, operation, handler in (
        ("POST", "/token", "token", routes.token),
        ("GET", "/drive/v3/about", "about.get", routes.about),
        ("GET", "/drive/v3/changes", "changes.list", routes.changes),
        ("GET", "/drive/v3/changes/startPageToken", "changes.getStartPageToken", routes.start_page_token),
        ("GET", f"{files}/generateIds", "files.generateIds", routes.generate_ids),
        ("GET", files, "files.list", routes.list),
        ("POST", files, "files.create", routes.create),
        ("GET", files + "/{id}", "", routes.get),
        ("PATCH", files + "/{id}", "files.update", routes.update),
        ("DELETE", files + "/{id}", "files.delete", routes.delete),
        ("POST", upload, "", routes.upload),
        ("PATCH", upload + "/{id}", "", routes.upload),
        ("PUT", upload, "upload.part", routes.upload_part),
    ):
        app.router.add_route(method, path, routes.with_faults(operation, handler))
    app.router.add_get("/auth", routes.authorize)
    app.router.add_post("/emulator/faults", routes.set_faults)
    app.router.add_post("/emulator/large-file", routes.add_large_file)
    app.router.add_get("/emulator/state", routes.state)
    return app


class _Routes:
    def __init__(self, drive: Drive, tokens: Tokens, faults: Faults) -> None:
        self._drive, self._tokens, self._faults = drive, tokens, faults
        self._uploads = Uploads(drive)

    def with_faults(self, operation: str, handler: Handler) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            fault = self._faults.next_for(operation or _operation_of(request))
            try:
                if fault is None:
                    return await handler(request)
                return await _fail(fault, request, handler)
            except Refused as refused:
                await request.read()
                return refused.response()

        return handle

    def _access(self, request: web.Request) -> Access:
        access = self._tokens.access(request.headers.get("Authorization", ""))
        if access is None:
            raise Refused(401, "authError", "Invalid Credentials")
        return access

    def _visible(self, file_id: str, access: Access) -> DriveFile:
        file = self._drive.files.get(file_id)
        if file is None or not (file.by_application or access.sees_all):
            raise not_found(file_id)
        return file

    async def token(self, request: web.Request) -> web.StreamResponse:
        answer = self._tokens.issue(await request.post())
        return web.json_response(answer) if answer is not None else token_error("invalid_grant")

    async def authorize(self, request: web.Request) -> web.StreamResponse:
        """A browser signs in: everybody who asks may."""
        code = self._tokens.authorize(request.query["scope"])
        back = URL(request.query["redirect_uri"]).with_query(
            {"code": code, "state": request.query["state"], "scope": request.query["scope"]}
        )
        raise web.HTTPFound(back)

    async def about(self, request: web.Request) -> web.StreamResponse:
        self._access(request)
        if "fields" not in request.query:
            raise Refused(400, "required", "The 'fields' parameter is required for this method.")
        user = {"kind": "drive#user", "displayName": "Owner", "emailAddress": self._drive.email, "permissionId": "01"}
        quota = {"limit": str(self._drive.quota_bytes), "usage": str(self._drive.used_bytes())}
        return _json(request, {"user": user, "storageQuota": quota})

    async def generate_ids(self, request: web.Request) -> web.StreamResponse:
        self._access(request)
        count = int(request.query.get("count", "10"))
        return _json(request, {"space": "drive", "ids": [self._drive.new_id() for _ in range(count)]})

    async def list(self, request: web.Request) -> web.StreamResponse:
        access = self._access(request)
        try:
            is_meant = query.parse(request.query.get("q", ""))
        except query.BadQuery as error:
            raise Refused(400, "invalid", str(error)) from error
        drive_id = request.query.get("driveId")
        with self._drive.lock:
            found = [
                file.metadata()
                for file in self._drive.files.values()
                if (file.by_application or access.sees_all) and file.drive_id == drive_id and is_meant(file.metadata())
            ]
        page, token = _page(found, request)
        answer: dict[str, Any] = {"kind": "drive#fileList", "files": page}
        answer["incompleteSearch"] = self._drive.incomplete
        if token is not None:
            answer["nextPageToken"] = token
        return _json(request, answer, "nextPageToken,incompleteSearch,files(kind,id,name,mimeType)")

    async def get(self, request: web.Request) -> web.StreamResponse:
        file = self._visible(request.match_info["id"], self._access(request))
        if request.query.get("alt") != "media":
            return _json(request, file.metadata(), fields.DEFAULT)
        return await _media(request, file)

    async def create(self, request: web.Request) -> web.StreamResponse:
        file = self._uploads.store(json.loads(await request.text()), self._access(request), None, None)
        return _json(request, file.metadata(), fields.DEFAULT)

    async def upload(self, request: web.Request) -> web.StreamResponse:
        access, target = self._access(request), request.match_info.get("id")
        if target is not None:
            self._visible(target, access)
        if request.query.get("uploadType") == "multipart":
            return _json(request, (await self._uploads.multipart(request, access, target)).metadata(), fields.DEFAULT)
        upload_id = await self._uploads.begin(request, access, target)
        location = request.url.origin().with_path(request.path).with_query({**request.query, "upload_id": upload_id})
        return web.Response(headers={"Location": str(location)})

    async def upload_part(self, request: web.Request) -> web.StreamResponse:
        outcome = await self._uploads.part(request.query["upload_id"], request)
        if isinstance(outcome, DriveFile):
            return _json(request, outcome.metadata(), fields.DEFAULT)
        return web.Response(status=308, headers={"Range": f"bytes=0-{outcome - 1}"} if outcome else {})

    async def update(self, request: web.Request) -> web.StreamResponse:
        file = self._visible(request.match_info["id"], self._access(request))
        wanted = json.loads(await request.text())
        with self._drive.lock:
            file.name, file.trashed = wanted.get("name", file.name), wanted.get("trashed", file.trashed)
            file.app_properties |= wanted.get("appProperties", {})
            self._drive.note(file.id)
        return _json(request, file.metadata(), fields.DEFAULT)

    async def delete(self, request: web.Request) -> web.StreamResponse:
        file = self._visible(request.match_info["id"], self._access(request))
        with self._drive.lock:
            del self._drive.files[file.id]
            self._drive.note(file.id)
        return web.Response(status=204)

    async def start_page_token(self, request: web.Request) -> web.StreamResponse:
        self._access(request)
        return _json(request, {"startPageToken": str(len(self._drive.changes))})

    async def changes(self, request: web.Request) -> web.StreamResponse:
        access = self._access(request)
        start = int(request.query["pageToken"])
        size = min(int(request.query.get("pageSize", "100")), _MAX_PAGE)
        with self._drive.lock:
            last = min(start + size, len(self._drive.changes))
            shown = [
                change
                for change in self._drive.changes[start:last]
                if change["removed"]
                or (
                    (access.sees_all or self._drive.files[change["fileId"]].by_application)
                    and change["file"].get("driveId") == request.query.get("driveId")
                )
            ]
            following = "newStartPageToken" if last == len(self._drive.changes) else "nextPageToken"
        return _json(request, {"kind": "drive#changeList", "changes": shown, following: str(last)})

    async def set_faults(self, request: web.Request) -> web.StreamResponse:
        """Replaces the script by a list of Fault's fields."""
        self._faults.clear()
        for fault in await request.json():
            self._faults.add(**fault)
        return web.json_response(self._faults.describe())

    async def add_large_file(self, request: web.Request) -> web.StreamResponse:
        """Puts a large file there, as the application made it; answers with its id and md5."""
        wanted = await request.json()
        file = self._drive.files[self._drive.owner_file(wanted["name"], Repeated(wanted["size"]))]
        file.by_application, file.app_properties = True, wanted.get("appProperties", {})
        return web.json_response(file.metadata())

    async def state(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response(
            {
                "photos": [file.metadata() for file in self._drive.photos()],
                "requests": self._faults.requests,
                "happened": self._faults.happened,
                "refreshes": self._tokens.refreshes,
            }
        )


async def _fail(fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
    if fault.kind in _REFUSALS:
        status, reason = _REFUSALS[fault.kind]
        headers = {} if fault.retry_after_s is None else {"Retry-After": str(fault.retry_after_s)}
        raise Refused(status, reason, fault.message, headers)
    if fault.kind == "invalid_grant":
        return token_error("invalid_grant")
    if fault.kind == "timeout":
        await asyncio.Event().wait()
    answer = await handler(request)
    if fault.kind == "lost_response":
        _cut(request)
        return web.Response()
    body = answer.body if isinstance(answer, web.Response) and isinstance(answer.body, bytes) else b""
    if fault.kind == "wrong_bytes":
        return web.Response(status=answer.status, body=bytes(len(body)), headers=_ranges(answer))
    headers = {**_ranges(answer), "Content-Type": answer.content_type, "Content-Length": str(len(body))}
    slow = web.StreamResponse(status=answer.status, headers=headers)
    await slow.prepare(request)
    if fault.kind in ("short_body", "stalled_body"):
        await slow.write(body[: len(body) // 2])
        if fault.kind == "stalled_body":
            await asyncio.Event().wait()
        _cut(request)
        return slow
    for start in range(len(body)):
        await slow.write(body[start : start + 1])
        await asyncio.sleep(0.05)
    return slow


def _ranges(answer: web.StreamResponse) -> dict[str, str]:
    return {name: answer.headers[name] for name in ("Content-Range", "Location") if name in answer.headers}


def _cut(request: web.Request) -> None:
    """Ends the connection in good order: after this, not after a reset, a client sends its request again by itself."""
    if request.transport is not None:
        request.transport.close()


async def _media(request: web.Request, file: DriveFile) -> web.StreamResponse:
    if file.content is None:
        raise Refused(403, "fileNotDownloadable")
    size, start = file.content.size, 0
    stop, status, headers = size, 200, {"Content-Type": file.mime_type}
    match = _RANGE.fullmatch(request.headers.get("Range", ""))
    if match is not None:
        start, stop, status = int(match[1]), min(int(match[2] or size) + 1, size), 206
        if start >= size:
            return web.Response(status=416, headers={"Content-Range": f"bytes */{size}"})
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    if stop - start <= 16 * _PIECE_BYTES:
        return web.Response(status=status, body=file.content.read(start, stop), headers=headers)
    stream = web.StreamResponse(status=status, headers={**headers, "Content-Length": str(stop - start)})
    await stream.prepare(request)
    for piece in range(start, stop, _PIECE_BYTES):
        await stream.write(file.content.read(piece, min(piece + _PIECE_BYTES, stop)))
    return stream


def _operation_of(request: web.Request) -> str:
    if request.path.startswith("/upload/"):
        return "upload.multipart" if request.query.get("uploadType") == "multipart" else "upload.start"
    return "files.media" if request.query.get("alt") == "media" else "files.get"


def _page(found: list[dict[str, Any]], request: web.Request) -> tuple[list[dict[str, Any]], str | None]:
    start = int(request.query.get("pageToken", "0"))
    stop = start + min(int(request.query.get("pageSize", "100")), _MAX_PAGE)
    return found[start:stop], str(stop) if stop < len(found) else None


def _json(request: web.Request, value: Any, default: str = "*") -> web.Response:
    mask = fields.parse(request.query.get("fields", default))
    return web.json_response(fields.apply(mask, value))
