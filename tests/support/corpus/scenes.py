"""What is in the picture: nobody, a crowd, or hardly a pixel."""

from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw

from tests.support.corpus.file import NO_FACE, OK, CorpusFile, entry
from tests.support.corpus.people import People
from tests.support.photos import encoded

_FORMS = (("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"))


def nobody(_people: People) -> Iterator[CorpusFile]:
    kind = "no face"
    ramp = Image.linear_gradient("L").resize((640, 480)).convert("RGB")
    noise = Image.fromarray(np.random.default_rng(23).integers(0, 256, (480, 640, 3), np.uint8))
    letters = Image.new("RGB", (640, 480), "white")
    ImageDraw.Draw(letters).multiline_text((10, 10), "Nobody is in this picture.\n" * 25, "black")
    stripes = Image.fromarray(np.tile(np.array([[0], [255]], np.uint8), (300, 800))).convert("RGB")
    for name, image in (("gradient", ramp), ("noise", noise), ("letters", letters), ("stripes", stripes)):
        for form, ending in _FORMS:
            yield entry(f"{name}.{ending}", kind, encoded(image, form), NO_FACE)


def crowds(people: People) -> Iterator[CorpusFile]:
    yield entry("40-faces.jpg", "40 faces", encoded(people.mosaic(8, 5, 220), "JPEG", quality=90), OK)
    yield entry("40-faces.png", "40 faces", encoded(people.mosaic(8, 5, 160), "PNG"), OK)
    yield entry("200-faces.jpg", "200 faces", encoded(people.mosaic(20, 10, 150), "JPEG", quality=90), OK)
    yield entry("200-faces.webp", "200 faces", encoded(people.mosaic(20, 10, 220), "WEBP", quality=80, method=0), OK)


def hardly_any_pixels(people: People) -> Iterator[CorpusFile]:
    shapes = {"8x8": (8, 8), "1x1": (1, 1), "1xN": (1, 4_000), "Nx1": (4_000, 1), "2xN": (2, 3_001)}
    for kind, (width, height) in shapes.items():
        for form, ending in _FORMS:
            yield entry(
                f"{width}x{height}.{ending}", kind, encoded(people.gauss.resize((width, height)), form), NO_FACE
            )
    yield entry("65500x1.jpg", "Nx1", encoded(Image.new("RGB", (65_500, 1), "gray"), "JPEG"), NO_FACE)
    yield entry("1x65500.jpg", "1xN", encoded(Image.new("RGB", (1, 65_500), "gray"), "JPEG"), NO_FACE)
    yield entry("65500x700.jpg", "Nx1", encoded(Image.new("RGB", (65_500, 700), "gray"), "JPEG"), NO_FACE)
    yield entry("65500x1.png", "Nx1", encoded(Image.new("RGB", (65_500, 1), "gray"), "PNG"), NO_FACE)
    yield entry("16383x1.webp", "Nx1", encoded(Image.new("RGB", (16_383, 1), "gray"), "WEBP"), NO_FACE)
    yield entry("face-of-10-pixels.png", "8x8", encoded(people.gauss.resize((20, 26)), "PNG"), OK)
