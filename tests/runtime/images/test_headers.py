"""read_header: what it tells of an image, and what it refuses that no decoder should see."""

import io
import struct
import zlib
from typing import Any

import pytest
from PIL import Image

from runtime.errors import ImageTooLarge, UnreadableImage
from runtime.images.headers import ImageHeader, read_header
from runtime.images.jpeg_header import MAX_SCANS
from runtime.images.png_header import pixels_only
from tests.runtime.images.images import encoded, picture, png_chunk

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PIXELS = png_chunk(b"IDAT", zlib.compress(b"\x00" * 64)) + png_chunk(b"IEND", b"")


def header_of(data: bytes) -> ImageHeader:
    return read_header(data, lambda width, height: None)


def ihdr(depth: int, color_type: int, *, coding: bytes = b"\x00\x00\x00") -> bytes:
    return png_chunk(b"IHDR", struct.pack(">IIBB", 4, 4, depth, color_type) + coding)


def reframed(jpeg: bytes, marker: int = 0xC0, *, bits: int = 8, components: int = 3) -> bytes:
    """The JPEG with another kind of frame header, of the same length."""
    data = bytearray(jpeg)
    frame = data.index(b"\xff\xc0")
    data[frame + 1], data[frame + 4], data[frame + 9] = marker, bits, components
    return bytes(data)


def with_scans(jpeg: bytes, count: int) -> bytes:
    """The JPEG with its last scan so many times more."""
    last = jpeg.rindex(b"\xff\xda")
    return jpeg[:-2] + jpeg[last:-2] * count + b"\xff\xd9"


@pytest.mark.parametrize(
    ("kind", "options", "components", "bits", "progressive"),
    [
        ("JPEG", {}, 3, 8, False),
        ("JPEG", {"progressive": True}, 3, 8, True),
        ("JPEG", {"mode": "L"}, 1, 8, False),
        ("JPEG", {"mode": "CMYK"}, 4, 8, False),
        ("PNG", {}, 3, 8, False),
        ("PNG", {"mode": "L"}, 1, 8, False),
        ("PNG", {"mode": "1"}, 1, 1, False),
        ("PNG", {"mode": "LA"}, 2, 8, False),
        ("PNG", {"mode": "RGBA"}, 4, 8, False),
        ("PNG", {"mode": "P"}, 3, 8, False),
        ("WEBP", {}, 3, 8, False),
    ],
)
def test_header_tells_what_a_pixel_consists_of(
    kind: str, options: dict[str, Any], components: int, bits: int, progressive: bool
) -> None:
    image = picture()
    image[0, 0] = 1
    header = header_of(encoded(image, kind, **options))
    assert (header.components, header.bits, header.progressive) == (components, bits, progressive)


def test_sixteen_bits_and_a_webp_with_alpha_are_told() -> None:
    assert header_of(SIGNATURE + ihdr(16, 4) + PIXELS).bits == 16
    buffer = io.BytesIO()
    Image.new("RGBA", (8, 8)).save(buffer, "WEBP")
    assert header_of(buffer.getvalue()).components == 4


def test_interlaced_png_is_progressive() -> None:
    assert header_of(SIGNATURE + ihdr(8, 2, coding=b"\x00\x00\x01") + PIXELS).progressive


@pytest.mark.parametrize("marker", sorted(set(range(0xC3, 0xD0)) - {0xC4, 0xC8, 0xCC}))
def test_jpeg_of_a_kind_that_no_browser_reads_is_refused(marker: int) -> None:
    with pytest.raises(UnreadableImage, match="lossless, hierarchical or arithmetic-coded"):
        header_of(reframed(encoded(picture(), "JPEG"), marker))


@pytest.mark.parametrize("bits", [0, 2, 12, 16])
def test_jpeg_of_other_than_eight_bits_is_refused(bits: int) -> None:
    with pytest.raises(UnreadableImage, match="bits a sample"):
        header_of(reframed(encoded(picture(), "JPEG"), 0xC1, bits=bits))


@pytest.mark.parametrize("components", [0, 1, 2, 4, 255])
def test_jpeg_whose_components_do_not_fit_its_frame_header_is_refused(components: int) -> None:
    with pytest.raises(UnreadableImage, match="colors"):
        header_of(reframed(encoded(picture(), "JPEG"), components=components))


def test_jpeg_of_too_many_scans_is_refused() -> None:
    jpeg = encoded(picture(), "JPEG", progressive=True)
    own = jpeg.count(b"\xff\xda")
    assert header_of(with_scans(jpeg, MAX_SCANS - own)).width == 48
    with pytest.raises(UnreadableImage, match="scans"):
        header_of(with_scans(jpeg, MAX_SCANS - own + 1))


def test_large_jpeg_is_allowed_fewer_scans() -> None:
    buffer = io.BytesIO()
    Image.new("L", (7000, 7000)).save(buffer, "JPEG", progressive=True)
    jpeg = buffer.getvalue()
    assert header_of(jpeg).width == 7000
    with pytest.raises(UnreadableImage, match="scans"):
        header_of(with_scans(jpeg, 20))


