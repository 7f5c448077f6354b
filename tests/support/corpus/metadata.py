"""What stands beside the pixels: EXIF, profiles and comments, large, looping or wrong."""

import random
import struct
from collections.abc import Iterator

from PIL import ImageCms

from tests.support.corpus.bytes_of import jpeg_segment, jpeg_with, png_with
from tests.support.corpus.file import OK, CorpusFile, entry
from tests.support.corpus.people import People
from tests.support.photos import encoded

_APP1, _APP2, _COMMENT = 0xE1, 0xE2, 0xFE
_EXIF = b"Exif\x00\x00"
_LARGEST = 65_533
"""Bytes of a JPEG segment's body at the most."""


def _directory(*tags: tuple[int, int, int, int], following: int = 0) -> bytes:
    """Returns a big-endian TIFF with one directory of (tag, type, count, value)."""
    entries = b"".join(struct.pack(">HHII", *tag) for tag in tags)
    return b"MM\x00*\x00\x00\x00\x08" + struct.pack(">H", len(tags)) + entries + struct.pack(">I", following)


def exif(people: People) -> Iterator[CorpusFile]:
    """All of them are upright photos, whatever their EXIF says: none of it names an orientation that exists."""
    kind = "odd EXIF"
    noise = random.Random(11)
    blocks = {
        "garbage": noise.randbytes(4_000),
        "empty": b"",
        "cut-in-its-header": b"MM\x00*",
        "directory-beyond-its-end": b"MM\x00*\x7f\xff\xff\xff",
        "directory-before-its-start": b"II*\x00\xff\xff\xff\xff",
        "wrong-magic": b"MM\x00+\x00\x00\x00\x08" + bytes(40),
        "next-directory-is-itself": _directory((0x010F, 2, 4, 0), following=8),
        "sub-directory-is-itself": _directory((0x8769, 4, 1, 8), (0x8825, 4, 1, 8), (0xA005, 4, 1, 8)),
        "count-of-4-billion": _directory((0x010F, 2, 2**32 - 1, 8), (0x0112, 3, 2**32 - 1, 0x00060000)),
        "offset-of-4-billion": _directory((0x010F, 2, 40, 2**32 - 1), (0x829A, 5, 1, 2**32 - 4)),
        "65535-tags": b"MM\x00*\x00\x00\x00\x08\xff\xff" + bytes(1_000),
        "orientation-0": _directory((0x0112, 3, 1, 0)),
        "orientation-9": _directory((0x0112, 3, 1, 0x00090000)),
        "orientation-65535": _directory((0x0112, 3, 1, 0xFFFF0000)),
        "orientation-as-text": _directory((0x0112, 2, 1, 0x00060000)),
    }
    jpeg, png = encoded(people.gauss, "JPEG"), encoded(people.gauss, "PNG")
    for name, block in blocks.items():
        yield entry(f"exif-{name}.jpg", kind, jpeg_with(jpeg, jpeg_segment(_APP1, _EXIF + block)), OK)
    for name in ("garbage", "next-directory-is-itself", "65535-tags"):
        yield entry(f"exif-{name}.png", kind, png_with(png, b"eXIf", blocks[name]), OK)


def huge_exif(people: People) -> Iterator[CorpusFile]:
    kind = "huge EXIF"
    noise = random.Random(13)
    jpeg = encoded(people.gauss, "JPEG")
    first = jpeg_segment(_APP1, (_EXIF + _directory((0x0112, 3, 1, 0x00010000))).ljust(_LARGEST, b"\x00"))
    more = [jpeg_segment(_APP1, _EXIF + noise.randbytes(_LARGEST - len(_EXIF))) for _ in range(80)]
    yield entry("exif-of-5-megabytes.jpg", kind, jpeg_with(jpeg, first, *more), OK)
    packet = b"http://ns.adobe.com/xmp/extension/\x00" + b"<x:xmpmeta>" * 5_000
    yield entry("xmp-of-5-megabytes.jpg", kind, jpeg_with(jpeg, *[jpeg_segment(_APP1, packet)] * 90), OK)
    tags = [(0x9000 + place, 3, 1, 0) for place in range(5_000)]
    yield entry("exif-of-5000-tags.jpg", kind, jpeg_with(jpeg, jpeg_segment(_APP1, _EXIF + _directory(*tags))), OK)
    png = encoded(people.gauss, "PNG")
    yield entry("exif-of-5-megabytes.png", kind, png_with(png, b"eXIf", noise.randbytes(5_000_000)), OK)


def profiles(people: People) -> Iterator[CorpusFile]:
    kind = "ICC profile"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for form, ending in (("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp")):
        yield entry(f"profile.{ending}", kind, encoded(people.gauss, form, icc_profile=profile), OK)
    jpeg = encoded(people.gauss, "JPEG")
    garbage = b"ICC_PROFILE\x00\x07\x03" + random.Random(17).randbytes(60_000)
    yield entry("profile-garbage.jpg", kind, jpeg_with(jpeg, *[jpeg_segment(_APP2, garbage)] * 20), OK)


def comments(people: People) -> Iterator[CorpusFile]:
    kind = "comment"
    jpeg = encoded(people.gauss, "JPEG")
    html = b"<html><script>alert(1)</script><!--"
    yield entry("html-comment.jpg", "polyglot", jpeg_with(jpeg, jpeg_segment(_COMMENT, html)), OK)
    yield entry("comment-with-an-end.jpg", kind, jpeg_with(jpeg, jpeg_segment(_COMMENT, b"\xff\xd9\xff\xda")), OK)
    yield entry("comment-empty.jpg", kind, jpeg_with(jpeg, jpeg_segment(_COMMENT, b"")), OK)
    text = b"Comment\x00<?php system($_GET['c']); ?>"
    yield entry("php-comment.png", "polyglot", png_with(encoded(people.gauss, "PNG"), b"tEXt", text), OK)
