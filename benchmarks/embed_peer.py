"""InsightFace's FaceAnalysis on the starter pack's weights: as it comes, and made as fast as its own settings allow."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime

from runtime.images.opencv import cv2

Run = Callable[[bytes], int]


def insightface(folder: Path, pack: Path, *, one_thread: bool = False, mended: bool = False) -> Run:
    """Returns a function from a JPEG's bytes to the number of faces embedded. folder must be empty.

    one_thread: its sessions compute in the calling thread, so that several callers do not wait for each other's pools.
    mended: it gets this project's rewritten recognizer, which computes the same.
    """
    from insightface.app import FaceAnalysis

    # It calls scikit-image in a way that scikit-image is going to give up, and says so for each face.
    warnings.filterwarnings("ignore", category=FutureWarning)
    folder.mkdir()
    (folder / "scrfd.onnx").symlink_to(pack / "source" / "scrfd.onnx")
    (folder / "recognizer.onnx").symlink_to(pack / ("recognizer.onnx" if mended else "source/fr_feature.onnx"))
    analysis = FaceAnalysis(name=str(folder), providers=["CPUExecutionProvider"])
    analysis.prepare(ctx_id=0, det_size=(640, 640))
    if one_thread:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        for model in analysis.models.values():
            model.session = onnxruntime.InferenceSession(model.model_file, options, providers=["CPUExecutionProvider"])

    def run(data: bytes) -> int:
        return len(analysis.get(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)))

    return run
