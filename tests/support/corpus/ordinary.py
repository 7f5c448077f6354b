"""Files as cameras, phones and programs write them: every one must be read."""

from collections.abc import Iterator

import numpy as np
from PIL import Image

from tests.support.corpus.bytes_of import idat, ihdr, png, png_with
from tests.support.corpus.file import NO_FACE, OK, CorpusFile, entry
from tests.support.corpus.people import People
from tests.support.photos import EXIF_ORIENTATION, UNDO_ORIENTATION, encoded

# The sampling factors of the luminance beside 1×1 chrominance, as Pillow names them.
_SUBSAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")


def baseline_jpegs(people: People) -> Iterator[CorpusFile]:
    kind = "baseline JPEG"
    for subsampling in _SUBSAMPLINGS:
        yield entry(
            f"{subsampling.replace(':', '')}.jpg",
            kind,
            encoded(people.gauss, "JPEG", quality=90, subsampling=subsampling),
            OK,
        )
    yield entry("quality-10.jpg", kind, encoded(people.gauss, "JPEG", quality=10), OK)
    yield entry("quality-100.jpg", kind, encoded(people.gauss, "JPEG", quality=100), OK)
    yield entry("gray.jpg", kind, encoded(people.gauss.convert("L"), "JPEG"), OK)
    yield entry("rgb-unconverted.jpg", kind, encoded(people.gauss, "JPEG", keep_rgb=True), OK)
    yield entry("odd-size.jpg", kind, encoded(people.gauss.resize((511, 651)), "JPEG"), OK)
    yield entry("crowd.jpg", kind, people.crowd_jpeg, OK)
    yield entry("12-megapixels.jpg", kind, encoded(people.on_page(4032, 3024), "JPEG", quality=85), OK)
    yield entry("48-megapixels.jpg", kind, encoded(people.on_page(8064, 6048), "JPEG", quality=85), OK)
    yield entry("restart-markers.jpg", kind, encoded(people.gauss, "JPEG", restart_marker_blocks=1), OK)


def progressive_jpegs(people: People) -> Iterator[CorpusFile]:
    kind = "progressive JPEG"
    yield entry("progressive.jpg", kind, encoded(people.gauss, "JPEG", progressive=True, quality=90), OK)
    yield entry("progressive-gray.jpg", kind, encoded(people.gauss.convert("L"), "JPEG", progressive=True), OK)
    yield entry("progressive-444.jpg", kind, encoded(people.gauss, "JPEG", progressive=True, subsampling=0), OK)
    large = people.on_page(6000, 4000)
    yield entry("progressive-24-megapixels.jpg", kind, encoded(large, "JPEG", progressive=True, quality=85), OK)


def four_color_jpegs(people: People) -> Iterator[CorpusFile]:
    cmyk = people.gauss.convert("CMYK")
    yield entry("cmyk.jpg", "CMYK JPEG", encoded(cmyk, "JPEG", quality=92), OK)
    yield entry("cmyk-progressive.jpg", "CMYK JPEG", encoded(cmyk, "JPEG", quality=92, progressive=True), OK)
    yield entry("ycck.jpg", "YCCK JPEG", _ycck(people.gauss), OK)


def _ycck(image: Image.Image) -> bytes:
    """Pillow writes CMYK as it is; so it is given what YCCK would hold, and the Adobe segment is told so.

    The planes are the negative's luminance and chrominance, with no black; Pillow inverts all four as it writes.
    """
    negative = Image.eval(image, lambda value: 255 - value).convert("YCbCr")
    planes = [Image.eval(plane, lambda value: 255 - value) for plane in negative.split()]
    data = encoded(Image.merge("CMYK", [*planes, Image.new("L", image.size, 0)]), "JPEG", quality=92)
    transform = data.index(b"Adobe") + 11
    assert data[transform] == 0
    return data[:transform] + b"\x02" + data[transform + 1 :]


