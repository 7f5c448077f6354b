"""The gallery that an import goes to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

import grpc
import grpc.aio
from twin.embedder.v1 import embedder_pb2, embedder_pb2_grpc
from twin.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from twin.vectorstore.v1 import vectorstore_pb2, vectorstore_pb2_grpc

from cli.errors import CommandError, in_words
from cli.settings import ClientSettings
from runtime.channels import open_channel

# The stubs' own name for an asynchronous stub exists for type checkers alone.
Gateway: TypeAlias = "gateway_pb2_grpc.TwinServiceAsyncStub"
_CALL_TIMEOUT_S: Final = 60.0


@asynccontextmanager
async def import_into(gallery: str, settings: ClientSettings) -> AsyncIterator[Gateway]:
    """Lends the gateway once the gallery is there; a call that fails, then or while it is lent, is a CommandError."""
    target = settings.target("gateway")
    async with open_channel(target, max_message_bytes=settings.max_message_bytes) as channel:
        stub = gateway_pb2_grpc.TwinServiceStub(channel)
        try:
            await _ensure_gallery(gallery, stub, settings)
            yield stub
        except grpc.RpcError as error:
            raise CommandError(in_words(error, target)) from error


async def _ensure_gallery(gallery: str, stub: Gateway, settings: ClientSettings) -> None:
    """Makes the gallery, bound to the model that the embedder serves, when there is none of that name."""
    try:
        await stub.GetStats(gateway_pb2.GetStatsRequest(gallery=gallery), timeout=_CALL_TIMEOUT_S)
        return
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.NOT_FOUND:
            raise
    limit = settings.max_message_bytes
    embedder, vectorstore = settings.target("embedder"), settings.target("vectorstore")
    async with open_channel(embedder, max_message_bytes=limit) as channel:
        try:
            model = await embedder_pb2_grpc.EmbedderServiceStub(channel).GetModel(
                embedder_pb2.GetModelRequest(), timeout=_CALL_TIMEOUT_S
            )
        except grpc.RpcError as error:
            raise CommandError(in_words(error, embedder)) from error
    async with open_channel(vectorstore, max_message_bytes=limit) as channel:
        try:
            await vectorstore_pb2_grpc.VectorStoreServiceStub(channel).CreateGallery(
                vectorstore_pb2.CreateGalleryRequest(
                    name=gallery, model_id=model.model_id, dimension=model.dimension, calibration=model.calibration
                ),
                timeout=_CALL_TIMEOUT_S,
            )
        except grpc.RpcError as error:
            # Another import made it in the same moment.
            if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
                raise CommandError(in_words(error, vectorstore)) from error
