"""One AddPhotos stream to the vector store: many photos in flight, each answered by its id."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import grpc
import grpc.aio
from twin.vectorstore.v1 import vectorstore_pb2, vectorstore_pb2_grpc

from runtime.channels import request_metadata
from runtime.errors import CallerGone, DependencyUnavailable, TwinError
from runtime.status import from_rpc_error

DEPENDENCY: Final = "vectorstore"

_Call = grpc.aio.StreamStreamCall[Any, Any]
_Answer = asyncio.Future[vectorstore_pb2.AddPhotosResponse]


@dataclass(slots=True)
class _Sent:
    """A photo that waits for its answer, and the stream that it was written to, once it was."""

    answer: _Answer
    call: _Call | None = None


class StoreLink:
    """Adds photos over one stream, which is opened with the first and opened again after a failure.

    All methods belong to one event loop.
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
        self._waiting: dict[str, _Sent] = {}
        self._writing = asyncio.Lock()
        self._call: _Call | None = None
        self._reader: asyncio.Task[None] | None = None
        self._closed = False

    async def close(self) -> None:
        """Ends the stream, for good; photos still unanswered stay what the vector store made of them."""
        self._closed = True
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
            await asyncio.wait([earlier.answer])
        sent = _Sent(asyncio.get_running_loop().create_future())
        self._waiting[photo_id] = sent
        try:
            async with asyncio.timeout(self._answer_timeout_s):
                await self._write(request, sent)
                return await sent.answer
        except TimeoutError as error:
            raise DependencyUnavailable(DEPENDENCY) from error
        finally:
            del self._waiting[photo_id]
            # Whoever waits for this id to be free must wake, however this ended.
            sent.answer.cancel()

    async def _write(self, request: vectorstore_pb2.AddPhotosRequest, sent: _Sent) -> None:
        async with self._writing:
            call, reader = self._open()
            sent.call = call
            try:
                await call.write(request)
            except (grpc.RpcError, asyncio.InvalidStateError):
                # The stream is over; its reader learns why and tells everybody who waits on it, this photo included.
                await asyncio.wait([reader])

    def _open(self) -> tuple[_Call, asyncio.Task[None]]:
        if self._closed:
            raise CallerGone
        if self._call is None or self._call.done() or self._reader is None or self._reader.done():
            self._call = self._stub.AddPhotos(timeout=self._stream_timeout_s(), metadata=request_metadata())
            self._reader = asyncio.create_task(self._read(self._call))
        return self._call, self._reader

    async def _read(self, call: _Call) -> None:
        """Hands out answers until the stream ends; then fails what was written to it and is still waiting."""
        failure: TwinError = DependencyUnavailable(DEPENDENCY)
        try:
            async for response in call:
                sent = self._waiting.get(response.photo_id)
                if sent is not None and not sent.answer.done():
                    sent.answer.set_result(response)
        except grpc.RpcError as error:
            failure = from_rpc_error(error, DEPENDENCY)
        finally:
            for sent in self._waiting.values():
                if sent.call is call and not sent.answer.done():
                    sent.answer.set_exception(failure)
