"""Our numbers beside the insightface package's, on real photos with the same weights."""

from pathlib import Path

import numpy as np
import pytest
from insightface.model_zoo.arcface_onnx import ArcFaceONNX
from insightface.model_zoo.scrfd import SCRFD
from insightface.utils import face_align

from embedder.align import align, estimate_similarity
from embedder.detect import Detector
from embedder.embed import Recognizer
from embedder.engine import Model
from embedder.faces import Detections, FaceChoice, Pixels, Selection
from embedder.find import find_faces
from embedder.models.load import LoadedPack, load_pack
from embedder.sessions import CPU, OnnxNetwork
from runtime.images.opencv import cv2
from tests.embedder.conftest import read_pixels

# The peer calls scikit-image in a way that scikit-image is going to give up.
pytestmark = pytest.mark.filterwarnings("ignore:`estimate` is deprecated:FutureWarning")


@pytest.fixture(scope="module")
def pack(layout_dir: Path) -> LoadedPack:
    return load_pack(layout_dir, "own")


@pytest.fixture(scope="module")
def detector(pack: LoadedPack) -> Detector:
    return Detector(OnnxNetwork(pack.detector_graph, CPU, what="d"), pack.detector_spec)


@pytest.fixture(scope="module")
def recognizer(pack: LoadedPack) -> Recognizer:
    return Recognizer(OnnxNetwork(pack.recognizer_graph, CPU, what="r"), pack.recognizer_spec)


@pytest.fixture(scope="module")
def peer_detector(layout_dir: Path) -> SCRFD:
    peer = SCRFD(model_file=str(layout_dir / "own" / "scrfd.onnx"))
    peer.prepare(-1, input_size=(640, 640), det_thresh=0.5)
    return peer


@pytest.fixture(scope="module")
def peer_recognizer(layout_dir: Path) -> ArcFaceONNX:
    peer = ArcFaceONNX(model_file=str(layout_dir / "own" / "fr_feature.onnx"))
    peer.prepare(-1)
    return peer


@pytest.fixture(params=["solvay", "newton", "gauss", "six", "astronaut"])
def photo(
    request: pytest.FixtureRequest,
    solvay_photo: Path,
    newton_photo: Path,
    gauss_photo: Path,
    six_faces_photo: Path,
    astronaut_photo: Path,
) -> Pixels:
    paths = {
        "solvay": solvay_photo,
        "newton": newton_photo,
        "gauss": gauss_photo,
        "six": six_faces_photo,
        "astronaut": astronaut_photo,
    }
    return read_pixels(paths[request.param])


def at_detection_size(image: Pixels) -> Pixels:
    """Shrinks a photo to 640 px exactly as the peer does, so that neither side scales it again."""
    height, width = image.shape[:2]
    ratio = height / width
    new_width, new_height = (int(640 / ratio), 640) if ratio > 1 else (640, int(640 * ratio))
    return np.asarray(cv2.resize(image, (new_width, new_height)), np.uint8)


def paired(ours: Detections, boxes: np.ndarray) -> list[int]:
    """Returns, for each of the peer's boxes, the row of ours whose centre is nearest."""
    our_centers = (ours.boxes[:, :2] + ours.boxes[:, 2:]) / 2
    centers = (boxes[:, :2] + boxes[:, 2:4]) / 2
    return [int(np.abs(our_centers - center).sum(axis=1).argmin()) for center in centers]


def test_boxes_landmarks_and_scores_are_the_peers(photo: Pixels, detector: Detector, peer_detector: SCRFD) -> None:
    image = at_detection_size(photo)
    boxes, landmarks = peer_detector.detect(image)
    ours = find_faces(detector, image)
    assert len(ours) == len(boxes) > 0
    rows = paired(ours, boxes)
    assert sorted(rows) == list(range(len(ours)))
    assert np.abs(ours.boxes[rows] - boxes[:, :4]).max() < 1.0
    assert np.abs(ours.landmarks[rows] - landmarks).max() < 1.0
    assert np.abs(ours.scores[rows] - boxes[:, 4]).max() < 0.01


def test_full_size_photos_differ_only_by_the_peers_rounded_scale(
    photo: Pixels, detector: Detector, peer_detector: SCRFD
) -> None:
    boxes, landmarks = peer_detector.detect(photo)
    ours = find_faces(detector, photo)
    assert len(ours) == len(boxes)
    rows = paired(ours, boxes)
    # The peer truncates the shorter side to whole pixels of 640 and divides both axes by one scale.
    one_network_pixel = max(photo.shape) / 640
    assert np.abs(ours.boxes[rows] - boxes[:, :4]).max() < 1.5 * one_network_pixel
    assert np.abs(ours.landmarks[rows] - landmarks).max() < 1.5 * one_network_pixel


def test_crops_are_the_peers(photo: Pixels, peer_detector: SCRFD) -> None:
    _, landmarks = peer_detector.detect(photo)
    for points in landmarks:
        crop = align(photo, points)
        expected = face_align.norm_crop(photo, points)
        assert np.allclose(estimate_similarity(points, face_align.arcface_dst), _peer_matrix(points), atol=1e-3)
        assert np.abs(crop.astype(int) - expected).mean() < 0.05
        assert _cosine(crop.astype(float), expected.astype(float)) > 0.9999


def test_vectors_are_the_peers(
    photo: Pixels, peer_detector: SCRFD, recognizer: Recognizer, peer_recognizer: ArcFaceONNX
) -> None:
    _, landmarks = peer_detector.detect(photo)
    ours = recognizer.embed([align(photo, points) for points in landmarks])
    for vector, points in zip(ours, landmarks, strict=True):
        expected = peer_recognizer.get_feat(face_align.norm_crop(photo, points)).ravel()
        assert _cosine(vector, expected) > 0.999


def test_starter_vectors_are_the_peers_on_swapped_channels(
    solvay_photo: Path, model: Model, peer_recognizer: ArcFaceONNX
) -> None:
    """The starter pack feeds BGR, which the peer does when it is given RGB; its graph is the rewritten one."""
    image = read_pixels(solvay_photo)
    analyzed = model.pipeline.run(solvay_photo.read_bytes(), Selection(FaceChoice.ALL), lambda: None)
    assert len(analyzed.faces) == 29
    for face in analyzed.faces:
        crop = face_align.norm_crop(image, face.landmarks)
        expected = peer_recognizer.get_feat(np.ascontiguousarray(crop[..., ::-1])).ravel()
        assert face.vector is not None
        assert _cosine(face.vector, expected) > 0.999


def _peer_matrix(points: np.ndarray) -> np.ndarray:
    return np.asarray(face_align.estimate_norm(points))


def _cosine(first: np.ndarray, second: np.ndarray) -> float:
    a, b = first.ravel().astype(np.float64), second.ravel().astype(np.float64)
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
