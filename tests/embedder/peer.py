"""Ours and the insightface package side by side: what each finds in one photo, and how two boxes agree."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from insightface.model_zoo.arcface_onnx import ArcFaceONNX
from insightface.model_zoo.scrfd import SCRFD

from embedder.engine import Model
from embedder.faces import Face, FaceChoice, Pixels, Selection
from runtime.errors import NoFaceFound
from runtime.images.opencv import cv2

Boxes = npt.NDArray[np.float64]
"""(n, 4) left, top, right, bottom px."""


@dataclass(frozen=True, slots=True)
class Peer:
    """InsightFace on the starter pack's weights: detector at its usual 640 px and threshold of 0.5, and recognizer."""

    detector: SCRFD
    recognizer: ArcFaceONNX

    def boxes(self, image: Pixels) -> Boxes:
        """Finds the faces of a BGR image."""
        found, _ = self.detector.detect(image)
        return clipped(np.asarray(found[:, :4], np.float64), image)

    def boxes_of_second_look(self, image: Pixels, long_side: int) -> Boxes:
        """Finds faces with the longer side brought to long_side px; the network's input stays 640, the rest black."""
        scale = long_side / max(image.shape[:2])
        small = cv2.resize(image, (round(image.shape[1] * scale), round(image.shape[0] * scale)))
        canvas = np.zeros((640, 640, 3), np.uint8)
        canvas[: small.shape[0], : small.shape[1]] = small
        return clipped(self.boxes(canvas) / scale, image)


def load_peer(source: Path) -> Peer:
    """source is the folder of the starter pack's original files."""
    detector = SCRFD(model_file=str(source / "scrfd.onnx"))
    detector.prepare(-1, input_size=(640, 640), det_thresh=0.5)
    recognizer = ArcFaceONNX(model_file=str(source / "fr_feature.onnx"))
    recognizer.prepare(-1)
    return Peer(detector, recognizer)


def faces_of(model: Model, data: bytes, choice: FaceChoice = FaceChoice.DETECT_ONLY) -> tuple[Face, ...]:
    """Returns what ours finds in an image file, through all of the pipeline; () where it refuses for want of a face."""
    try:
        return model.pipeline.run(data, Selection(choice), lambda: None).faces
    except NoFaceFound:
        return ()


def boxes_of(faces: tuple[Face, ...]) -> Boxes:
    """Returns the boxes of faces in the peer's form."""
    sides = [
        (face.box.left, face.box.top, face.box.left + face.box.width, face.box.top + face.box.height) for face in faces
    ]
    return np.array(sides, np.float64).reshape(-1, 4)


def clipped(boxes: Boxes, image: Pixels) -> Boxes:
    """Cuts boxes to the image, as ours are; the peer lets them reach outside."""
    height, width = image.shape[:2]
    return np.clip(boxes, 0, [width, height, width, height])


def best_overlaps(theirs: Boxes, ours: Boxes) -> npt.NDArray[np.float64]:
    """Returns, for each of theirs, its largest intersection over union with one of ours; 0 where there are none."""
    if not len(theirs) or not len(ours):
        return np.zeros(len(theirs))
    corner = np.maximum(theirs[:, None, :2], ours[None, :, :2])
    opposite = np.minimum(theirs[:, None, 2:], ours[None, :, 2:])
    shared = np.clip(opposite - corner, 0, None).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (theirs, ours)]
    overlaps = shared / (areas[0][:, None] + areas[1][None, :] - shared)
    return np.asarray(overlaps.max(axis=1))


def encoded(image: Pixels, kind: str = ".png", *options: int) -> bytes:
    """Returns an image file's bytes; PNG unless told otherwise, which keeps every pixel."""
    done, data = cv2.imencode(kind, image, list(options) or [cv2.IMWRITE_PNG_COMPRESSION, 0])
    assert done
    return data.tobytes()


def cosine(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> float:
    a, b = first.ravel().astype(np.float64), second.ravel().astype(np.float64)
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