def test_sequential_jpeg_in_several_scans_is_held_as_a_whole_as_well() -> None:
    jpeg = encoded(picture(), "JPEG")
    assert not header_of(jpeg).progressive
    scan = jpeg.index(b"\xff\xda")
    assert jpeg[scan : scan + 5] == b"\xff\xda\x00\x0c\x03"
    assert header_of(jpeg[:scan] + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + jpeg[scan + 14 :]).progressive


def test_jpeg_of_two_frames_or_of_none_is_refused() -> None:
    jpeg = encoded(picture(), "JPEG")
    start = jpeg.index(b"\xff\xc0")
    frame = jpeg[start : start + 19]
    with pytest.raises(UnreadableImage, match="two frames"):
        header_of(jpeg.replace(frame, frame * 2))
    with pytest.raises(UnreadableImage, match="before its frame"):
        header_of(jpeg.replace(frame, b""))
    with pytest.raises(UnreadableImage, match="no picture"):
        header_of(jpeg[: jpeg.index(b"\xff\xda")] + b"\xff\xd9")


@pytest.mark.parametrize(("depth", "color_type"), [(0, 0), (3, 0), (4, 2), (16, 3), (1, 4), (2, 6), (8, 1), (8, 7)])
def test_png_of_colors_that_do_not_exist_is_refused(depth: int, color_type: int) -> None:
    with pytest.raises(UnreadableImage, match="no colors that exist"):
        header_of(SIGNATURE + ihdr(depth, color_type) + PIXELS)


@pytest.mark.parametrize("coding", [b"\x01\x00\x00", b"\x00\x01\x00", b"\x00\x00\x02"])
def test_png_of_a_coding_that_does_not_exist_is_refused(coding: bytes) -> None:
    with pytest.raises(UnreadableImage, match="no coding that exists"):
        header_of(SIGNATURE + ihdr(8, 2, coding=coding) + PIXELS)


def test_png_that_needs_a_palette_and_has_none_in_time_is_refused() -> None:
    palette = png_chunk(b"PLTE", bytes(6))
    assert header_of(SIGNATURE + ihdr(8, 3) + palette + PIXELS).components == 3
    for data in (PIXELS, PIXELS[:-12] + palette + PIXELS[-12:]):
        with pytest.raises(UnreadableImage, match="palette is missing"):
            header_of(SIGNATURE + ihdr(8, 3) + data)


@pytest.mark.parametrize("second", [b"", b"\x00" * 5, b"\x00" * 13])
def test_png_with_a_second_header_is_refused_whatever_it_holds(second: bytes) -> None:
    with pytest.raises(UnreadableImage, match="two headers"):
        header_of(SIGNATURE + ihdr(8, 2) + png_chunk(b"IHDR", second) + PIXELS)


def test_webp_whose_size_comes_late_is_checked_as_well() -> None:
    webp = encoded(picture(), "WEBP", lossless=True)
    junk = b"JUNK" + struct.pack("<I", 4) + b"\x00" * 4
    late = b"RIFF" + struct.pack("<I", len(webp) - 8 + len(junk)) + b"WEBP" + junk + webp[12:]

    def check_size(width: int, height: int) -> None:
        raise ImageTooLarge(limit=1, actual=width * height, unit="pixels")

    with pytest.raises(ImageTooLarge):
        read_header(late, check_size)


def test_png_keeps_its_pixels_and_its_transparency_without_what_stands_beside_them() -> None:
    image = picture()
    image[0, 0] = 1
    plain = encoded(image, "PNG", mode="P", transparency=0)
    beside = png_chunk(b"zTXt", b"Comment\x00\x00" + zlib.compress(bytes(2**20))) + png_chunk(b"iCCP", b"garbage")
    beside += png_chunk(b"acTL", b"")
    header_end = len(SIGNATURE) + 25
    assert pixels_only(plain[:header_end] + beside + plain[header_end:] + b"a trailer") == plain
    critical = png_chunk(b"ABCD", b"?")
    assert critical in pixels_only(plain[:header_end] + critical + plain[header_end:])


@pytest.mark.parametrize("filler", [b"\xff\xd0", b"\xff\xe2\x00\x02"], ids=["bare markers", "empty segments"])
def test_jpeg_of_a_million_segments_is_refused_early(filler: bytes) -> None:
    whole = encoded(picture(), "JPEG")
    with pytest.raises(UnreadableImage, match="too many segments"):
        read_header(whole[:2] + filler * 1_000_000 + whole[2:], lambda width, height: None)


def test_fill_before_a_marker_is_skipped() -> None:
    whole = encoded(picture(), "JPEG")
    assert read_header(whole[:2] + b"\xff" * 1_000_000 + whole[2:], lambda width, height: None).width == 48
