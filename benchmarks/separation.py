"""How well vectors tell one person from two, for each way of finding the face.

    python benchmarks/separation.py [--pairs FILE.csv] [--provider cpu|openvino] [--half-precision] [--flip-averaging]

Without --pairs: the real photos that tests use, of which few show one person twice. A CSV names two files, beside it,
and whether they show one person: `a.jpg,b.jpg,Yes`, after a line of titles. d' is the distance of the means of the two
kinds of pairs in their common standard deviation: on 38 pairs of one person, differences under 0.3 are noise.
"""

import argparse
import csv
import itertools
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from embedder.engine import load_model
from embedder.faces import FaceChoice, Floats, Selection
from embedder.pipeline import Pipeline
from embedder.settings import EmbedderSettings
from runtime.errors import TwinError
from tests.support.real_photos import fetch_real_photos, listed_photos

Pairs = list[tuple[Path, Path, bool]]
WAYS = {"every face, at 640": FaceChoice.PRIMARY, "the primary alone": FaceChoice.PRIMARY_ONLY}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path)
    parser.add_argument("--provider", default="cpu", choices=["cpu", "openvino"])
    parser.add_argument("--half-precision", action="store_true")
    parser.add_argument("--flip-averaging", action="store_true")
    options = parser.parse_args()
    pairs = _labelled(options.pairs) if options.pairs else _own()
    settings = EmbedderSettings(
        embedder_provider=options.provider,
        embedder_detector_half_precision=options.half_precision,
        embedder_flip_averaging=options.flip_averaging,
    )
    pipeline = load_model(settings).pipeline
    vectors = {name: _vectors(pipeline, pairs, choice) for name, choice in WAYS.items()}
    for name, found in vectors.items():
        _report(name, pairs, found)
    first, second = vectors.values()
    both = np.array([float(first[path] @ second[path]) for path in first if path in second])
    print(f"one photo, found both ways: cosine {both.mean():.3f} on average, lowest {both.min():.3f}")
    return 0


def _labelled(file: Path) -> Pairs:
    with file.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.reader(lines))[1:]
    return [(file.parent / a, file.parent / b, answer.strip().lower() in ("yes", "true", "1")) for a, b, answer in rows]


def _own() -> Pairs:
    people = dict(zip(fetch_real_photos(), (photo.person for photo in listed_photos()), strict=True))
    return [
        (a, b, person is not None and person == people[b])
        for (a, person), b in itertools.product(people.items(), people)
        if a < b
    ]


def _vectors(pipeline: Pipeline, pairs: Pairs, choice: FaceChoice) -> dict[Path, Floats]:
    found: dict[Path, Floats] = {}
    for path in sorted({path for a, b, _ in pairs for path in (a, b)}):
        try:
            faces = pipeline.run(path.read_bytes(), Selection(choice)).faces
        except (OSError, TwinError) as error:
            print(f"left out {path.name}: {error}")
            continue
        found[path] = next(face.vector for face in faces if face.vector is not None)
    return found


def _report(name: str, pairs: Pairs, vectors: dict[Path, Floats]) -> None:
    cosines: dict[bool, list[float]] = {True: [], False: []}
    for a, b, is_same in pairs:
        if a in vectors and b in vectors:
            cosines[is_same].append(float(vectors[a] @ vectors[b]))
    same, other = (np.array(cosines[kind]) for kind in (True, False))
    print(
        f"{name:20} {len(same)} pairs of one person, mean {same.mean():.3f}, lowest {same.min():.3f};"
        f" {len(other)} of two, mean {other.mean():.3f}, highest {other.max():.3f}; d' {_distance(same, other):.2f}"
    )


def _distance(same: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    return float((same.mean() - other.mean()) / np.sqrt((same.var() + other.var()) / 2))


if __name__ == "__main__":
    sys.exit(main())
