"""What tests of every part share: the pack's photographs, and the real services with the demo gallery."""

import asyncio
import importlib.util
import tempfile
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from hypothesis import settings

from cli import demo_gallery
from cli.settings import ClientSettings
from runtime.channels import open_channel
from tests.support.stack import Stack

# A test asserts no times, and on a busy machine a garbage collection alone takes longer than an example may.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """The folder that holds the starter pack; ``make setup`` brings it."""
    folder = ClientSettings().models_path()
    assert (folder / "starter" / "manifest.toml").exists(), f"no starter pack in {folder}: run `make setup`"
    return folder


@pytest.fixture(scope="session")
def solvay_photo(models_dir: Path) -> Path:
    """Twenty-nine physicists, 3,000 × 2,171."""
    return models_dir / "starter" / "photos" / "solvay_conference_1927.jpg"


@pytest.fixture(scope="session")
def newton_photo(models_dir: Path) -> Path:
    """A portrait of Isaac Newton."""
    return models_dir / "starter" / "photos" / "newton.png"


@pytest.fixture(scope="session")
def gauss_photo(models_dir: Path) -> Path:
    """A portrait of Carl Friedrich Gauss."""
    return models_dir / "starter" / "photos" / "gauss.png"


@pytest.fixture(scope="session")
def six_faces_photo() -> Path:
    """Six people side by side, from the insightface package's own data."""
    spec = importlib.util.find_spec("insightface")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "data" / "images" / "t1.jpg"


async def load_demo_gallery(stack: Stack, image: bytes) -> int:
    """Loads the Solvay photograph as ``twin demo`` does; returns its face count."""
    settings = ClientSettings(data_dir=stack.data_dir)
    async with open_channel(stack.addresses["gateway"], max_message_bytes=settings.max_message_bytes) as channel:
        return await demo_gallery.load(channel, settings, image)


def open_data_dir() -> tempfile.TemporaryDirectory[str]:
    """Makes a folder for services' state, outside of pytest's own.

    Under root the embedded PostgreSQL runs as another user, who must reach its folder; pytest closes its own to others
    whenever a run begins, also while another one's services work there.
    """
    return tempfile.TemporaryDirectory(prefix="twin-test-", ignore_cleanup_errors=True)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder for the state of services that a test starts itself."""
    with open_data_dir() as folder:
        yield Path(folder) / "data"


@pytest.fixture
def own_stack(data_dir: Path, models_dir: Path) -> Iterator[Stack]:
    """Real services with an empty gallery, for one test alone."""
    stack = Stack(data_dir)
    stack.start()
    try:
        yield stack
    finally:
        stack.stop()


@pytest.fixture(scope="session")
def stack(models_dir: Path, solvay_photo: Path) -> Iterator[Stack]:
    """Real services with the demo gallery, one set for all tests that leave it as they found it."""
    folder = open_data_dir()
    stack = Stack(Path(folder.name) / "data")
    stack.start()
    try:
        assert asyncio.run(load_demo_gallery(stack, solvay_photo.read_bytes())) == len(demo_gallery.PEOPLE)
        yield stack
    finally:
        stack.stop()
        folder.cleanup()


@pytest.fixture(scope="session")
def twin_page_url(stack: Stack) -> str:
    """The page's address."""
    return f"http://{stack.addresses['gateway_http']}"


@pytest.fixture
def gateway_channel(stack: Stack) -> Iterator[grpc.Channel]:
    """A plain gRPC client's channel to the gateway."""
    options = [("grpc.max_send_message_length", 64 * 2**20), ("grpc.max_receive_message_length", 64 * 2**20)]
    with grpc.insecure_channel(stack.addresses["gateway"], options=options) as channel:
        yield channel
