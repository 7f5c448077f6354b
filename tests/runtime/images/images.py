"""Images for tests, good and bad, made in memory."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from runtime.images.pixels import Pixels


def picture(width: int = 48, height: int = 32) -> Pixels:
    """Four unlike quarters, (height, width, 3) uint8 BGR: turned the wrong way, every quarter is somewhere else."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = (0, 0, 255)
    image[: height // 2, width // 2 :] = (0, 255, 0)
    image[height // 2 :, : width // 2] = (255, 0, 0)
    image[height // 2 :, width // 2 :] = (255, 255, 255)
    return image


def encoded(image: Pixels, kind: str, *, orientation: int = 1, mode: str = "RGB", **options: Any) -> bytes:
    """Encodes BGR pixels with Pillow, which shares no code with the decoder under test. kind is Pillow's format."""
    pillow = Image.fromarray(np.ascontiguousarray(image[..., ::-1])).convert(mode)
    buffer = io.BytesIO()
    if orientation != 1:
        # One big-endian directory with one entry: tag 0x0112, a SHORT, one value.
        entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
        options["exif"] = b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01" + entry + b"\x00" * 4
    pillow.save(buffer, format=kind, **options)
    return buffer.getvalue()


def stored_as(upright: Pixels, orientation: int) -> Pixels:
    """Turns upright pixels into what a camera stores together with this EXIF orientation."""
    inverse: dict[int, Callable[[Pixels], Any]] = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }
    return np.ascontiguousarray(inverse[orientation](upright))


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of_size(width: int, height: int) -> bytes:
    """A whole PNG that promises this size and holds next to nothing."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(b"\x00" * 64)) + png_chunk(b"IEND", b"")


def jpeg_of_size(width: int, height: int) -> bytes:
    """A small JPEG whose frame header promises this size."""
    data = bytearray(encoded(picture(), "JPEG"))
    frame = data.index(b"\xff\xc0")
    struct.pack_into(">HH", data, frame + 5, height, width)
    return bytes(data)


def webp_of_size(width: int, height: int) -> bytes:
    """A WebP with an extended header that promises this size."""
    extended = b"\x00" * 4 + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunks = b"VP8X" + struct.pack("<I", len(extended)) + extended
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def bad_images() -> dict[str, tuple[bytes, str, str]]:
    """Bytes that must be refused: name → (bytes, reason, detected_type or the unit that is over its limit)."""
    jpeg, png = encoded(picture(), "JPEG"), encoded(picture(), "PNG")
    webp, gif = encoded(picture(), "WEBP"), encoded(picture(), "GIF")
    progressive = encoded(picture(480, 320), "JPEG", progressive=True)
    damaged = bytearray(png)
    damaged[png.index(b"IDAT") + 6] ^= 0xFF
    unreadable = "UNREADABLE_IMAGE"
    return {
        "text named .jpg": (b"this is not a photo\n" * 40, unreadable, "text"),
        "empty": (b"", unreadable, "empty"),
        "one byte": (b"\xff", unreadable, "unknown"),
        "noise": (bytes(range(1, 256)) * 8, unreadable, "unknown"),
        "gif": (gif, unreadable, "gif"),
        "tiff": (encoded(picture(), "TIFF"), unreadable, "tiff"),
        "bmp": (encoded(picture(), "BMP"), unreadable, "bmp"),
        "svg": (b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", unreadable, "svg"),
        "html": (b"<!DOCTYPE html><html></html>", unreadable, "html"),
        "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", unreadable, "pdf"),
        "heic": (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", unreadable, "heic"),
        "avif": (b"\x00\x00\x00\x18ftypavif\x00\x00\x00\x00mif1avif", unreadable, "avif"),
        "jpeg signature alone": (b"\xff\xd8\xff", unreadable, "jpeg"),
        "jpeg cut in its header": (jpeg[:100], unreadable, "jpeg"),
        "jpeg cut in half": (jpeg[: len(jpeg) // 2], unreadable, "jpeg"),
        "jpeg without its last byte": (jpeg[:-1], unreadable, "jpeg"),
        "progressive jpeg cut between scans": (progressive[: len(progressive) * 2 // 3], unreadable, "jpeg"),
        "jpeg of no height": (jpeg_of_size(48, 0), unreadable, "jpeg"),
        "png cut in half": (png[: len(png) // 2], unreadable, "png"),
        "png signature alone": (png[:8], unreadable, "png"),
        "png with a wrong checksum": (bytes(damaged), unreadable, "png"),
        "png of no width": (png_of_size(0, 10), unreadable, "png"),
        "png that holds too little": (png_of_size(400, 400), unreadable, "png"),
        "webp cut in half": (webp[: len(webp) // 2], unreadable, "webp"),
        "webp header alone": (webp[:12], unreadable, "webp"),
        "webp of nothing but a header": (webp_of_size(100, 100), unreadable, "webp"),
        "30,000 x 30,000 jpeg": (jpeg_of_size(30_000, 30_000), "IMAGE_TOO_LARGE", "pixels"),
        "30,000 x 30,000 jpeg, cut": (jpeg_of_size(30_000, 30_000)[:-40], "IMAGE_TOO_LARGE", "pixels"),
        "30,000 x 30,000 png": (png_of_size(30_000, 30_000), "IMAGE_TOO_LARGE", "pixels"),
        "30,000 x 30,000 png, header alone": (png_of_size(30_000, 30_000)[:33], "IMAGE_TOO_LARGE", "pixels"),
        "30,000 x 30,000 webp": (webp_of_size(30_000, 30_000), "IMAGE_TOO_LARGE", "pixels"),
        "25 MiB": (jpeg + b"\x00" * (25 * 2**20), "IMAGE_TOO_LARGE", "bytes"),
    }
