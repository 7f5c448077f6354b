"""Packs in InsightFace's own layout: a folder of .onnx files, told apart by their graphs."""

from pathlib import Path

from embedder.models.digest import sha256_of
from embedder.models.graphs import GraphShape, read_graph
from embedder.models.manifest import GENERAL_CALIBRATION, AttributeFile, Manifest, NetworkFile
from runtime.errors import StartupError

_UNKNOWN_LICENSE = "Not known: a pack of your own. Its provider's terms hold."


def manifest_of_folder(folder: Path, pack: str, license_text: str = _UNKNOWN_LICENSE) -> Manifest:
    """Describes a folder of .onnx files as a pack: the first network of each kind in the order of names.

    Attributes are optional. Raises StartupError when the detector or the recognizer is missing or a file is no graph.
    """
    detector: NetworkFile | None = None
    recognizer: tuple[NetworkFile, GraphShape] | None = None
    attributes: AttributeFile | None = None
    for path in sorted(folder.glob("*.onnx")):
        graph = path.read_bytes()
        shape = read_graph(graph, str(path))
        digest = sha256_of(graph)
        if shape.is_detector and detector is None:
            # InsightFace feeds SCRFD (x − 127.5) / 128.
            detector = NetworkFile(path.name, digest, path.name, digest, 127.5, 128.0, "RGB")
        elif shape.is_recognizer and recognizer is None:
            mean, scale = (0.0, 1.0) if shape.subtracts_and_scales else (127.5, 127.5)
            recognizer = NetworkFile(path.name, digest, path.name, digest, mean, scale, "RGB"), shape
        elif shape.is_joint_attribute and attributes is None:
            # As insightface does, in model_zoo/attribute.py.
            mean, scale = (0.0, 1.0) if shape.subtracts_and_scales or shape.starts_with_bn_data else (127.5, 128.0)
            attributes = AttributeFile(path.name, digest, path.name, digest, (mean,) * 3, (scale,) * 3, "RGB")
    if detector is None:
        raise StartupError(f"{folder} holds no SCRFD detector with landmarks; try: twin models pull {pack}")
    if recognizer is None:
        raise StartupError(f"{folder} holds no face recognizer of 112 × 112; try: twin models pull {pack}")
    return Manifest(
        name=pack,
        license=license_text,
        dimension=recognizer[1].dimension,
        calibration=GENERAL_CALIBRATION,
        detector=detector,
        recognizer=recognizer[0],
        age=attributes,
        gender=attributes,
    )
