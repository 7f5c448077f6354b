"""What a decoder is asked for: every pixel, a small picture to look for faces in, or faces cut out of every pixel."""

from dataclasses import dataclass
from enum import IntEnum, auto
from typing import Final

import numpy as np

from embedder.align import CROP_SIZE, align
from embedder.faces import Floats, Pixels
from runtime.images.decode import decode_small, decode_whole
from runtime.images.headers import ImageHeader

SMALL_LONG_SIDE: Final = 1280
"""A small picture's longer side is at least this: twice what the detector looks at."""

MAX_WHOLE_PIXELS: Final = 16_000_000
"""Whole images of up to so many pixels are handed over; of larger ones the small picture and the faces are."""

LARGE_BYTES: Final = 100_000_000
"""Images that take more than this to decode are decoded one at a time, so that few processes need much memory."""

MAX_CROPS: Final = 1_000
"""Faces cut out in one job: 38 MB of crops, as much as the memory for a whole image takes."""


class Form(IntEnum):
    """What is wanted of an image."""

    WHOLE = auto()
    SMALL = auto()
    CROPS = auto()


@dataclass(frozen=True, slots=True)
class DecodeJob:
    """One image, its header checked.

    landmarks (n, 5, 2) float32, pixels of the upright image, for CROPS alone, at most MAX_CROPS of them.
    """

    data: bytes
    header: ImageHeader
    form: Form
    landmarks: Floats | None = None


def is_whole(header: ImageHeader) -> bool:
    """True for an image that is handed over whole."""
    return header.width * header.height <= MAX_WHOLE_PIXELS


def is_large(job: DecodeJob) -> bool:
    """True for a job beside which no other such job may run. A JPEG made small while it is decoded needs little."""
    reduced = job.form is Form.SMALL and job.header.kind == "jpeg" and not job.header.progressive
    return job.header.decoded_bytes > LARGE_BYTES and not reduced


def perform(job: DecodeJob) -> Pixels:
    """Does the job in this process.

    Returns (H, W, 3) uint8 BGR, upright; for CROPS (n, 112, 112, 3), warped from every pixel of the image. Raises
    UnreadableImage.
    """
    if job.form is Form.SMALL:
        return decode_small(job.data, job.header, SMALL_LONG_SIDE)
    image = decode_whole(job.data, job.header)
    if job.landmarks is None:
        return image
    crops = [align(image, points) for points in job.landmarks]
    return np.stack(crops) if crops else np.zeros((0, CROP_SIZE, CROP_SIZE, 3), np.uint8)
