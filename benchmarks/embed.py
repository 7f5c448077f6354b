"""Embedding on this machine's processor: this project beside InsightFace's FaceAnalysis, interleaved in one run.

    python benchmarks/embed.py [--repeats N]

Both sides get the same JPEG bytes and the original weights of the starter pack; ours runs the pack as it is served,
InsightFace runs as it comes. Medians over the repeats; ratios are worth more than the figures themselves.
"""

import argparse
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path

import numpy as np

from embedder.engine import Model, load_model
from embedder.faces import FaceChoice, Pixels, Selection
from embedder.settings import EmbedderSettings
from runtime.images.decode import ImageLimits, decode
from runtime.images.opencv import cv2

_THREADS = 2
_PHOTOS = 8
_LIMITS = ImageLimits(max_bytes=20 * 2**20, max_pixels=50_000_000)
_SELECTION = Selection(FaceChoice.ALL)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats: int = parser.parse_args().repeats
    settings = EmbedderSettings()
    model = load_model(settings)
    pack = settings.models_dir.expanduser() / "starter"
    portraits = _one_face_photos(model, pack)
    crowd = (pack / "photos" / "solvay_conference_1927.jpg").read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        peer = _peer(Path(folder), pack)
        runs: dict[str, Callable[[], int]] = {
            "ours, one thread": lambda: sum(_ours(model, data) for data in portraits),
            "InsightFace, its defaults": lambda: sum(peer(data) for data in portraits),
            f"ours, {_THREADS} threads": lambda: _in_threads(lambda data: _ours(model, data), portraits),
            f"InsightFace, {_THREADS} threads": lambda: _in_threads(peer, portraits),
        }
        crowds: dict[str, Callable[[], int]] = {
            "ours, one thread": lambda: _ours(model, crowd),
            "InsightFace, its defaults": lambda: peer(crowd),
        }
        _report(f"{len(portraits)} one-face photos, from JPEG bytes", runs, len(portraits), repeats)
        _report("one photo of 29 faces", crowds, 1, repeats)
        _print_stages(model, portraits)
    return 0


def _one_face_photos(model: Model, pack: Path) -> list[bytes]:
    """Makes JPEGs of one face each, 1.9 megapixels: two portraits, and faces cut out of the group photo with room."""
    crowd_data = (pack / "photos" / "solvay_conference_1927.jpg").read_bytes()
    crowd = decode(crowd_data, _LIMITS)
    astronaut = Path(str(resources.files("skimage"))) / "data" / "astronaut.png"
    pictures = [decode(path.read_bytes(), _LIMITS) for path in (pack / "photos" / "gauss.png", astronaut)]
    for face in model.pipeline.run(crowd_data, Selection(FaceChoice.DETECT_ONLY), lambda: None).faces:
        left, top = face.box.left - face.box.width / 2, face.box.top - face.box.height / 2
        room = crowd[
            max(int(top), 0) : int(top + 2 * face.box.height), max(int(left), 0) : int(left + 2 * face.box.width)
        ]
        pictures.append(room)
    photos = []
    for picture in pictures:
        factor = (1_900_000 / (picture.shape[0] * picture.shape[1])) ** 0.5
        photos.append(_jpeg(np.asarray(cv2.resize(picture, None, fx=factor, fy=factor), np.uint8)))
    return [photo for photo in photos if _ours(model, photo) == 1][:_PHOTOS]


def _jpeg(image: Pixels) -> bytes:
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def _ours(model: Model, data: bytes) -> int:
    return len(model.pipeline.run(data, _SELECTION, lambda: None).faces)


def _peer(folder: Path, pack: Path) -> Callable[[bytes], int]:
    from insightface.app import FaceAnalysis

    # It calls scikit-image in a way that scikit-image is going to give up, and says so for each face.
    warnings.filterwarnings("ignore", category=FutureWarning)
    for name in ("scrfd.onnx", "fr_feature.onnx"):
        (folder / name).symlink_to(pack / "source" / name)
    analysis = FaceAnalysis(name=str(folder), providers=["CPUExecutionProvider"])
    analysis.prepare(ctx_id=0, det_size=(640, 640))

    def run(data: bytes) -> int:
        return len(analysis.get(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)))

    return run


def _in_threads(run: Callable[[bytes], int], photos: list[bytes]) -> int:
    with ThreadPoolExecutor(_THREADS) as pool:
        return sum(pool.map(run, photos))


def _report(title: str, runs: dict[str, Callable[[], int]], photo_count: int, repeats: int) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    faces = {name: run() for name, run in runs.items()}
    for _ in range(repeats):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    print(title)
    base = statistics.median(seconds["InsightFace, its defaults"])
    for name, times in seconds.items():
        middle = statistics.median(times)
        print(
            f"  {name:28} {1000 * middle / photo_count:8.1f} ms/photo {photo_count / middle:7.1f} photos/s"
            f" {faces[name] / middle:7.1f} faces/s  {base / middle:5.2f} ×  ({faces[name]} faces)"
        )


def _print_stages(model: Model, photos: list[bytes]) -> None:
    """Prints where one photo's time goes, between the checkpoints of the pipeline."""
    names = ("decode", "detect", "choose", "align", "embed", "quality")
    spent: dict[str, list[float]] = {name: [] for name in names}
    for data in photos * 3:
        marks: list[float] = []
        model.pipeline.run(data, Selection(FaceChoice.PRIMARY), lambda marks=marks: marks.append(time.perf_counter()))  # type: ignore[misc]
        marks.append(time.perf_counter())
        for name, start, end in zip(names, marks[:-1], marks[1:], strict=True):
            spent[name].append(1000 * (end - start))
    print("stages, ms: " + ", ".join(f"{name} {statistics.median(times):.1f}" for name, times in spent.items()))


if __name__ == "__main__":
    sys.exit(main())
