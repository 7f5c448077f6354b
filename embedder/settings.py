"""What the embedder can be told, from TWIN_... variables."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from runtime.images.opencv import HARD_MAX_IMAGE_PIXELS
from runtime.settings import BindAddress, ServiceSettings


class EmbedderSettings(ServiceSettings):
    """The embedder's own settings, beside those of every service."""

    metrics_bind: BindAddress = "127.0.0.1:9151"
    embedder_bind: BindAddress = "127.0.0.1:50051"
    vectorstore_bind: BindAddress = "127.0.0.1:50052"
    # Where the vector store is dialled; where it listens when unset.
    vectorstore_target: str = ""

    models_dir: Path = Path("~/.cache/find-your-twin/models")
    model_pack: Annotated[str, Field(min_length=1)] = "starter"
    # What runs the networks: the start fails when it is not there, and nothing else is taken instead.
    embedder_provider: Literal["cpu", "cuda"] = "cpu"

    # Photos worked on at once; 0 means as many as there are cores.
    embedder_threads: Annotated[int, Field(ge=0, le=1024)] = 0
    # Photos that wait beyond those; a unary call that finds the queue full is refused.
    embedder_queue_limit: Annotated[int, Field(ge=1, le=10_000)] = 32
    # EmbedStream and Enroll calls open at once; one more is refused.
    embedder_max_streams: Annotated[int, Field(ge=1, le=10_000)] = 64
    # Photos of one stream in work or waiting for the vector store's answer.
    embedder_stream_in_flight: Annotated[int, Field(ge=1, le=1_000)] = 16

    max_image_bytes: Annotated[int, Field(ge=1)] = 20 * 2**20
    max_image_pixels: Annotated[int, Field(ge=1, le=HARD_MAX_IMAGE_PIXELS)] = 50_000_000
    # Of a larger crowd, the largest faces are kept.
    max_faces: Annotated[int, Field(ge=1, le=5_000)] = 500
    detection_threshold: Annotated[float, Field(ge=0.05, le=0.99)] = 0.5

    # How long one photo may wait for the vector store, and how long one stream to it may live.
    enroll_answer_timeout_s: Annotated[float, Field(gt=0)] = 30.0
    enroll_stream_timeout_s: Annotated[float, Field(gt=0)] = 3_600.0

    @property
    def vectorstore_address(self) -> str:
        """The vector store's address to dial."""
        return self.vectorstore_target or self.vectorstore_bind

    @property
    def thread_count(self) -> int:
        """Worker threads."""
        return self.embedder_threads or len(os.sched_getaffinity(0))
