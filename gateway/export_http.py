"""POST /photos/<photo_id>/export: what is held about a photo, as a browser downloads it."""

from contextlib import aclosing

from aiohttp import web

from gateway.admission import Admission
from gateway.deadlines import no_caller
from gateway.export import Exporter
from gateway.http_errors import refusal
from gateway.slow_readers import end_in_time, write_in_time
from runtime.errors import NotReady, TwinError
from runtime.names import check_photo_id
from runtime.readiness import Readiness


class ExportRoute:
    """Serves archives. The token comes in the form's body: an address would be written into logs and histories."""

    def __init__(self, exporter: Exporter, readiness: Readiness, admission: Admission) -> None:
        self._exporter = exporter
        self._readiness = readiness
        self._admission = admission

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answers with the archive; 404 alike for an unknown photo and for a wrong token."""
        token = (await request.post()).get("deletion_token", "")
        try:
            if not self._readiness.accepts_calls:
                raise NotReady(self._readiness.reason)
            photo_id = check_photo_id(request.match_info["photo_id"])
            with self._admission.enter():
                return await self._send(request, photo_id, token if isinstance(token, str) else "")
        except TwinError as error:
            if request.writer.output_size > 0:
                raise ConnectionResetError("the archive cannot be finished") from error
            return refusal(error, is_callers_fault=True)

    async def _send(self, request: web.Request, photo_id: str, token: str) -> web.StreamResponse:
        async with aclosing(self._exporter.export(photo_id, token, no_caller, needs_token=True)) as pieces:
            first = await anext(pieces)
            response = web.StreamResponse(
                headers={
                    "Content-Type": "application/zip",
                    "Content-Disposition": f'attachment; filename="photo-{photo_id}.zip"',
                    "Cache-Control": "no-store",
                }
            )
            await response.prepare(request)
            await write_in_time(request, response, first.data)
            async for piece in pieces:
                await write_in_time(request, response, piece.data)
            await end_in_time(request, response)
        return response
