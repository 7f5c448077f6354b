"""Embedding on this machine's processor: this project beside InsightFace's FaceAnalysis, interleaved in one run.

    python benchmarks/embed.py [--repeats N] [--photos N] [--threads N] [--provider cpu|openvino] [--part NAME ...]

Both sides get the same JPEG bytes and the starter pack's weights. Ours is the service's own way: decoders in processes
of their own, the scheduler, and for "over gRPC" a real embedder. "networks alone" runs the batches that ours gave to
the networks, and nothing else, in as many threads: what no program around them can beat. Medians over the repeats;
ratios are worth more than the figures themselves.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.embed_ours import Served, Session, networks_alone
from benchmarks.embed_peer import insightface
from benchmarks.photos import crowd_photo, one_face_photos
from benchmarks.table import Contest
from embedder.engine import Model, load_model
from embedder.faces import FaceChoice
from embedder.settings import EmbedderSettings

PARTS = ("mixed", "crowd", "large")
PEER = "InsightFace, its defaults"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--photos", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--provider", default="cpu", choices=["cpu", "openvino"])
    parser.add_argument("--part", nargs="*", default=list(PARTS), choices=PARTS)
    options = parser.parse_args()
    settings = EmbedderSettings(embedder_provider=options.provider, embedder_threads=options.threads)
    model = load_model(settings)
    pack = settings.models_dir.expanduser() / "starter"
    with tempfile.TemporaryDirectory() as folder, Session(settings) as session, Served(settings) as served:
        peers = {
            PEER: _alone(insightface(Path(folder, "a"), pack)),
            f"InsightFace, {options.threads} threads": _threaded(
                insightface(Path(folder, "b"), pack, one_thread=True), options.threads
            ),
            f"InsightFace, {options.threads} threads, mended": _threaded(
                insightface(Path(folder, "c"), pack, one_thread=True, mended=True), options.threads
            ),
        }
        for part in options.part:
            title, photos = _photos(part, model, options.photos)
            contest = Contest(title, photos, base=PEER)
            for name, run in peers.items():
                contest.add(name, run)
            for label, choice in _choices(part):
                contest.add(f"ours, {label}", lambda data, choice=choice: session.run(data, choice))
                contest.add(f"ours, {label}, over gRPC", lambda data, choice=choice: served.run(data, choice))
                contest.add(f"networks alone, {label}", networks_alone(settings, photos, choice))
            contest.run(options.repeats)
            contest.report()
    return 0


def _choices(part: str) -> list[tuple[str, FaceChoice]]:
    everything = ("every face", FaceChoice.ALL)
    return [everything] if part == "crowd" else [everything, ("the primary alone", FaceChoice.PRIMARY_ONLY)]


def _photos(part: str, model: Model, count: int) -> tuple[str, list[bytes]]:
    if part == "mixed":
        return f"{count} photos of one face, 0.3 to 3.2 megapixels", one_face_photos(model, count)
    if part == "large":
        return "6 photos of one face, 12 megapixels", one_face_photos(model, 6, megapixels=12.0)
    return "a photo of 29 faces", [crowd_photo(model)]


Work = Callable[[list[bytes]], list[float]]
"""Works on all photos; returns each photo's seconds from its start to its answer."""


def _alone(run: Callable[[bytes], int]) -> Work:
    return _threaded(run, 1)


def _threaded(run: Callable[[bytes], int], threads: int) -> Work:
    from time import perf_counter

    def timed(data: bytes) -> float:
        started = perf_counter()
        run(data)
        return perf_counter() - started

    def work(photos: list[bytes]) -> list[float]:
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(timed, photos))

    return work


if __name__ == "__main__":
    sys.exit(main())
