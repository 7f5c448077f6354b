"""The rewritten starter networks compute what their originals do, and a change of function is noticed."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from embedder.align import align
from embedder.engine import Model
from embedder.faces import FaceChoice, Selection
from embedder.models.prove import attribute_difference, detector_difference, recognizer_cosine, square_batch
from embedder.models.rewrite import rewrite_attribute, rewrite_detector, rewrite_recognizer
from embedder.networks import Normalization, to_batch
from embedder.sessions import CPU, OnnxNetwork
from tests.embedder.conftest import read_pixels


def test_rewritten_detector_computes_what_the_original_does(models_dir: Path, six_faces_photo: Path) -> None:
    source = (models_dir / "starter" / "source" / "scrfd.onnx").read_bytes()
    rewritten = rewrite_detector(source)
    original_network, network = OnnxNetwork(source, CPU, what="o"), OnnxNetwork(rewritten, CPU, what="r")
    assert detector_difference(original_network, network, square_batch(read_pixels(six_faces_photo))) <= 1e-5
    other_size = np.zeros((2, 3, 96, 352), np.float32)
    assert [output.shape[:2] for output in network.run(other_size)[:3]] == [(2, 1056), (2, 264), (2, 66)]


def test_rewritten_recognizer_computes_what_the_original_does(
    models_dir: Path, model: Model, solvay_photo: Path
) -> None:
    source = (models_dir / "starter" / "source" / "fr_feature.onnx").read_bytes()
    rewritten = rewrite_recognizer(source)
    operators = {node.op_type for node in onnx.load_model_from_string(rewritten).graph.node}
    assert "PRelu" not in operators
    image = read_pixels(solvay_photo)
    faces = model.pipeline.run(solvay_photo.read_bytes(), Selection(FaceChoice.DETECT_ONLY), lambda: None).faces
    crops = [align(image, face.landmarks) for face in faces[:5]]
    batch = to_batch(crops, Normalization(127.5, 127.5, "BGR"))
    cosine = recognizer_cosine(OnnxNetwork(source, CPU, what="o"), OnnxNetwork(rewritten, CPU, what="r"), batch)
    assert cosine >= 0.99999


@pytest.mark.parametrize("name", ["fr_age.onnx", "fr_gender.onnx"])
def test_rewritten_attribute_network_computes_what_the_original_does(
    models_dir: Path, model: Model, solvay_photo: Path, name: str
) -> None:
    source = (models_dir / "starter" / "source" / name).read_bytes()
    image = read_pixels(solvay_photo)
    faces = model.pipeline.run(solvay_photo.read_bytes(), Selection(FaceChoice.DETECT_ONLY), lambda: None).faces
    crops = [align(image, face.landmarks)[24:88, 24:88] for face in faces]
    networks = OnnxNetwork(source, CPU, what="o"), OnnxNetwork(rewrite_attribute(source), CPU, what="r")
    assert attribute_difference(*networks, to_batch(crops, Normalization(120.0, 58.0, "BGR"))) <= 1e-5


def test_proof_notices_another_function(models_dir: Path, six_faces_photo: Path) -> None:
    source = (models_dir / "starter" / "source" / "scrfd.onnx").read_bytes()
    changed = onnx.load_model_from_string(rewrite_detector(source))
    weights = onnx.numpy_helper.to_array(changed.graph.initializer[0]) * np.float32(1.001)
    changed.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weights, changed.graph.initializer[0].name))
    networks = OnnxNetwork(source, CPU, what="o"), OnnxNetwork(changed.SerializeToString(), CPU, what="c")
    assert detector_difference(*networks, square_batch(read_pixels(six_faces_photo))) > 1e-5


def test_rewriting_refuses_a_graph_that_it_was_not_made_for(models_dir: Path) -> None:
    sources = models_dir / "starter" / "source"
    with pytest.raises(ValueError, match="not the detector"):
        rewrite_detector((sources / "fr_feature.onnx").read_bytes())
    with pytest.raises(ValueError, match="not the attribute network"):
        rewrite_attribute((sources / "fr_feature.onnx").read_bytes())
