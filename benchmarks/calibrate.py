"""Measures what a pack's cosines mean, on the photos that came with it and with installed packages.

    python benchmarks/calibrate.py [PACK]

Prints the distributions that embedder/models/starter.toml's calibration was chosen by, and how the chosen curve reads.
"""

import argparse
import math
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt

from embedder.engine import load_model
from embedder.faces import FaceChoice, Pixels, Selection
from embedder.models.manifest import Calibration
from embedder.pipeline import Pipeline
from embedder.settings import EmbedderSettings
from runtime.images.decode import ImageLimits, decode
from runtime.images.opencv import cv2

Vectors = npt.NDArray[np.float32]
_LIMITS = ImageLimits(max_bytes=20 * 2**20, max_pixels=50_000_000)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pack", nargs="?", default="starter")
    settings = EmbedderSettings(model_pack=parser.parse_args().pack)
    model = load_model(settings)
    photos_dir = settings.models_dir.expanduser() / "starter" / "photos"
    photos = [*sorted(photos_dir.iterdir()), *_package_photos()]
    vectors = {photo.name: _embed(model.pipeline, photo.read_bytes()) for photo in photos}

    groups = {name: rows for name, rows in vectors.items() if len(rows) > 1}
    for name, rows in groups.items():
        _describe(f"different people within {name} ({len(rows)} faces)", _pairs(rows))
    across = [
        (first @ second.T).ravel()
        for position, first in enumerate(vectors.values())
        for second in list(vectors.values())[position + 1 :]
    ]
    _describe("different people across photos", np.concatenate(across))
    for change, edit in _EDITS.items():
        kept = [_nearest_after(model.pipeline, photo, vectors[photo.name], edit) for photo in photos]
        _describe(f"one picture, {change}", np.concatenate(kept))
    _print_curve(model.pack.manifest.calibration)
    return 0


def _package_photos() -> list[Path]:
    """Photos of faces inside packages of the development environment, where those are installed."""
    found = []
    for package, path in (
        ("insightface", "data/images/t1.jpg"),
        ("insightface", "data/images/Tom_Hanks_54745.png"),
        ("skimage", "data/astronaut.png"),
    ):
        try:
            photo = Path(str(resources.files(package))) / path
        except ModuleNotFoundError:
            continue
        if photo.is_file():
            found.append(photo)
    return found


def _embed(pipeline: Pipeline, data: bytes) -> Vectors:
    faces = pipeline.run(data, Selection(FaceChoice.ALL), lambda: None).faces
    return np.stack([face.vector for face in faces if face.vector is not None])


def _pairs(rows: Vectors) -> Vectors:
    cosines: Vectors = (rows @ rows.T)[np.triu_indices(len(rows), 1)]
    return cosines


def _nearest_after(pipeline: Pipeline, photo: Path, before: Vectors, edit: Callable[[Pixels], bytes]) -> Vectors:
    """Returns, for each face of the edited photo, its cosine to the same face before: the nearest one."""
    after = _embed(pipeline, edit(decode(photo.read_bytes(), _LIMITS)))
    nearest: Vectors = (after @ before.T).max(axis=1)
    return nearest


def _png(image: Pixels) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def _scaled(image: Pixels, factor: float) -> Pixels:
    return np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)


_EDITS: dict[str, Callable[[Pixels], bytes]] = {
    "as JPEG of quality 60": lambda image: cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60])[1].tobytes(),
    "at 80 % of its size": lambda image: _png(_scaled(image, 0.8)),
    "brighter by 20 %": lambda image: _png(np.clip(image.astype(np.float32) * 1.2, 0, 255).astype(np.uint8)),
    "3 % cut off each side": lambda image: _png(
        image[image.shape[0] * 3 // 100 : image.shape[0] * 97 // 100, image.shape[1] * 3 // 100 :]
    ),
    "mirrored": lambda image: _png(np.ascontiguousarray(image[:, ::-1])),
}


def _describe(title: str, cosines: Vectors) -> None:
    low, quarter, middle, three_quarters, high = np.percentile(cosines, [0, 25, 50, 75, 100])
    print(
        f"{title}: {len(cosines)} values, lowest {low:.3f}, quartiles {quarter:.3f} {middle:.3f} {three_quarters:.3f},"
        f" highest {high:.3f}, standard deviation {cosines.std():.3f}"
    )


def _print_curve(calibration: Calibration) -> None:
    print(f"calibration: {calibration}")
    for cosine in (0.0, 0.1, 0.2, 0.3, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9):
        exponent = -calibration.percent_slope * (cosine - calibration.percent_midpoint)
        print(f"  cosine {cosine:.2f} reads {100 / (1 + math.exp(exponent)):5.1f} %")


if __name__ == "__main__":
    sys.exit(main())
