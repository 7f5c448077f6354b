"""decode → detect → choose → align → embed: what one photo asks of the stages, from its bytes to its vectors."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from embedder import metrics
from embedder.align import align
from embedder.attributes import AttributeReader
from embedder.choose import choose_primary
from embedder.decoding.job import MAX_CROPS, SMALL_LONG_SIDE, DecodeJob, Form, is_whole
from embedder.decoding.pool import Decoder
from embedder.detect import Detector
from embedder.embed import Recognizer
from embedder.faces import AnalyzedImage, Attributes, Box, Detections, Face, FaceChoice, Floats, Pixels, Selection
from embedder.find import Finder
from embedder.quality import ADVICE, QualityLimits, judge
from embedder.steps import Ask, Handler, Stage, Steps, run_inline
from runtime.errors import FaceIndexOutOfRange, NoFaceFound, TwinError
from runtime.images.decode import ImageLimits, check_header, reduction_factor
from runtime.images.headers import ImageHeader

DEFAULT_MAX_FACES: Final = 500

Checkpoint = Callable[[], None]
"""Raises when the work is for nothing."""


@dataclass(frozen=True, slots=True)
class PipelineLimits:
    """What is read of an image, how many faces of a crowd are kept (the largest), and what is advised about each."""

    image: ImageLimits
    max_faces: int = DEFAULT_MAX_FACES
    quality: QualityLimits = ADVICE


@dataclass(frozen=True, slots=True)
class DecodedPicture:
    """A decoded photo: its pixels, (H, W, 3), or those of a small picture of it; width and height are the photo's."""

    data: bytes
    header: ImageHeader
    pixels: Pixels
    width: int
    height: int

    @property
    def is_whole(self) -> bool:
        """True when the pixels are the photo's own."""
        return self.pixels.shape[:2] == (self.height, self.width)

    @property
    def scale(self) -> Floats:
        """Photo pixels for each of the picture's, (x, y).

        A JPEG that was made smaller while it was decoded has pixels of just the factor, and one more where the sides
        do not divide; other pictures are stretched over the whole photo.
        """
        height, width = self.pixels.shape[:2]
        if self.header.kind == "jpeg" and not self.is_whole:
            factor = reduction_factor(self.header, SMALL_LONG_SIDE)
            return np.array([factor, factor], np.float32)
        return np.array([self.width / width, self.height / height], np.float32)

    def to_photo(self, found: Detections) -> Detections:
        """Brings detections from the picture's pixels to the photo's, middle of a pixel to middle of its block."""
        if self.is_whole:
            return found
        scale = self.scale
        shift: Floats = (scale - np.float32(1)) / np.float32(2)
        # Where turning upright mirrored an axis, the pixel that is one too many came first.
        height, width = self.pixels.shape[:2]
        surplus = np.array([self.width, self.height], np.float32) - scale * np.array([width, height], np.float32)
        mirrored = np.array([self.header.orientation in (2, 3, 6, 7), self.header.orientation in (3, 4, 7, 8)])
        shift = (shift + surplus * mirrored).astype(np.float32)
        boxes = found.boxes * np.tile(scale, 2) + np.tile(shift, 2)
        return Detections(boxes, found.landmarks * scale + shift, found.scores)


