"""GET /photos/<photo_id>: a stored photo or one face of it, for whoever holds a signed address."""

import re
from contextlib import aclosing
from typing import Final

from aiohttp import web

from gateway.http_errors import refusal
from gateway.photo_urls import SIZES, PhotoUrls
from gateway.records import FacePlace, StoredPhoto
from gateway.renditions import Rendition, Renditions, StoredOriginal
from gateway.slow_readers import write_in_time
from gateway.vectorstore_client import VectorStore
from runtime.errors import InvalidField, NotFound, NotReady, TwinError
from runtime.names import check_photo_id
from runtime.readiness import Readiness

# After this a browser asks again, so that a deleted photo does not live on in its cache.
_MAX_AGE_S: Final = 300
_FACE_ID: Final = re.compile(r"[0-9]{1,19}")


class PhotoRoute:
    """Serves photos."""

    def __init__(
        self,
        vectors: VectorStore,
        renditions: Renditions,
        urls: PhotoUrls,
        readiness: Readiness,
        *,
        store_timeout_s: float,
    ) -> None:
        self._vectors = vectors
        self._renditions = renditions
        self._urls = urls
        self._readiness = readiness
        self._store_timeout_s = store_timeout_s

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answers with the picture; 403 for an address that is wrong or too old, 404 for a photo that is deleted."""
        query = request.query
        photo_id = request.match_info["photo_id"]
        face, size = query.get("face", ""), query.get("size", "large")
        left_s = self._urls.seconds_left(photo_id, face, query.get("expires", ""), query.get("signature", ""))
        if left_s is None or size not in SIZES:
            return web.Response(status=403, text="this address is not good, or no longer\n")
        try:
            rendition = await self._find(photo_id, face, size)
        except TwinError as error:
            return refusal(error)
        return await _respond(request, rendition, min(left_s, _MAX_AGE_S))

    async def _find(self, photo_id: str, face: str, size: str) -> Rendition | StoredOriginal:
        if not self._readiness.accepts_calls:
            raise NotReady(self._readiness.reason)
        try:
            check_photo_id(photo_id)
        except InvalidField as error:
            raise NotFound("photo") from error
        photo = await self._vectors.find_photo(photo_id, self._store_timeout_s)
        if photo is None:
            await self._renditions.purge(photo_id)
            raise NotFound("photo")
        return await self._renditions.get(photo, size, _place(photo, face) if face else None)


def _place(photo: StoredPhoto, face: str) -> FacePlace:
    if _FACE_ID.fullmatch(face):
        for place in photo.places:
            if place.face_id == int(face):
                return place
    raise NotFound("face")


async def _respond(request: web.Request, rendition: Rendition | StoredOriginal, max_age_s: int) -> web.StreamResponse:
    tag = f'"{rendition.tag}"'
    headers = {
        "ETag": tag,
        "Cache-Control": f"private, max-age={max_age_s}",
        "Accept-Ranges": "bytes",
        # A picture has no business running anything, even opened by itself.
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    if tag in [part.strip().removeprefix("W/") for part in request.headers.get("If-None-Match", "").split(",")]:
        return web.Response(status=304, headers=headers)
    start, stop, status = 0, rendition.size_bytes, 200
    wanted = request.headers.get("Range") if request.headers.get("If-Range", tag) == tag else None
    if wanted is not None and wanted.startswith("bytes=") and "," not in wanted:
        try:
            part = request.http_range
        except ValueError:
            part = slice(None, None, 1)  # What cannot be read is not asked for (RFC 9110, section 14.2).
        start, stop, _ = part.indices(rendition.size_bytes)
        if start >= stop:
            return web.Response(status=416, headers={**headers, "Content-Range": f"bytes */{rendition.size_bytes}"})
        if part.start is not None or part.stop is not None:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{rendition.size_bytes}"
            status = 206
    if isinstance(rendition, StoredOriginal):
        return await _stream(request, rendition, start, stop, status, headers)
    data = rendition.data[start:stop]
    return web.Response(status=status, body=data, content_type=rendition.content_type, headers=headers)


async def _stream(
    request: web.Request, original: StoredOriginal, start: int, stop: int, status: int, headers: dict[str, str]
) -> web.StreamResponse:
    """Sends an original as it comes out of its store; one that stops coming ends the connection."""
    headers = {**headers, "Content-Type": original.content_type, "Content-Length": str(stop - start)}
    if request.method == "HEAD":
        return web.Response(status=status, headers=headers)
    async with aclosing(original.read(start, stop)) as pieces:
        try:
            # Before anything is sent: a store that does not answer is told as such.
            first = await anext(pieces, b"")
        except TwinError as error:
            return refusal(error)
        response = web.StreamResponse(status=status, headers=headers)
        await response.prepare(request)
        await write_in_time(request, response, first)
        try:
            async for piece in pieces:
                await write_in_time(request, response, piece)
        except TwinError:
            if request.transport is not None:
                request.transport.abort()
    return response
