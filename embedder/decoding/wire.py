"""Between the service and its decoder processes: a line of JSON each way, and the bytes in memory that both map.

Nothing that a decoder process sends is trusted: it may be in the hands of whoever made the image.
"""

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from embedder.align import CROP_SIZE
from embedder.decoding.job import MAX_CROPS, MAX_WHOLE_PIXELS, DecodeJob, Form
from runtime.errors import UnreadableImage
from runtime.images.headers import ImageHeader

MAX_RESULT_BYTES: Final = 3 * max(MAX_WHOLE_PIXELS, MAX_CROPS * CROP_SIZE * CROP_SIZE)
MAX_LINE_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Answer:
    """shape of the pixels in the shared memory, or why there are none."""

    shape: tuple[int, ...] = ()
    problem: str = ""


class BrokenDecoder(Exception):
    """The decoder process died, hung, or answered what it never should."""


def job_line(job: DecodeJob) -> bytes:
    """Writes a job; its image is handed over in the shared memory."""
    landmarks = None if job.landmarks is None else job.landmarks.tolist()
    message = {
        "byte_count": len(job.data),
        "form": int(job.form),
        "header": dataclasses.asdict(job.header),
        "landmarks": landmarks,
    }
    return json.dumps(message).encode() + b"\n"


def read_job(line: bytes, memory: memoryview) -> DecodeJob:
    """Reads a job; only the service writes those."""
    message: dict[str, Any] = json.loads(line)
    landmarks = message["landmarks"]
    return DecodeJob(
        data=bytes(memory[: message["byte_count"]]),
        header=ImageHeader(**message["header"]),
        form=Form(message["form"]),
        landmarks=None if landmarks is None else np.array(landmarks, np.float32).reshape(-1, 5, 2),
    )


def answer_line(answer: Answer) -> bytes:
    """Writes an answer."""
    return json.dumps({"shape": answer.shape, "problem": answer.problem}).encode() + b"\n"


def read_answer(line: bytes, job: DecodeJob) -> Answer:
    """Reads an answer; raises BrokenDecoder for one that does not fit the job, UnreadableImage for a refusal."""
    try:
        message = json.loads(line)
        shape = tuple(int(axis) for axis in message["shape"])
        problem = str(message["problem"])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise BrokenDecoder from error
    if problem:
        raise UnreadableImage(
            f"the {job.header.kind.upper()} cannot be decoded", detected_type=job.header.kind
        ) from None
    if not _is_expected(shape, job):
        raise BrokenDecoder
    return Answer(shape)


def _is_expected(shape: tuple[int, ...], job: DecodeJob) -> bool:
    if any(axis < 0 for axis in shape) or math.prod(shape) > MAX_RESULT_BYTES:
        return False
    if job.landmarks is not None:
        return shape == (len(job.landmarks), CROP_SIZE, CROP_SIZE, 3)
    turned = job.header.orientation >= 5
    height, width = job.header.height, job.header.width
    whole = (width, height, 3) if turned else (height, width, 3)
    return shape == whole if job.form is Form.WHOLE else len(shape) == 3 and shape[2] == 3 and 0 not in shape