class Pipeline:
    """Turns an image's bytes into faces and vectors; any number of threads may use it at once."""

    def __init__(
        self,
        decoder: Decoder,
        detector: Detector,
        recognizer: Recognizer,
        limits: PipelineLimits,
        *,
        attributes: AttributeReader | None = None,
        square: bool = False,
        detector_when_alone: Detector | None = None,
    ) -> None:
        """detector_when_alone computes the same with all of the machine.

        square: shows the detector pictures of one shape for all photos, so that those of many make one batch.
        """
        self.detector = detector
        self.detector_when_alone = detector_when_alone or detector
        self.recognizer = recognizer
        self._limits = limits
        self._attributes = attributes
        self._finder = Finder.of(detector, square=square)
        self.handlers: Mapping[Stage, Handler] = {
            Stage.DECODE: lambda jobs: [decoder.run(job) for job in jobs],
            Stage.DETECT: detector.detect_mixed,
            Stage.EMBED: lambda crops: list(recognizer.embed(crops)),
        }
        self.handlers_when_alone: Mapping[Stage, Handler] = {Stage.DETECT: self.detector_when_alone.detect_mixed}
        if attributes is not None:
            self.handlers = {**self.handlers, Stage.ATTRIBUTES: attributes.read}

    def run(self, data: bytes, selection: Selection, checkpoint: Checkpoint = lambda: None) -> AnalyzedImage:
        """Does one photo's work in the calling thread; checkpoint is called before each stage.

        Raises UnreadableImage, ImageTooLarge, NoFaceFound, FaceIndexOutOfRange, and whatever checkpoint raises.
        """
        return run_inline(self.steps(data, selection), self.handlers, checkpoint)

    def steps(self, data: bytes, selection: Selection) -> Steps[AnalyzedImage]:
        """Finds every face and embeds the selected ones; with PRIMARY_ONLY, finds only the primary.

        Raises UnreadableImage, ImageTooLarge, NoFaceFound, FaceIndexOutOfRange.
        """
        try:
            analyzed = yield from self._steps(data, selection)
        except TwinError as error:
            metrics.IMAGES.labels(error.reason.lower() or type(error).__name__.lower()).inc()
            raise
        metrics.IMAGES.labels("ok").inc()
        metrics.FACES_OF_IMAGE.observe(len(analyzed.faces))
        return analyzed

    def _steps(self, data: bytes, selection: Selection) -> Steps[AnalyzedImage]:
        picture = yield from self._decoded(data)
        primary_only = selection.choice is FaceChoice.PRIMARY_ONLY and selection.face_index is None
        find = self._finder.find_primary if primary_only else self._finder.find
        found = yield from find(picture.pixels)
        boxes, order = _largest_first(picture.to_photo(found), picture.width, picture.height, self._limits.max_faces)
        if not boxes:
            raise NoFaceFound
        found = found.rows(np.array(order))
        scores = [float(score) for score in found.scores]
        primary = choose_primary(boxes, scores, picture.width, picture.height)
        chosen = _selected(selection, primary, len(boxes))
        landmarks = picture.to_photo(found).landmarks
        crops = yield from self._aligned(picture, landmarks)
        vectors = yield Ask(Stage.EMBED, [crops[index] for index in chosen])
        attributes = yield from self._attributes_of(picture, found, boxes, chosen)
        by_index = dict(zip(chosen, zip(vectors, attributes, strict=True), strict=True))
        faces = []
        for index, (box, score, crop) in enumerate(zip(boxes, scores, crops, strict=True)):
            vector, of_face = by_index.get(index, (None, None))
            quality = judge(crop, box, landmarks[index], score, self._limits.quality)
            faces.append(Face(index, box, landmarks[index], score, quality, index == primary, vector, of_face))
        metrics.VECTORS.inc(len(chosen))
        return AnalyzedImage(picture.width, picture.height, tuple(faces))

    def _decoded(self, data: bytes) -> Generator[Ask, list[Pixels], DecodedPicture]:
        header = check_header(data, self._limits.image)
        form = Form.WHOLE if is_whole(header) else Form.SMALL
        [pixels] = yield Ask(Stage.DECODE, [DecodeJob(data, header, form)])
        turned = header.orientation >= 5
        width, height = (header.height, header.width) if turned else (header.width, header.height)
        return DecodedPicture(data, header, pixels, width, height)

    def _aligned(self, picture: DecodedPicture, landmarks: Floats) -> Generator[Ask, list[Pixels], list[Pixels]]:
        """Warps each face from the photo's own pixels; where only a small picture is here, the decoder does it."""
        if picture.is_whole:
            return [align(picture.pixels, points) for points in landmarks]
        crops: list[Pixels] = []
        for start in range(0, len(landmarks), MAX_CROPS):
            part = landmarks[start : start + MAX_CROPS]
            [stack] = yield Ask(Stage.DECODE, [DecodeJob(picture.data, picture.header, Form.CROPS, part)])
            crops += list(stack)
        return crops

    def _attributes_of(
        self, picture: DecodedPicture, found: Detections, boxes: list[Box], chosen: list[int]
    ) -> Generator[Ask, list[Attributes], list[Attributes] | list[None]]:
        """Found is in the picture's pixels, boxes in the photo's."""
        if self._attributes is None:
            return [None] * len(chosen)
        x, y = picture.scale.tolist()
        crops = []
        for index in chosen:
            box = boxes[index]
            inside = Box(box.left / x, box.top / y, box.width / x, box.height / y)
            crops.append(self._attributes.crop(picture.pixels, inside, found.landmarks[index]))
        return (yield Ask(Stage.ATTRIBUTES, crops))


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
        case FaceChoice.PRIMARY | FaceChoice.PRIMARY_ONLY:
            return [primary]
        case FaceChoice.ALL:
            return list(range(face_count))
        case FaceChoice.DETECT_ONLY:
            return []
