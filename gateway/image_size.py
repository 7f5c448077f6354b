"""An image's type and stored size from its first bytes, so that a bomb is known before it is decoded."""

import re
import struct
from typing import Final

from runtime.errors import UnreadableImage

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_JPEG: Final = b"\xff\xd8\xff"
# SOF0 to SOF15 without DHT, JPG and DAC (ITU-T T.81, table B.1).
_FRAME_MARKERS: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE_MARKERS: Final = frozenset({0x01, *range(0xD0, 0xD9)})
_HEIF: Final = re.compile(rb"....ftyp(hei|hev|mif|msf)", re.DOTALL)
_OTHERS: Final = ((b"GIF8", "gif"), (b"BM", "bmp"), (b"%PDF-", "pdf"), (b"II*\0", "tiff"), (b"MM\0*", "tiff"))


def detect_kind(data: bytes) -> str:
    """Names what the bytes look like: "jpeg", "png", "webp", or what else, as far as the first bytes tell."""
    if data.startswith(_JPEG):
        return "jpeg"
    if data.startswith(_PNG):
        return "png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if _HEIF.match(data):
        return "heic"
    return next((name for magic, name in _OTHERS if data.startswith(magic)), "unknown")


def read_size(data: bytes) -> tuple[str, int, int]:
    """Returns kind ("jpeg", "png", "webp"), width and height in pixels, before any EXIF orientation.

    Raises UnreadableImage for anything else, or when no size is found.
    """
    kind = detect_kind(data)
    try:
        match kind:
            case "png":
                width, height = struct.unpack_from(">II", data, 16)
            case "jpeg":
                width, height = _jpeg_size(data)
            case "webp":
                width, height = _webp_size(data)
            case _:
                raise UnreadableImage("this is no JPEG, PNG or WebP image", detected_type=kind)
    except (struct.error, IndexError) as error:
        raise UnreadableImage("the image is cut off before its size", detected_type=kind) from error
    if not width or not height:
        raise UnreadableImage("the image names no size", detected_type=kind)
    return kind, width, height


def may_be_transparent(data: bytes, kind: str) -> bool:
    """Returns whether a picture of that kind can hold transparency, as far as its header tells."""
    if kind == "png":
        # Colour types 4 and 6 have alpha; others name one transparent colour in a chunk before the pixels.
        return data[25] in (4, 6) or b"tRNS" in data[: data.find(b"IDAT")]
    if kind == "webp":
        return data[12:16] == b"VP8L" or (data[12:16] == b"VP8X" and bool(data[20] & 0x10))
    return False


def _jpeg_size(data: bytes) -> tuple[int, int]:
    position = 2
    while data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # Fill bytes may precede a marker.
            position += 1
        elif marker in _BARE_MARKERS:
            position += 2
        elif marker in _FRAME_MARKERS:
            height, width = struct.unpack_from(">HH", data, position + 5)
            return width, height
        else:
            (length,) = struct.unpack_from(">H", data, position + 2)
            position += 2 + max(length, 2)
    raise UnreadableImage("the JPEG is malformed: a marker is missing", detected_type="jpeg")


def _webp_size(data: bytes) -> tuple[int, int]:
    """RFC 9649, sections 2.5 to 2.7."""
    body = data[20:30]
    match data[12:16]:
        case b"VP8X":
            return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
        case b"VP8L":
            (bits,) = struct.unpack_from("<I", body, 1)
            return 1 + (bits & 0x3FFF), 1 + ((bits >> 14) & 0x3FFF)
        case b"VP8 ":
            width, height = struct.unpack_from("<HH", body, 6)
            return width & 0x3FFF, height & 0x3FFF
        case _:
            raise UnreadableImage("the WebP is malformed: it holds no picture", detected_type="webp")
