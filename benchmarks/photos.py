"""The photos that benchmarks work on: real faces out of packages, as files of the sizes and shapes that people have."""

from pathlib import Path

import numpy as np

from embedder.engine import Model
from embedder.faces import FaceChoice, Pixels, Selection
from runtime.images.decode import ImageLimits, decode
from runtime.images.opencv import cv2
from tests.support.real_photos import fetch_real_photos

LIMITS = ImageLimits(max_bytes=40 * 2**20, max_pixels=60_000_000)
# Width to height, and megapixels: cycled through independently of one another; the mean is 1.9 megapixels.
_SHAPES = (3 / 4, 4 / 3, 2 / 3, 1.0)
_MEGAPIXELS = (0.3, 0.8, 1.9, 3.2, 2.0, 3.0, 2.1)


def one_face_photos(model: Model, count: int, megapixels: float | None = None) -> list[bytes]:
    """Makes JPEGs of one face each, of mixed sizes, or of one size.

    The picture around the face is widened to the shape by its own edge, so that no second face comes into it.
    """
    photos: list[bytes] = []
    for path in _sources(model):
        try:
            picture = decode(path.read_bytes(), LIMITS)
        except Exception as error:
            print(f"left out {path.name}: {error}")
            continue
        if min(picture.shape[:2]) < 120:
            continue
        number = len(photos)
        size = megapixels or _MEGAPIXELS[number % len(_MEGAPIXELS)]
        photo = jpeg(_shaped(picture, _SHAPES[number % len(_SHAPES)], size))
        if _face_count(model, photo) == 1:
            photos.append(photo)
        if len(photos) == count:
            return photos
    raise SystemExit(f"only {len(photos)} photos of one face; {count} are wanted")


def crowd_photo(model: Model) -> bytes:
    """Returns the photo of 29 faces, 3,000 × 2,171."""
    [crowd] = [path for path in model.pack.photos if "solvay" in path.name]
    return crowd.read_bytes()


def jpeg(image: Pixels, quality: int = 90) -> bytes:
    """Encodes a picture as most cameras do."""
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def _sources(model: Model) -> list[Path]:
    portraits = [path for path in model.pack.photos if "solvay" not in path.name]
    # The larger files first: they have the most detail.
    return [*portraits, *sorted(fetch_real_photos(), key=lambda path: -path.stat().st_size)]


def _shaped(picture: Pixels, shape: float, megapixels: float) -> Pixels:
    height, width = picture.shape[:2]
    wanted_width, wanted_height = max(width, round(height * shape)), max(height, round(width / shape))
    x, y = wanted_width - width, wanted_height - height
    widened = cv2.copyMakeBorder(picture, y // 2, y - y // 2, x // 2, x - x // 2, cv2.BORDER_REPLICATE)
    factor = (megapixels * 1e6 / (wanted_width * wanted_height)) ** 0.5
    rule = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(widened, None, fx=factor, fy=factor, interpolation=rule), np.uint8)


def _face_count(model: Model, data: bytes) -> int:
    try:
        return len(model.pipeline.run(data, Selection(FaceChoice.DETECT_ONLY)).faces)
    except Exception:
        return 0
