"""What the steps hand to one another: boxes, detections, faces. Nothing here knows protobuf."""

from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
import numpy.typing as npt

from runtime.images.pixels import Pixels as Pixels

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Box:
    """Axis-aligned rectangle, pixels of the upright image, origin at the top left."""

    left: float
    top: float
    width: float
    height: float

    @property
    def area(self) -> float:
        """Square pixels."""
        return self.width * self.height

    @property
    def shorter_side(self) -> float:
        """Pixels."""
        return min(self.width, self.height)

    def clipped_to(self, image_width: int, image_height: int) -> "Box":
        """Returns the part of the box that lies inside the image; its width or height is 0 where none does."""
        left = min(max(self.left, 0.0), float(image_width))
        top = min(max(self.top, 0.0), float(image_height))
        right = min(max(self.left + self.width, left), float(image_width))
        bottom = min(max(self.top + self.height, top), float(image_height))
        return Box(left, top, right - left, bottom - top)


@dataclass(frozen=True, slots=True)
class Detections:
    """The faces that a detector found in one image, the surest first; all arrays have one row a face.

    boxes (n, 4) float32 left, top, right, bottom px, not clipped; landmarks (n, 5, 2) float32 px, in the order of
    twin.face.v1.Landmarks; scores (n,) float32 0..1.
    """

    boxes: Floats
    landmarks: Floats
    scores: Floats

    def __len__(self) -> int:
        return int(self.scores.shape[0])

    def rows(self, rows: npt.NDArray[np.intp]) -> "Detections":
        """Returns the faces of these rows, in this order."""
        return Detections(self.boxes[rows], self.landmarks[rows], self.scores[rows])


class QualityIssue(Enum):
    """Why a face is a poor one to compare; the names are those of twin.face.v1.QualityIssue."""

    TOO_SMALL = auto()
    BLURRED = auto()
    TOO_DARK = auto()
    TOO_BRIGHT = auto()
    TURNED_AWAY = auto()
    LOW_CONFIDENCE = auto()


@dataclass(frozen=True, slots=True)
class Quality:
    """How usable a face is for comparison: twin.face.v1.Quality, and the detector's confidence, which is judged too."""

    detection_score: float
    score: float
    sharpness: float
    brightness: float
    yaw_degrees: float
    roll_degrees: float
    size_pixels: float
    issues: tuple[QualityIssue, ...]


@dataclass(frozen=True, slots=True)
class Attributes:
    """What small networks take a face for: the age in years, 0 to 100, and two scores, 0 to 1, that sum to 1."""

    age_years: float
    female_score: float
    male_score: float


@dataclass(frozen=True, slots=True)
class Face:
    """One face of an image. landmarks (5, 2) float32 px; vector (dimension,) float32 of unit length, or None."""

    index: int
    box: Box
    landmarks: Floats
    detection_score: float
    quality: Quality
    primary: bool
    vector: Floats | None
    attributes: Attributes | None = None


@dataclass(frozen=True, slots=True)
class AnalyzedImage:
    """The answer for one image: its upright size in pixels and its faces, the largest first."""

    width: int
    height: int
    faces: tuple[Face, ...]


class FaceChoice(Enum):
    """Which faces of an image are to be embedded."""

    PRIMARY = auto()
    ALL = auto()
    DETECT_ONLY = auto()
    PRIMARY_ONLY = auto()


@dataclass(frozen=True, slots=True)
class Selection:
    """A choice of faces; a face index overrides it."""

    choice: FaceChoice = FaceChoice.PRIMARY
    face_index: int | None = None
