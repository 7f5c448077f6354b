"""What the tests of one file share: an embedder process and photos for it, or a PostgreSQL and a folder for stores."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.chaos import overload
from tests.chaos.stores import PostgresServer, lasting_postgres_server
from tests.support.embedder_process import EmbedderProcess, running_embedder
from tests.support.photos import encoded


@pytest.fixture(scope="module")
def embedder(models_dir: Path) -> Iterator[EmbedderProcess]:
    with running_embedder(models_dir) as process:
        yield process


@pytest.fixture(scope="session")
def small_photo(models_dir: Path) -> bytes:
    return overload.small_photo(models_dir)


@pytest.fixture(scope="session")
def huge_photo() -> bytes:
    """Forty megapixels of grain in a small file: unpacking them takes half a second."""
    grain = np.random.default_rng(5).integers(0, 256, (1, 250, 3), np.uint8)
    return encoded(Image.fromarray(np.tile(grain, (5000, 32, 1))), "PNG", compress_level=1)


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with lasting_postgres_server() as server:
        yield server


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="twin-chaos-", ignore_cleanup_errors=True) as name:
        yield Path(name)
