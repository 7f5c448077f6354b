"""Files of other formats, whatever they are called, and files that are two things at once."""

import gzip
import io
import random
import zipfile
from collections.abc import Iterator

from PIL import Image

from tests.support.corpus.file import OK, UNREADABLE, CorpusFile, entry
from tests.support.corpus.people import People
from tests.support.photos import encoded

_PDF = b"%PDF-1.7\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n"
_SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"><image href="file:///etc/passwd"/></svg>'


def other_images(people: People) -> Iterator[CorpusFile]:
    """Whole pictures with a face, of formats that are not read."""
    forms = {"GIF": "gif", "TIFF": "tiff", "BMP": "bmp", "ICO": "ico", "PPM": "ppm", "TGA": "tga", "AVIF": "avif"}
    for form, ending in (*forms.items(), ("JPEG2000", "jp2")):
        image = people.newton.resize((256, 144)) if form == "ICO" else people.newton
        yield entry(f"newton.{ending}", ending.upper(), encoded(image, form), UNREADABLE)
    frames = [people.newton.transpose(Image.Transpose.FLIP_LEFT_RIGHT)] * 3
    animated = encoded(people.newton, "GIF", save_all=True, append_images=frames, duration=100)
    yield entry("animated.gif", "GIF", animated, UNREADABLE)
    yield entry("deflated.tiff", "TIFF", encoded(people.newton, "TIFF", compression="tiff_deflate"), UNREADABLE)
    yield entry("jpeg-inside.tiff", "TIFF", encoded(people.newton, "TIFF", compression="jpeg"), UNREADABLE)


def other_containers(_people: People) -> Iterator[CorpusFile]:
    heic = b"\x00\x00\x00\x1cftypheic\x00\x00\x00\x00mif1heicmiaf" + bytes(2_000)
    yield entry("phone.heic", "HEIC", heic, UNREADABLE)
    yield entry("sequence.heic", "HEIC", heic.replace(b"ftypheic", b"ftypmsf1"), UNREADABLE)
    yield entry("video.mp4", "video", b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00isommp42" + bytes(2_000), UNREADABLE)
    yield entry("jxl-codestream.jxl", "JPEG XL", b"\xff\x0a" + bytes(2_000), UNREADABLE)
    yield entry("jxl-container.jxl", "JPEG XL", b"\x00\x00\x00\x0cJXL \x0d\x0a\x87\x0a" + bytes(2_000), UNREADABLE)
    yield entry("psd.psd", "PSD", b"8BPS\x00\x01" + bytes(2_000), UNREADABLE)
    yield entry("sound.webp", "video", b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(60), UNREADABLE)
    yield entry("page.pdf", "PDF", _PDF + b"%%EOF", UNREADABLE)
    yield entry("photo.svg", "SVG", _SVG, UNREADABLE)
    entities = b'<!DOCTYPE svg [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>'
    yield entry("billion-laughs.svg", "SVG", b"<?xml version='1.0'?>" + entities + _SVG, UNREADABLE)


def no_images(_people: People) -> Iterator[CorpusFile]:
    noise = random.Random(19)
    yield entry("empty.jpg", "empty", b"", UNREADABLE)
    for value in (0x00, 0x89, 0xFF):
        yield entry(f"one-byte-{value:02x}.jpg", "one byte", bytes([value]), UNREADABLE)
    yield entry("random.jpg", "random bytes", noise.randbytes(100_000), UNREADABLE)
    yield entry("zeros.jpg", "random bytes", bytes(100_000), UNREADABLE)
    signatures = {"jpg": b"\xff\xd8\xff\xe0", "png": b"\x89PNG\r\n\x1a\n", "webp": b"RIFF\x00\x10\x00\x00WEBPVP8 "}
    for ending, signature in signatures.items():
        yield entry(f"signature-alone.{ending}", "signature alone", signature, UNREADABLE)
        yield entry(
            f"signature-then-random.{ending}", "signature alone", signature + noise.randbytes(50_000), UNREADABLE
        )
    yield entry("text.jpg", "text", "No photo, but “text”.\n".encode() * 300, UNREADABLE)
    yield entry("text-utf16.jpg", "text", "No photo.\n".encode("utf-16") * 300, UNREADABLE)
    yield entry("page.html", "text", b"<!DOCTYPE html><html><body>404</body></html>", UNREADABLE)
    yield entry("photo.zip", "archive", _archive(b"x" * 5_000), UNREADABLE)
    yield entry("photo.gz", "archive", gzip.compress(bytes(5_000_000), mtime=0), UNREADABLE)


def polyglots(people: People) -> Iterator[CorpusFile]:
    kind = "polyglot"
    jpeg, png = encoded(people.newton, "JPEG", quality=90), encoded(people.newton, "PNG")
    yield entry("jpeg-then-zip.jpg", kind, jpeg + _archive(jpeg), OK)
    yield entry("png-then-zip.png", kind, png + _archive(png), OK)
    yield entry("png-then-jpeg.png", kind, png + jpeg, OK)
    yield entry("jpeg-then-png.jpg", kind, jpeg + png, OK)
    yield entry("pdf-then-jpeg.jpg", kind, _PDF + jpeg, UNREADABLE)
    yield entry("gif-header-then-jpeg.jpg", kind, b"GIF89a" + jpeg, UNREADABLE)
    yield entry("bmp-header-then-png.png", kind, b"BM" + png, UNREADABLE)
    yield entry("blank-then-jpeg.jpg", kind, b"\n" + jpeg, UNREADABLE)
    yield entry("jpeg-in-riff.webp", kind, b"RIFF" + len(jpeg).to_bytes(4, "little") + b"WEBP" + jpeg, UNREADABLE)


def _archive(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("photo.jpg"), content)
    return buffer.getvalue()