def png_colors(people: People) -> Iterator[CorpusFile]:
    kind = "PNG colors"
    gauss, gray = people.gauss, people.gauss.convert("L")
    fading = np.linspace(255, 128, gauss.height, dtype=np.uint8)[:, None].repeat(gauss.width, axis=1)
    translucent = gauss.copy()
    translucent.putalpha(Image.fromarray(fading))
    yield entry("rgb.png", kind, encoded(gauss, "PNG"), OK)
    yield entry("rgba.png", kind, encoded(translucent, "PNG"), OK)
    yield entry("gray.png", kind, encoded(gray, "PNG"), OK)
    yield entry("gray-alpha.png", kind, encoded(translucent.convert("LA"), "PNG"), OK)
    yield entry("palette.png", "palette PNG", encoded(gauss.quantize(256), "PNG"), OK)
    yield entry("palette-16-colors.png", "palette PNG", encoded(gauss.quantize(16), "PNG", bits=4), OK)
    yield entry("palette-transparent.png", "palette PNG", encoded(gauss.quantize(255), "PNG", transparency=0), OK)
    yield entry("one-bit.png", kind, encoded(gauss.convert("1"), "PNG"), OK, NO_FACE)
    yield entry("invisible.png", kind, encoded(Image.new("RGBA", (400, 400), (0, 0, 0, 0)), "PNG"), NO_FACE)
    yield entry("color-key.png", kind, png_with(encoded(gauss, "PNG"), b"tRNS", bytes(6)), OK)


def sixteen_bit_pngs(people: People) -> Iterator[CorpusFile]:
    kind = "16-bit PNG"
    rgb = np.asarray(people.gauss).astype(">u2") * 257
    gray = np.asarray(people.gauss.convert("L")).astype(">u2")[..., None] * 257
    opaque = np.full_like(gray, 65_535)
    planes = {
        "gray": (0, gray),
        "rgb": (2, rgb),
        "gray-alpha": (4, np.concatenate([gray, opaque], axis=2)),
        "rgba": (6, np.concatenate([rgb, opaque], axis=2)),
    }
    for name, (color_type, pixels) in planes.items():
        rows = b"".join(b"\x00" + row.astype(">u2").tobytes() for row in pixels)
        header = ihdr(people.gauss.width, people.gauss.height, 16, color_type)
        yield entry(f"{name}-16-bit.png", kind, png(header, idat(rows)), OK)


def interlaced_pngs(people: People) -> Iterator[CorpusFile]:
    """Adam7, which Pillow does not write: W3C PNG, section 8."""
    for name, image, color_type in (("rgb", people.gauss, 2), ("gray", people.gauss.convert("L"), 0)):
        pixels = np.asarray(image)
        passes = [pixels[y::down, x::right] for x, y, right, down in _ADAM7]
        rows = b"".join(b"\x00" + row.tobytes() for part in passes for row in part)
        header = ihdr(image.width, image.height, 8, color_type, b"\x00\x00\x01")
        yield entry(f"{name}-interlaced.png", "interlaced PNG", png(header, idat(rows)), OK)


_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def webps(people: People) -> Iterator[CorpusFile]:
    kind = "WebP"
    translucent = people.gauss.copy()
    translucent.putalpha(Image.linear_gradient("L").resize(people.gauss.size).point(lambda value: 255 - value // 2))
    yield entry("lossy.webp", kind, encoded(people.gauss, "WEBP", quality=85), OK)
    yield entry("lossless.webp", kind, encoded(people.gauss, "WEBP", lossless=True), OK)
    yield entry("lossy-alpha.webp", kind, encoded(translucent, "WEBP", quality=85), OK)
    yield entry("lossless-alpha.webp", kind, encoded(translucent, "WEBP", lossless=True), OK)
    yield entry("12-megapixels.webp", kind, encoded(people.on_page(4032, 3024), "WEBP", quality=80, method=0), OK)


def orientations(people: People) -> Iterator[CorpusFile]:
    for form, ending in (("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp")):
        for orientation, undo in UNDO_ORIENTATION.items():
            exif = Image.Exif()
            exif[EXIF_ORIENTATION] = orientation
            stored = people.gauss if undo is None else people.gauss.transpose(undo)
            options: dict[str, object] = {} if form == "PNG" else {"quality": 92}
            data = encoded(stored, form, exif=exif, **options)
            yield entry(f"orientation-{orientation}.{ending}", f"{form} orientation", data, OK)


def animations(people: People) -> Iterator[CorpusFile]:
    frames = [people.newton, people.newton.transpose(Image.Transpose.FLIP_LEFT_RIGHT), people.newton.convert("L")]
    animated = {"save_all": True, "append_images": [frame.convert("RGB") for frame in frames[1:]], "duration": 100}
    yield entry("animated.png", "animated PNG", encoded(people.newton, "PNG", **animated), OK)
    yield entry("animated.webp", "animated WebP", encoded(people.newton, "WEBP", quality=85, **animated), OK)
