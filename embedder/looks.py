"""What a detector is shown, and how what it finds there is brought back to the photo."""

import math
from dataclasses import dataclass

import numpy as np

from embedder.faces import Box, Detections, Floats, Pixels
from runtime.images.opencv import cv2


@dataclass(frozen=True, slots=True)
class Look:
    """One picture for the network, (H, W, 3) uint8 BGR, and where it lies in the photo.

    A point p of the picture is the point p × scale + offset of the photo, both (x, y) px.
    """

    canvas: Pixels
    scale: tuple[float, float]
    offset: tuple[float, float] = (0.0, 0.0)

    def to_photo(self, found: Detections) -> Detections:
        """Brings detections from the picture's pixels to the photo's."""
        scale, offset = np.array(self.scale, np.float32), np.array(self.offset, np.float32)
        return Detections(
            boxes=found.boxes * np.tile(scale, 2) + np.tile(offset, 2),
            landmarks=found.landmarks * scale + offset,
            scores=found.scores,
        )


@dataclass(frozen=True, slots=True)
class Shrunk:
    """A photo brought to a size: pixels (h, w, 3), and the photo's pixels for each of its own, along x and y."""

    pixels: Pixels
    scale: tuple[float, float]


def shrunk_to(image: Pixels, long_side: int) -> Shrunk:
    """Brings the longer side to long_side px, larger or smaller, and the shorter along, a part of a pixel cut off.

    Those are InsightFace's sizes. But each axis has its own exact scale: one rounded scale for both, as InsightFace has
    it, moves landmarks by up to a pixel of the network's input and the vectors with them.
    """
    height, width = image.shape[:2]
    small_height, small_width = (max(side * long_side // max(height, width), 1) for side in (height, width))
    pixels = np.asarray(cv2.resize(image, (small_width, small_height)), np.uint8)
    return Shrunk(pixels, (width / small_width, height / small_height))


def padded(shrunk: Shrunk, canvas_height: int, canvas_width: int) -> Look:
    """Puts a shrunk photo into the top left of a black canvas."""
    return Look(_on_canvas(shrunk.pixels, canvas_height, canvas_width), shrunk.scale)


def _on_canvas(pixels: Pixels, height: int, width: int) -> Pixels:
    if pixels.shape[:2] == (height, width):
        return pixels
    canvas = np.zeros((height, width, 3), np.uint8)
    canvas[: pixels.shape[0], : pixels.shape[1]] = pixels
    return canvas


def turned(pixels: Pixels, quarter_turns: int) -> Pixels:
    """Turns a picture clockwise by quarter turns, 1 to 3."""
    turns = (cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_COUNTERCLOCKWISE)
    return np.asarray(cv2.rotate(pixels, turns[quarter_turns - 1]), np.uint8)


def turned_back(found: Detections, quarter_turns: int, height: int, width: int) -> Detections:
    """Brings detections of a picture that was turned clockwise back to the picture as it was, height × width px.

    A whole number is the middle of a pixel, here as in OpenCV's warp: the last pixel becomes the first.
    """

    def back(points: Floats) -> Floats:
        x, y = points[..., 0], points[..., 1]
        match quarter_turns:
            case 1:
                moved = (y, height - 1 - x)
            case 2:
                moved = (width - 1 - x, height - 1 - y)
            case _:
                moved = (width - 1 - y, x)
        return np.stack(moved, axis=-1)

    corners = back(found.boxes.reshape(-1, 2, 2))
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    return Detections(boxes, back(found.landmarks), found.scores)


def close_up(image: Pixels, box: Box, margin: float, side: int) -> Look:
    """Cuts a square around a face, margin times its longer side, out of the photo and brings it to side × side px.

    What lies outside of the photo is black.
    """
    height, width = image.shape[:2]
    length = max(math.ceil(margin * max(box.width, box.height)), 1)
    left = round(box.left + box.width / 2 - length / 2)
    top = round(box.top + box.height / 2 - length / 2)
    inside_left, inside_top = max(left, 0), max(top, 0)
    part = image[inside_top : min(top + length, height), inside_left : min(left + length, width)]
    if part.shape[:2] != (length, length):
        whole = np.zeros((length, length, 3), np.uint8)
        y, x = inside_top - top, inside_left - left
        whole[y : y + part.shape[0], x : x + part.shape[1]] = part
        part = whole
    canvas = np.asarray(cv2.resize(part, (side, side)), np.uint8)
    return Look(canvas, (length / side, length / side), (float(left), float(top)))


def joined(parts: list[Detections]) -> Detections:
    """Puts detections together, in the order given."""
    return Detections(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.landmarks for part in parts]),
        np.concatenate([part.scores for part in parts]),
    )
