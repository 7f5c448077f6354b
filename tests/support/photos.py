"""Test photographs in the forms that people's devices give them."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

EXIF_ORIENTATION = 0x0112
# What must be done to an upright image so that a viewer who honours the tag sees it upright again.
UNDO_ORIENTATION = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def phone_jpeg(photo: Path, *, orientation: int, size: tuple[int, int] = (3024, 4032)) -> bytes:
    """Returns the photo on a 12-megapixel upright page, stored turned as a phone's sensor does, with its EXIF tag."""
    with Image.open(photo) as source:
        portrait = source.convert("RGB")
    page = Image.new("RGB", size, (96, 104, 112))
    scale = min(size[0] / portrait.width, size[1] / portrait.height) * 0.8
    portrait = portrait.resize(
        (round(portrait.width * scale), round(portrait.height * scale)), Image.Resampling.LANCZOS
    )
    page.paste(portrait, ((size[0] - portrait.width) // 2, (size[1] - portrait.height) // 2))
    undo = UNDO_ORIENTATION[orientation]
    stored = page if undo is None else page.transpose(undo)
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    return encoded(stored, "JPEG", quality=90, exif=exif)


def converted(photo: Path, form: str) -> bytes:
    """Returns the photo's pixels as another kind of file: "JPEG", "PNG" or "WEBP"."""
    with Image.open(photo) as source:
        return encoded(source.convert("RGB"), form, quality=92)


def no_face_jpeg() -> bytes:
    """Returns a smooth gradient: a picture of nobody."""
    ramp = np.linspace(40, 200, 640, dtype=np.uint8)
    pixels = np.broadcast_to(ramp, (480, 640))
    return encoded(Image.fromarray(np.ascontiguousarray(pixels)).convert("RGB"), "JPEG", quality=90)


def huge_header_png() -> bytes:
    """Returns a small PNG whose header claims 30,000 × 30,000 pixels."""
    small = encoded(Image.new("RGB", (8, 8)), "PNG")
    header = struct.pack(">II", 30_000, 30_000) + small[24:29]
    chunk = b"IHDR" + header
    return small[:12] + chunk + struct.pack(">I", zlib.crc32(chunk)) + small[33:]


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    """Returns the image as the bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()
