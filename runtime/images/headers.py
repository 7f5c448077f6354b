"""What an image's first bytes say: its type, its size and its orientation, before any pixel is decoded."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from runtime.errors import UnreadableImage
from runtime.images import jpeg_header, png_header, webp_header

_OTHER_TYPES: Final[tuple[tuple[int, bytes, str], ...]] = (
    # Offset, magic bytes, the name that goes into detected_type. Recognised only to say what the file is.
    (0, b"GIF87a", "gif"),
    (0, b"GIF89a", "gif"),
    (0, b"II*\x00", "tiff"),
    (0, b"MM\x00*", "tiff"),
    (0, b"II+\x00", "tiff"),
    (0, b"MM\x00+", "tiff"),
    (0, b"%PDF-", "pdf"),
    (0, b"BM", "bmp"),
    (0, b"8BPS", "psd"),
    (0, b"\x00\x00\x00\x0cjP  ", "jpeg2000"),
    (0, b"\xff\x4f\xff\x51", "jpeg2000"),
    (0, b"\xff\x0a", "jpeg-xl"),
    (0, b"\x00\x00\x00\x0cJXL ", "jpeg-xl"),
    (0, b"\x00\x00\x01\x00", "ico"),
    (0, b"PK\x03\x04", "zip"),
    (0, b"\x1f\x8b", "gzip"),
)
_HEIF_BRANDS: Final = frozenset({b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"})
_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_TEXT_PROBE_BYTES: Final = 1024
_COLORS: Final = 3
"""Channels of a decoded picture, whatever was stored."""


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What the header promises. width and height are pixels as stored, before the orientation is applied.

    kind is "jpeg", "png" or "webp"; orientation is EXIF's, 1 to 8. components is how many samples of so many bits a
    pixel has, a palette's colors looked up; progressive is a JPEG in several scans or an interlaced PNG, of which a
    decoder holds the whole before the first row is done. decoded_bytes is what decoding holds at its height, as
    measured with OpenCV 5 and libjpeg-turbo.
    """

    kind: str
    width: int
    height: int
    orientation: int
    has_alpha: bool
    components: int
    bits: int
    progressive: bool
    decoded_bytes: int


def detect_type(data: bytes) -> str:
    """Names what the bytes look like: "jpeg", "png", "webp", or what else it is, as far as its magic bytes tell."""
    if not data:
        return "empty"
    if data.startswith(jpeg_header.SIGNATURE):
        return "jpeg"
    if data.startswith(png_header.SIGNATURE):
        return "png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[4:8] == b"ftyp":
        if data[8:12] in _HEIF_BRANDS:
            return "heic"
        return "avif" if data[8:12] in _AVIF_BRANDS else "mp4"
    for offset, magic, name in _OTHER_TYPES:
        if data.startswith(magic, offset):
            return name
    return _text_type(data[:_TEXT_PROBE_BYTES])


def _text_type(start: bytes) -> str:
    if b"\x00" in start:
        return "unknown"
    try:
        text = start.decode("utf-8")
    except UnicodeDecodeError as error:
        # A full probe may end in the middle of a character, and only there.
        if len(start) < _TEXT_PROBE_BYTES or error.start < len(start) - 3:
            return "unknown"
        text = start[: error.start].decode("utf-8")
    lowered = text.lower()
    if "<svg" in lowered:
        return "svg"
    return "html" if "<html" in lowered or "<!doctype html" in lowered else "text"


def read_header(data: bytes, check_size: Callable[[int, int], None]) -> ImageHeader:
    """Reads the header and walks the container to its end, so that a cut file is known before it is decoded.

    check_size(width, height) is called as soon as the size is known, and stops the reading by raising. Raises
    UnreadableImage, with detected_type, for anything but a whole JPEG, PNG or WebP.
    """
    kind = detect_type(data)
    if kind == "jpeg":
        jpeg = jpeg_header.read(data, check_size)
        pixels = jpeg.width * jpeg.height
        coefficients = 2 * jpeg.coefficient_count if jpeg.progressive else 0
        return ImageHeader(
            kind,
            jpeg.width,
            jpeg.height,
            jpeg.orientation,
            False,
            jpeg.components,
            jpeg.bits,
            jpeg.progressive,
            decoded_bytes=_COLORS * pixels + coefficients,
        )
    if kind == "png":
        png = png_header.read(data, check_size)
        channels = _COLORS + 1 if png.has_alpha else _COLORS
        return ImageHeader(
            kind,
            png.width,
            png.height,
            png.orientation,
            png.has_alpha,
            png.components,
            png.bits,
            png.interlaced,
            # The decoder's own picture, and OpenCV's copy of it.
            decoded_bytes=2 * png.width * png.height * channels * -(-png.bits // 8),
        )
    if kind == "webp":
        webp = webp_header.read(data, check_size)
        components = _COLORS + 1 if webp.has_alpha else _COLORS
        # As for PNG; an animation has a canvas and a frame with alpha beside them.
        copies = 4 if webp.is_animated else 2
        return ImageHeader(
            kind,
            webp.width,
            webp.height,
            webp.orientation,
            webp.has_alpha,
            components,
            8,
            False,
            decoded_bytes=copies * webp.width * webp.height * components,
        )
    if kind == "empty":
        raise UnreadableImage("the image is empty", detected_type=kind)
    raise UnreadableImage(f"JPEG, PNG and WebP images are read; this is something else ({kind})", detected_type=kind)
