"""One AddPhotos stream to the vector store: many photos in flight, each answered by its id."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final

import grpc
import grpc.aio
from twin.vectorstore.v1 import vectorstore_pb2, vectorstore_pb2_grpc

from runtime.channels import request_metadata
from runtime.errors import DependencyUnavailable, TwinError
from runtime.status import from_rpc_error

DEPENDENCY: Final = "vectorstore"

_Call = grpc.aio.StreamStreamCall[Any, Any]


class StoreLink:
    """Adds photos over one stream, which is opened with the first and opened again after a failure.

    A context manager: leaving it ends the stream. All methods belong to one event loop.
    """

    def __init__(
        self,
        stub: "vectorstore_pb2_grpc.VectorStoreServiceAsyncStub",
        *,
        answer_timeout_s: float,
        stream_timeout_s: Callable[[], float],
    ) -> None:
        """stream_timeout_s is asked at each opening: what the caller has left, within a limit."""
        self._stub = stub
        self._answer_timeout_s = answer_timeout_s
        self._stream_timeout_s = stream_timeout_s
        self._waiting: dict[str, asyncio.Future[vectorstore_pb2.AddPhotosResponse]] = {}
        self._writing = asyncio.Lock()
        self._call: _Call | None = None
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "StoreLink":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the stream; photos still unanswered stay what the vector store made of them."""
        if self._call is not None:
            self._call.cancel()
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    async def add(self, request: vectorstore_pb2.AddPhotosRequest) -> vectorstore_pb2.AddPhotosResponse:
        """Sends one photo, which must have a photo_id, and waits for its answer.

        Raises DependencyUnavailable when the store cannot be reached or does not answer in time, and what the store's
        stream failed with.
        """
        photo_id = request.photo.photo_id
        while (earlier := self._waiting.get(photo_id)) is not None:
            # Two photos of one id on one stream: the second waits, since answers are told apart by the id alone.
            await asyncio.wait([earlier])
        answer: asyncio.Future[vectorstore_pb2.AddPhotosResponse] = asyncio.get_running_loop().create_future()
        self._waiting[photo_id] = answer
        try:
            async with asyncio.timeout(self._answer_timeout_s):
                await self._write(request, answer)
                return await answer
        except TimeoutError as error:
            raise DependencyUnavailable(DEPENDENCY) from error
        finally:
            if self._waiting.get(photo_id) is answer:
                del self._waiting[photo_id]
            # Whoever waits for this id to be free must wake, however this ended.
            answer.cancel()

    async def _write(
        self, request: vectorstore_pb2.AddPhotosRequest, answer: "asyncio.Future[vectorstore_pb2.AddPhotosResponse]"
    ) -> None:
        async with self._writing:
            call = self._open()
            try:
                await call.write(request)
            except (grpc.RpcError, asyncio.InvalidStateError):
                # The stream is over; its reader learns why and tells everybody who waits, this photo included.
                if self._reader is not None:
                    await asyncio.wait([self._reader])
                if not answer.done():
                    raise DependencyUnavailable(DEPENDENCY) from None

    def _open(self) -> _Call:
        if self._call is None or self._call.done() or self._reader is None or self._reader.done():
            call: _Call = self._stub.AddPhotos(timeout=self._stream_timeout_s(), metadata=request_metadata())
            self._call = call
            self._reader = asyncio.create_task(self._read(call))
        return self._call

    async def _read(self, call: _Call) -> None:
        """Hands out answers until the stream ends; then fails what is still waiting."""
        failure: TwinError = DependencyUnavailable(DEPENDENCY)
        try:
            async for response in call:
                answer = self._waiting.get(response.photo_id)
                if answer is not None and not answer.done():
                    answer.set_result(response)
        except grpc.RpcError as error:
            failure = from_rpc_error(error, DEPENDENCY)
        finally:
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(failure)
