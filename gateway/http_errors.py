"""What a failure on the HTTP port is told as: what it is, and for a bug an opaque id, as on the gRPC port."""

from collections.abc import Awaitable, Callable
from typing import Final

import grpc
from aiohttp import web

from gateway.outcome import code_of
from runtime.errors import TwinError
from runtime.interceptor import status_of

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_HTTP_BY_CODE: Final = {
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}


def refusal(error: TwinError, *, is_callers_fault: bool = False) -> web.Response:
    """Returns the answer that tells of a failure. is_callers_fault: INVALID_ARGUMENT is about the request."""
    code = code_of(error)
    is_bad_request = is_callers_fault and code is grpc.StatusCode.INVALID_ARGUMENT
    return web.Response(status=400 if is_bad_request else _HTTP_BY_CODE.get(code, 500), text=f"{error.message}\n")


def add_error_rule(app: web.Application) -> None:
    """Answers 500 and an id for an exception that no handler expected; an answer that has begun is cut off."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except (web.HTTPException, ConnectionError):
            raise
        except Exception as error:
            message = status_of(error).message
            if request.writer.output_size > 0:
                raise ConnectionResetError(message) from error
            return web.Response(status=500, text=f"{message}\n")

    app.middlewares.append(answer)
