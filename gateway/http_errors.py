"""What a failure on the HTTP port is told and logged as: an opaque id, as on the gRPC port."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from runtime.interceptor import status_of

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


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
