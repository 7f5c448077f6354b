"""choose: which face a photo is of, when nobody says."""

import math
from typing import Final

from embedder.faces import Box

_EDGE_WEIGHT: Final = 0.5
"""What is left of a face's prominence in the corner of the image, where nobody puts the face that they mean."""


def prominence(box: Box, detection_score: float, image_width: int, image_height: int) -> float:
    """Weighs how likely a photo is to be of this face, 0 to 1.

    confidence × side of the face, relative to the image's × (1 at the centre, falling in a straight line to one half in
    the corner). The side, and not the area, counts, so that a central face beats one at the edge that is a little
    larger. Growing, moving to the centre and being surer each raise it, and the size of the photo in pixels changes
    nothing.
    """
    relative_side = math.sqrt(box.area / (image_width * image_height))
    offset_x = box.left + box.width / 2 - image_width / 2
    offset_y = box.top + box.height / 2 - image_height / 2
    distance = min(math.hypot(offset_x, offset_y) / (math.hypot(image_width, image_height) / 2), 1.0)
    return detection_score * relative_side * (1.0 - (1.0 - _EDGE_WEIGHT) * distance)


def choose_primary(boxes: list[Box], detection_scores: list[float], image_width: int, image_height: int) -> int:
    """Returns the position of the most prominent face; the first of equals. boxes must not be empty."""
    weights = [
        prominence(box, score, image_width, image_height) for box, score in zip(boxes, detection_scores, strict=True)
    ]
    return weights.index(max(weights))
