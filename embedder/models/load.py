"""Loads a pack for serving: every byte is checked before a network is made of it."""

from dataclasses import dataclass
from pathlib import Path

from embedder.attributes import AttributeGraph, AttributeGraphs
from embedder.detect import DetectorSpec
from embedder.embed import RecognizerSpec
from embedder.models.definition import STARTER, starter_definition
from embedder.models.digest import model_id_of, sha256_of
from embedder.models.graphs import read_graph
from embedder.models.layout import manifest_of_folder
from embedder.models.manifest import MANIFEST_NAME, AttributeFile, Manifest, NetworkFile, read_manifest
from embedder.networks import ChannelNormalization, Normalization
from runtime.errors import StartupError


@dataclass(frozen=True, slots=True)
class LoadedPack:
    """A checked pack: its graphs as bytes, and how to use them."""

    manifest: Manifest
    model_id: str
    detector_graph: bytes
    detector_spec: DetectorSpec
    recognizer_graph: bytes
    recognizer_spec: RecognizerSpec
    photos: tuple[Path, ...]
    attributes: AttributeGraphs | None
    """None for a pack without networks for age and gender."""


def load_pack(models_dir: Path, pack: str, *, flip_averaging: bool = False) -> LoadedPack:
    """Reads a pack's networks into memory.

    flip_averaging makes other vectors, and so another model_id. Raises StartupError with one line that says what to do.
    """
    folder = pack_folder(models_dir, pack)
    if not folder.is_dir():
        raise StartupError(f"the model pack {pack} is not in {models_dir}; run: twin models pull {pack}")
    manifest = manifest_of(folder, pack)
    detector_graph = _read_checked(folder, manifest.detector, pack)
    recognizer_graph = _read_checked(folder, manifest.recognizer, pack)
    detector = read_graph(detector_graph, str(folder / manifest.detector.file))
    recognizer = read_graph(recognizer_graph, str(folder / manifest.recognizer.file))
    if not detector.is_detector or not recognizer.is_recognizer or recognizer.dimension != manifest.dimension:
        raise StartupError(f"{folder} holds other networks than its manifest says; run: twin models pull {pack}")
    return LoadedPack(
        manifest=manifest,
        model_id=model_id_of(manifest, flip_averaging=flip_averaging),
        detector_graph=detector_graph,
        detector_spec=DetectorSpec(
            _rule(manifest.detector),
            len(detector.output_axes),
            detector.fixed_size,
            detector.fixed_batch,
            manifest.thresholds,
        ),
        recognizer_graph=recognizer_graph,
        recognizer_spec=RecognizerSpec(
            _rule(manifest.recognizer), recognizer.dimension, recognizer.fixed_batch, flip_averaging
        ),
        photos=tuple(folder / file for file, _ in manifest.photos if (folder / file).is_file()),
        attributes=_attributes(folder, manifest, pack),
    )


def _attributes(folder: Path, manifest: Manifest, pack: str) -> AttributeGraphs | None:
    if manifest.age is None or manifest.gender is None:
        return None
    graphs: list[AttributeGraph] = []
    for network in (manifest.age, manifest.gender):
        what = str(folder / network.file)
        graph = _read_checked(folder, network, pack)
        shape = read_graph(graph, what)
        joint = manifest.age == manifest.gender
        if not (shape.is_joint_attribute if joint else shape.is_staged_attribute):
            raise StartupError(f"{folder} holds other networks than its manifest says; run: twin models pull {pack}")
        rule = ChannelNormalization(network.mean, network.scale, network.channel_order)
        graphs.append(AttributeGraph(graph, what, rule, shape.fixed_batch or shape.fixed_answers))
    return AttributeGraphs(age=graphs[0], gender=graphs[1])


def pack_folder(models_dir: Path, pack: str) -> Path:
    """Returns the pack's folder; raises StartupError for a name that would leave models_dir."""
    if pack in ("", ".", "..") or "/" in pack or "\\" in pack or pack.startswith("."):
        raise StartupError(f"{pack!r} is no name of a model pack; run: twin models list")
    return models_dir / pack


def manifest_of(folder: Path, pack: str) -> Manifest:
    """Returns the manifest in the folder, or the one that a folder in InsightFace's layout amounts to.

    Raises StartupError, also for a starter pack whose manifest names other originals than this version knows.
    """
    path = folder / MANIFEST_NAME
    if not path.is_file():
        if pack == STARTER:
            raise StartupError(f"{path} is missing; run: twin models pull {pack}")
        return manifest_of_folder(folder, pack)
    manifest = read_manifest(path, pack)
    if manifest.name != pack:
        raise StartupError(f"{path} is the manifest of {manifest.name}; run: twin models pull {pack}")
    if pack == STARTER and not starter_definition().accepts(manifest):
        raise StartupError(f"{path} is of another version; run: twin models pull {pack}")
    return manifest


def _read_checked(folder: Path, network: NetworkFile | AttributeFile, pack: str) -> bytes:
    path = folder / network.file
    try:
        graph = path.read_bytes()
    except OSError as error:
        raise StartupError(f"{path} is missing or cannot be read; run: twin models pull {pack}") from error
    if sha256_of(graph) != network.sha256:
        raise StartupError(f"{path} is damaged or not the file of this pack; run: twin models pull {pack}")
    return graph


def _rule(network: NetworkFile) -> Normalization:
    return Normalization(network.mean, network.scale, network.channel_order)
