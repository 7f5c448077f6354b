"""A real embedder process for the tests of one file, and the photo that they send it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos import overload
from tests.support.embedder_process import EmbedderProcess, running_embedder


@pytest.fixture(scope="module")
def embedder(models_dir: Path) -> Iterator[EmbedderProcess]:
    with running_embedder(models_dir) as process:
        yield process


@pytest.fixture(scope="session")
def small_photo(models_dir: Path) -> bytes:
    return overload.small_photo(models_dir)
