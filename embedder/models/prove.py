"""Proves that rewritten graphs compute what their originals do, on real faces."""

from pathlib import Path
from typing import Final

import numpy as np

from embedder.align import align
from embedder.attributes import STAGED_SIZE
from embedder.detect import Detector, DetectorSpec
from embedder.faces import Floats, Pixels
from embedder.find import find_faces
from embedder.models.graphs import read_graph
from embedder.models.manifest import AttributeFile, Manifest
from embedder.networks import ChannelNormalization, Normalization, to_batch, to_batch_by_channel
from embedder.sessions import CPU, OnnxNetwork
from runtime.errors import StartupError
from runtime.images.opencv import cv2

MAX_DETECTOR_DIFFERENCE: Final = 1e-5
MAX_ATTRIBUTE_DIFFERENCE: Final = 1e-5
MIN_RECOGNIZER_COSINE: Final = 0.99999
_FACES: Final = 6


def prove_rewrites(folder: Path, manifest: Manifest, photo: Path) -> None:
    """Runs every original and every rewritten graph on a photo of several people.

    Raises StartupError when the outputs of the detector or of an attribute network differ by more than 1e-5 of the
    largest, or a vector's cosine to its original is below 0.99999, in batches of one and of several.
    """
    image = cv2.imread(str(photo), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise StartupError(f"{photo} cannot be read; run: twin models pull {manifest.name}")
    pixels: Pixels = np.asarray(image, np.uint8)
    source_graph = (folder / manifest.detector.source).read_bytes()
    graph = (folder / manifest.detector.file).read_bytes()
    original = OnnxNetwork(source_graph, CPU, what=manifest.detector.source)
    rewritten = OnnxNetwork(graph, CPU, what=manifest.detector.file)
    difference = detector_difference(original, rewritten, square_batch(pixels))
    if difference > MAX_DETECTOR_DIFFERENCE:
        raise StartupError(f"the rewritten detector differs from its original by {difference:.1e}; report this")
    rule = Normalization(manifest.detector.mean, manifest.detector.scale, manifest.detector.channel_order)
    spec = DetectorSpec(rule, len(read_graph(graph, manifest.detector.file).output_axes))
    found = find_faces(Detector(rewritten, spec), pixels)
    if len(found) < _FACES:
        raise StartupError(f"the rewritten detector finds only {len(found)} faces in {photo.name}; report this")
    crops = [align(pixels, landmarks) for landmarks in found.landmarks[:_FACES]]
    network = manifest.recognizer
    batch = to_batch(crops, Normalization(network.mean, network.scale, network.channel_order))
    cosine = recognizer_cosine(
        OnnxNetwork((folder / network.source).read_bytes(), CPU, what=network.source),
        OnnxNetwork((folder / network.file).read_bytes(), CPU, what=network.file),
        batch,
    )
    if cosine < MIN_RECOGNIZER_COSINE:
        raise StartupError(f"the rewritten recognizer differs from its original, cosine {cosine:.6f}; report this")
    for section, attribute in (("age", manifest.age), ("gender", manifest.gender)):
        if attribute is not None:
            _prove_attribute(folder, section, attribute, crops)


def _prove_attribute(folder: Path, section: str, network: AttributeFile, crops: list[Pixels]) -> None:
    rule = ChannelNormalization(network.mean, network.scale, network.channel_order)
    # Any faces will do: only that both graphs see the same matters.
    small = [np.asarray(cv2.resize(crop, (STAGED_SIZE, STAGED_SIZE)), np.uint8) for crop in crops]
    difference = attribute_difference(
        OnnxNetwork((folder / network.source).read_bytes(), CPU, what=network.source),
        OnnxNetwork((folder / network.file).read_bytes(), CPU, what=network.file),
        to_batch_by_channel(small, rule),
    )
    if difference > MAX_ATTRIBUTE_DIFFERENCE:
        raise StartupError(f"the rewritten network for {section} differs by {difference:.1e}; report this")


def square_batch(image: Pixels) -> Floats:
    """Shrinks an image into the (1, 3, 640, 640) float32 that the original detector takes."""
    scale = 640 / max(image.shape[:2])
    canvas = np.zeros((640, 640, 3), np.uint8)
    height, width = round(image.shape[0] * scale), round(image.shape[1] * scale)
    canvas[:height, :width] = cv2.resize(image, (width, height))
    return to_batch([canvas], Normalization(127.5, 128.0, "RGB"))


def detector_difference(original: OnnxNetwork, rewritten: OnnxNetwork, batch: Floats) -> float:
    """Returns the largest difference of any output, alone and as the second of a batch, relative to the largest output.

    batch (1, 3, 640, 640) float32.
    """
    expected = original.run(batch)
    alone = rewritten.run(batch)
    second = [output[1:] for output in rewritten.run(np.concatenate([batch[:, :, ::-1], batch]))]
    return max(
        float(np.abs(actual - wanted).max() / max(float(np.abs(wanted).max()), 1.0))
        for actuals in (alone, second)
        for actual, wanted in zip(actuals, expected, strict=True)
    )


def recognizer_cosine(original: OnnxNetwork, rewritten: OnnxNetwork, batch: Floats) -> float:
    """Returns the lowest cosine of any vector to its original, alone and in a batch. batch (n, 3, 112, 112) float32."""
    rows = [batch[row : row + 1] for row in range(len(batch))]
    expected = _unit(np.concatenate([original.run(row)[0] for row in rows]))
    alone = _unit(np.concatenate([rewritten.run(row)[0] for row in rows]))
    together = _unit(rewritten.run(batch)[0])
    return float(min((expected * alone).sum(axis=1).min(), (expected * together).sum(axis=1).min()))


def attribute_difference(original: OnnxNetwork, rewritten: OnnxNetwork, batch: Floats) -> float:
    """Returns the largest difference of any output, alone and in a batch, relative to the largest output.

    batch (n, 3, 64, 64) float32.
    """
    rows = [batch[row : row + 1] for row in range(len(batch))]
    expected = [np.concatenate(output) for output in zip(*(original.run(row) for row in rows), strict=True)]
    alone = [np.concatenate(output) for output in zip(*(rewritten.run(row) for row in rows), strict=True)]
    return max(
        float(np.abs(actual - wanted).max() / max(float(np.abs(wanted).max()), 1.0))
        for actuals in (alone, rewritten.run(batch))
        for actual, wanted in zip(actuals, expected, strict=True)
    )


def _unit(rows: Floats) -> Floats:
    exact = rows.astype(np.float64)
    unit: Floats = (exact / np.linalg.norm(exact, axis=1, keepdims=True)).astype(np.float32)
    return unit
