"""What must be there before the gateway takes calls: both peers, and a gallery for the embedder's model."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc

from gateway.embedder_client import Embedder
from gateway.outcome import code_of, may_have_happened
from gateway.records import Gallery
from gateway.vectorstore_client import VectorStore
from runtime.errors import NotFound, StartupError, TwinError
from runtime.logs import get_logger
from runtime.names import DEFAULT_GALLERY

_RETRY_S = 0.25
_CALL_TIMEOUT_S = 5.0
_log = get_logger(__name__)
Answer = TypeVar("Answer")


async def wait_for_peers(embedder: Embedder, vectors: VectorStore, on_wait: Callable[[str], None]) -> None:
    """Returns once both peers answer and the default gallery fits the model.

    on_wait hears what is waited for. Raises StartupError when the default gallery is of another model, and any failure
    that waiting does not mend.
    """
    model = await _until_answered(lambda: embedder.get_model(_CALL_TIMEOUT_S, fresh=True), "embedder", on_wait)

    async def default_gallery() -> Gallery:
        try:
            return await vectors.get_gallery(DEFAULT_GALLERY, _CALL_TIMEOUT_S)
        except NotFound:
            await _create(vectors)
        return await vectors.get_gallery(DEFAULT_GALLERY, _CALL_TIMEOUT_S)

    async def _create(vectors: VectorStore) -> None:
        try:
            await vectors.create_gallery(DEFAULT_GALLERY, model, _CALL_TIMEOUT_S)
            _log.info("gallery made", gallery=DEFAULT_GALLERY, model_id=model.model_id)
        except TwinError as error:
            if code_of(error) is not grpc.StatusCode.ALREADY_EXISTS:  # Another gateway was first.
                raise

    gallery = await _until_answered(default_gallery, "vectorstore", on_wait)
    if gallery.model_id != model.model_id:
        raise StartupError(
            f"the gallery {DEFAULT_GALLERY!r} holds vectors of model {gallery.model_id!r} and the embedder serves "
            f"{model.model_id!r} (pack {model.pack!r}): set TWIN_MODEL_PACK back, or import into a new data folder"
        )


async def _until_answered(ask: Callable[[], Awaitable[Answer]], peer: str, on_wait: Callable[[str], None]) -> Answer:
    on_wait(f"waiting for the {peer}")
    while True:
        try:
            return await ask()
        except TwinError as error:
            if not may_have_happened(error):
                raise
            _log.debug("peer is not ready", peer=peer, code=code_of(error).name)
        await asyncio.sleep(_RETRY_S)
