"""The outermost interceptor: every call gets an id, a metric, and an honest status, whatever its shape.

A handler's exception must be caught around the handler itself: around ``continuation`` it catches nothing, because the
handler only runs later. Without this, grpcio sends the exception's text to the client as UNKNOWN.
"""

import asyncio
import contextlib
import functools
import re
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn, TypeAlias

import grpc
import grpc.aio
from google.rpc import status_pb2

from runtime import logs
from runtime.errors import NotReady, TwinError, forget_frames
from runtime.readiness import Readiness
from runtime.status import CODE_BY_NUMBER, internal_status, status_code, to_status
from runtime.telemetry import RPC_SECONDS, RPCS_IN_PROGRESS

REQUEST_ID_KEY = "x-request-id"
_STATUS_DETAILS_KEY = "grpc-status-details-bin"
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
# Streams that stay open as long as their client likes; a drain must not wait for them.
_OPEN_ENDED = frozenset(
    {
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    }
)

# Looking a metric's labels up takes longer than counting. Methods are those that are served: there is an end to them.
_in_progress = functools.cache(RPCS_IN_PROGRESS.labels)
_seconds = functools.cache(RPC_SECONDS.labels)

_log = logs.get_logger(__name__)
Context = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Continuation: TypeAlias = "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]"


def status_of(error: Exception) -> status_pb2.Status:
    """Returns the status for any exception; one that is no TwinError is a bug, logged with its id."""
    if isinstance(error, TwinError):
        return to_status(error)
    opaque_id = secrets.token_hex(8)
    _log.error("unexpected error", error_id=opaque_id, exc_info=error)
    return internal_status(opaque_id)


class BoundaryInterceptor(grpc.aio.ServerInterceptor):
    """Maps errors to statuses, measures, and refuses calls while the service is not ready."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness
        self._draining = asyncio.Event()

    def end_open_ended_streams(self) -> None:
        """Ends health watches and reflection streams, which would hold up a drain."""
        self._draining.set()

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> "Handler | None":
        """Wraps the handler of the call, in the shape that it has."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler  # No such method: grpcio answers UNIMPLEMENTED.
        method = handler_call_details.method
        # The stubs describe the synchronous API's behaviours; here they are asynchronous.
        behaviours: Any = handler
        serializers = (handler.request_deserializer, handler.response_serializer)
        if handler.request_streaming and handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(
                self._streaming(method, behaviours.stream_stream), *serializers
            )
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(self._streaming(method, behaviours.unary_stream), *serializers)
        if handler.request_streaming:
            return grpc.stream_unary_rpc_method_handler(self._single(method, behaviours.stream_unary), *serializers)
        return grpc.unary_unary_rpc_method_handler(self._single(method, behaviours.unary_unary), *serializers)

    def _single(self, method: str, behaviour: Callable[[Any, Context], Awaitable[Any]]) -> Any:
        async def answer(request: Any, context: Context) -> Any:
            call = _Call(method, context)
            try:
                self._check_ready(method)
                return await behaviour(request, context)
            except Exception as error:
                # grpcio keeps the abort, and through it this frame, until a cycle is collected: not the photo with it.
                del request
                await call.abort(error)
            except asyncio.CancelledError:
                call.code = grpc.StatusCode.CANCELLED
                raise
            finally:
                call.end()

        return answer

    def _streaming(self, method: str, behaviour: Callable[[Any, Context], Any]) -> Any:
        async def answer(request: Any, context: Context) -> AsyncIterator[Any]:
            call = _Call(method, context)
            try:
                self._check_ready(method)
                if method in _OPEN_ENDED:
                    await self._until_drained(behaviour, request, context)
                    return
                # Closed whatever happens, so that what the handler holds is released before the call counts as ended.
                async with contextlib.aclosing(behaviour(request, context)) as responses:
                    async for response in responses:
                        yield response
            except Exception as error:
                # grpcio keeps the abort, and through it this frame, until a cycle is collected: not the photo with it.
                del request
                await call.abort(error)
            except (asyncio.CancelledError, GeneratorExit):
                # GeneratorExit: the client left while an answer was being sent.
                call.code = grpc.StatusCode.CANCELLED
                raise
            finally:
                call.end()

        return answer

    def _check_ready(self, method: str) -> None:
        if method.startswith("/twin.") and not self._readiness.accepts_calls:
            raise NotReady(self._readiness.reason)

    async def _until_drained(self, behaviour: Callable[[Any, Context], Any], request: Any, context: Context) -> None:
        work = asyncio.ensure_future(_written(behaviour(request, context), context))
        drained = asyncio.ensure_future(self._draining.wait())
        try:
            await asyncio.wait({work, drained}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise NotReady("the service is shutting down")
            await work
        finally:
            for task in (work, drained):
                task.cancel()


async def _written(result: Any, context: Context) -> None:
    """Runs a streaming handler, be it a generator or a coroutine that writes by itself."""
    if hasattr(result, "__aiter__"):
        async for response in result:
            await context.write(response)
    else:
        await result


def _code_set_by(context: Context) -> grpc.StatusCode:
    code: Any = context.code()  # grpcio gives back the number or the member, as it was set.
    return code if isinstance(code, grpc.StatusCode) else CODE_BY_NUMBER.get(code, grpc.StatusCode.UNKNOWN)


class _Call:
    """One call's id, clock and outcome."""

    def __init__(self, method: str, context: Context) -> None:
        self._method = method
        self._context = context
        self._start_s = time.monotonic()
        self.code = grpc.StatusCode.OK
        metadata = dict(context.invocation_metadata() or ())
        given = str(metadata.get(REQUEST_ID_KEY, ""))
        self._request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        logs.request_id.set(self._request_id)
        _in_progress(method).inc()

    async def abort(self, error: Exception) -> NoReturn:
        """Ends the call with the error's status."""
        if isinstance(error, grpc.aio.AbortError):
            self.code = _code_set_by(self._context)
            raise error
        status = status_of(error)
        forget_frames(error)
        self.code = status_code(status)
        trailers = ((_STATUS_DETAILS_KEY, status.SerializeToString()), (REQUEST_ID_KEY, self._request_id))
        await self._context.abort(self.code, status.message, trailing_metadata=trailers)

    def end(self) -> None:
        """Records the outcome."""
        duration_s = time.monotonic() - self._start_s
        _in_progress(self._method).dec()
        _seconds(self._method, self.code.name).observe(duration_s)
        _log.debug("call", method=self._method, code=self.code.name, duration_ms=round(duration_s * 1000, 1))
