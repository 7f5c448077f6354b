"""What the embedder can be told, from TWIN_... variables."""

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationInfo, field_validator

from embedder.quality import ADVICE, STRICT, QualityLimits
from runtime.images.decode import DEFAULT_MAX_DECODED_BYTES
from runtime.images.opencv import HARD_MAX_IMAGE_PIXELS
from runtime.settings import BindAddress, ServiceSettings

_FULL_PRECISION_PROVIDERS: Final = ("cpu", "cuda")


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
    embedder_provider: Literal["cpu", "openvino", "cuda", "tensorrt"] = "cpu"
    # Memory of the device that each network may take, MiB.
    embedder_gpu_memory_mib: Annotated[int, Field(ge=256, le=1_000_000)] = 4_096
    # Items of one stage that run at once; 0 means what suits the provider.
    embedder_max_batch: Annotated[int, Field(ge=0, le=1_024)] = 0
    # The detector in half precision, where openvino or tensorrt can: up to twice as fast where the processor has
    # bfloat16, and landmarks a little off. Vectors are always made in float32.
    embedder_detector_half_precision: bool = False
    # A face's vector is its own and its mirror image's together: twice the work, and another model_id.
    embedder_flip_averaging: bool = False
    # An age estimate and gender scores for each embedded face, where the pack has the networks.
    embedder_attributes: bool = False

    # Threads that work on photos; 0 means as many as there are cores. As many processes decode, up to two a core.
    embedder_threads: Annotated[int, Field(ge=0, le=256)] = 0
    # Photos of unary calls that wait to be begun; a call that finds the queue full is refused.
    embedder_queue_limit: Annotated[int, Field(ge=1, le=10_000)] = 32
    # EmbedStream and Enroll calls open at once; one more is refused.
    embedder_max_streams: Annotated[int, Field(ge=1, le=10_000)] = 64
    # Photos of one stream in work or waiting for the vector store's answer.
    embedder_stream_in_flight: Annotated[int, Field(ge=1, le=1_000)] = 16
    # Photos of all streams together that are in work; a stream that would exceed them is not read meanwhile, but for
    # the one photo that it waits with.
    embedder_stream_waiting_bytes: Annotated[int, Field(ge=2**20)] = 256 * 2**20

    max_image_bytes: Annotated[int, Field(ge=1)] = 20 * 2**20
    max_image_pixels: Annotated[int, Field(ge=1, le=HARD_MAX_IMAGE_PIXELS)] = 50_000_000
    # What a decoder may have to hold of one image: all samples unpacked, or a progressive JPEG's coefficients.
    max_decoded_bytes: Annotated[int, Field(ge=1, le=400_000_000)] = DEFAULT_MAX_DECODED_BYTES
    # After so long a decoder is ended, and its image refused.
    embedder_decode_timeout_s: Annotated[float, Field(gt=0, le=25)] = 10.0
    # Of a larger crowd, the largest faces are kept.
    max_faces: Annotated[int, Field(ge=1, le=5_000)] = 500
    # The least score of a face; unset: the pack's own.
    detection_threshold: Annotated[float, Field(ge=0.05, le=0.99)] | None = None

    # How long one photo may wait for the vector store, and how long one stream to it may live.
    enroll_answer_timeout_s: Annotated[float, Field(gt=0)] = 30.0
    enroll_stream_timeout_s: Annotated[float, Field(gt=0)] = 3_600.0

    # Limits of a face's quality that differ from the usual, by name: {"min_size_pixels": 60}. Below the advice a face
    # is reported as poor; below the strict ones it is not enrolled.
    quality_advice: dict[str, float] = Field(default_factory=dict)
    quality_strict: dict[str, float] = Field(default_factory=dict)

    @field_validator("embedder_detector_half_precision")
    @classmethod
    def _check_half_precision(cls, asked: bool, known: ValidationInfo) -> bool:
        provider = known.data.get("embedder_provider")
        if asked and provider in _FULL_PRECISION_PROVIDERS:
            raise ValueError(
                f"the provider {provider} has no half precision; unset it, or set TWIN_EMBEDDER_PROVIDER to openvino or"
                " tensorrt"
            )
        return asked

    @field_validator("quality_advice", "quality_strict")
    @classmethod
    def _check_limits(cls, limits: dict[str, float]) -> dict[str, float]:
        unknown = set(limits) - set(QualityLimits.__slots__)
        if unknown:
            raise ValueError(
                f"no such limit: {', '.join(sorted(unknown))}; there are {', '.join(QualityLimits.__slots__)}"
            )
        both = {"min_brightness": 0.0, "max_brightness": 1.0, **limits}
        if not all(math.isfinite(value) and value >= 0 for value in limits.values()):
            raise ValueError("a limit is a number that is not negative")
        if both["min_brightness"] >= both["max_brightness"]:
            raise ValueError("min_brightness is less than max_brightness")
        return limits

    @property
    def advice_limits(self) -> QualityLimits:
        """Below these a face is reported as poor."""
        return replace(ADVICE, **self.quality_advice)

    @property
    def strict_limits(self) -> QualityLimits:
        """Below these a face is not enrolled."""
        return replace(STRICT, **self.quality_strict)

    @property
    def vectorstore_address(self) -> str:
        """The vector store's address to dial."""
        return self.vectorstore_target or self.vectorstore_bind

    @property
    def thread_count(self) -> int:
        """Worker threads."""
        return self.embedder_threads or _cores()

    @property
    def decoder_count(self) -> int:
        """Processes that decode: one for each thread, but no more than two for each core, since each takes memory."""
        return min(self.thread_count, 2 * _cores())


def _cores() -> int:
    return len(os.sched_getaffinity(0))
