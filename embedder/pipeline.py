"""decode → detect → choose → align → embed: one image at a time, in a worker thread."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from embedder import metrics
from embedder.align import align
from embedder.choose import choose_primary
from embedder.detect import Detector
from embedder.embed import Recognizer
from embedder.faces import AnalyzedImage, Box, Detections, Face, FaceChoice, Floats, Pixels, Selection
from embedder.quality import judge
from runtime.errors import FaceIndexOutOfRange, NoFaceFound, TwinError
from runtime.images.decode import ImageLimits, decode

_EMBED_AT_ONCE: Final = 8
"""Crops between two looks at whether the caller still waits; larger batches gain nothing on a CPU."""

Checkpoint = Callable[[], None]
"""Raises when the work is for nothing."""


class Pipeline:
    """Turns an image's bytes into faces and vectors; any number of threads may use it at once."""

    def __init__(self, detector: Detector, recognizer: Recognizer, limits: ImageLimits, *, max_faces: int) -> None:
        """max_faces: of a larger crowd only the largest faces are kept."""
        self._detector = detector
        self._recognizer = recognizer
        self._limits = limits
        self._max_faces = max_faces

    def run(self, data: bytes, selection: Selection, checkpoint: Checkpoint) -> AnalyzedImage:
        """Finds every face and embeds the selected ones. checkpoint is called before each stage.

        Raises UnreadableImage, ImageTooLarge, NoFaceFound, FaceIndexOutOfRange, and whatever checkpoint raises.
        """
        try:
            analyzed = self._run(data, selection, checkpoint)
        except TwinError as error:
            metrics.IMAGES.labels(error.reason.lower() or type(error).__name__.lower()).inc()
            raise
        metrics.IMAGES.labels("ok").inc()
        return analyzed

    def _run(self, data: bytes, selection: Selection, checkpoint: Checkpoint) -> AnalyzedImage:
        with _stage("decode", checkpoint):
            image = decode(data, self._limits)
        height, width = image.shape[:2]
        with _stage("detect", checkpoint):
            found = self._detector.detect(image)
        with _stage("choose", checkpoint):
            boxes, order = _largest_first(found, width, height, self._max_faces)
            if not boxes:
                raise NoFaceFound
            scores = [float(found.scores[row]) for row in order]
            primary = choose_primary(boxes, scores, width, height)
            chosen = _selected(selection, primary, len(boxes))
        metrics.FACES.inc(len(boxes))
        with _stage("align", checkpoint):
            crops = [align(image, found.landmarks[row]) for row in order]
        vectors = self._embed(crops, chosen, checkpoint)
        with _stage("quality", checkpoint):
            faces = tuple(
                Face(
                    index=index,
                    box=box,
                    landmarks=found.landmarks[row],
                    detection_score=score,
                    quality=judge(crop, box, found.landmarks[row], score),
                    primary=index == primary,
                    vector=vectors.get(index),
                )
                for index, (box, row, score, crop) in enumerate(zip(boxes, order, scores, crops, strict=True))
            )
        return AnalyzedImage(width, height, faces)

    def _embed(self, crops: list[Pixels], chosen: list[int], checkpoint: Checkpoint) -> dict[int, Floats]:
        vectors: dict[int, Floats] = {}
        for start in range(0, len(chosen), _EMBED_AT_ONCE):
            part = chosen[start : start + _EMBED_AT_ONCE]
            with _stage("embed", checkpoint):
                rows = self._recognizer.embed([crops[index] for index in part])
            vectors.update(zip(part, rows, strict=True))
        metrics.VECTORS.inc(len(vectors))
        return vectors


def _largest_first(
    found: Detections, image_width: int, image_height: int, max_faces: int
) -> tuple[list[Box], list[int]]:
    """Returns boxes clipped to the image, the largest first, and each one's row in found; those outside are dropped."""
    boxes = [
        Box(left, top, right - left, bottom - top).clipped_to(image_width, image_height)
        for left, top, right, bottom in found.boxes.astype(float).tolist()
    ]
    rows = sorted((row for row, box in enumerate(boxes) if box.area > 0), key=lambda row: -boxes[row].area)
    return [boxes[row] for row in rows[:max_faces]], rows[:max_faces]


def _selected(selection: Selection, primary: int, face_count: int) -> list[int]:
    if selection.face_index is not None:
        if not 0 <= selection.face_index < face_count:
            raise FaceIndexOutOfRange(selection.face_index, face_count)
        return [selection.face_index]
    match selection.choice:
        case FaceChoice.PRIMARY:
            return [primary]
        case FaceChoice.ALL:
            return list(range(face_count))
        case FaceChoice.DETECT_ONLY:
            return []


@contextmanager
def _stage(name: str, checkpoint: Checkpoint) -> Iterator[None]:
    checkpoint()
    started = time.perf_counter()
    try:
        yield
    finally:
        metrics.STAGE_SECONDS.labels(name).observe(time.perf_counter() - started)
