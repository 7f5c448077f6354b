"""find: which looks at a photo it takes to know its faces, and when one look is enough."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from embedder.choose import choose_primary
from embedder.detect import Detector, DetectorThresholds, no_detections, overlaps, suppress_overlaps
from embedder.faces import Box, Detections, Floats, Pixels
from embedder.looks import Look, Shrunk, close_up, joined, padded, shrunk_to, turned, turned_back
from embedder.steps import Ask, Stage, run_inline

LONG_SIDE: Final = 640
"""Pixels to which the longer side is brought; 320 loses 4 of the 29 faces of a large group photo."""

SMALL_SIDE: Final = 256
"""The second look's longer side: a face that fills the frame is too large for the anchors at 640."""

FRAME_SIDE: Final = 128
FRAME_SHARE: Final = 0.4
"""Every photo is looked at this small too, at a twentieth of the cost of 640, for faces of at least this share of its
longer side: somebody else's sure face must not hide the one that fills the frame, which nothing at 640 shows.
"""

COARSE_SIDE: Final = 192
"""The longer side when only the primary face is wanted; a close look follows."""

CLOSE_SIDE: Final = 192
CLOSE_MARGIN: Final = 1.6
"""A face's close look: a square of 1.6 times its box, at 192 px, so that each has its landmarks at one scale.

On 38 pairs of one person and 262 of two, the means of the cosines lie 8.12 standard deviations apart, against 8.10 for
a look at 640, at a fifth of its cost; 256 px and twice the box give 7.80, which is no difference at this number.
"""

CLOSE_SHARE: Final = 0.1
"""A coarse look is trusted with faces of at least this share of the photo's longer side."""

MAX_SURE_ROLL_DEGREES: Final = 50.0
"""More than heads are tilted, and less than landmarks of a face on its side say: those lay at 74 to 95 degrees."""

_SAME_FACE_OVERLAP: Final = 0.3
"""Intersection over union of two looks' boxes of one face: boxes of the two scales differ by up to a third."""

_SAME_PLACE_SHARE: Final = 0.5
"""Of the smaller box, within the larger one."""

_QUARTER_TURNS: Final = (1, 2, 3)

Looking = Generator[Ask, list[Detections], Detections]


@dataclass(frozen=True, slots=True)
class _Turned:
    """What one turn showed, in the photo's pixels, and the score of the surest upright face in it; 0 where none is."""

    found: Detections
    surest: float


@dataclass(frozen=True, slots=True)
class Finder:
    """Decides on the looks; the network runs wherever the asks are answered.

    stride: sides of pictures are multiples of it. square: pictures of one shape for all photos, for a network or a
    provider that is made for one.
    """

    thresholds: DetectorThresholds
    stride: int
    fixed_size: tuple[int, int] | None = None
    square: bool = False

    @classmethod
    def of(cls, detector: Detector, *, square: bool = False) -> "Finder":
        """Makes a finder for a detector."""
        return cls(detector.thresholds, detector.coarsest_stride, detector.fixed_size, square)

    def find(self, image: Pixels) -> Looking:
        """Finds every face of a photo, (H, W, 3) uint8 BGR, the surest first, overlaps suppressed once.

        One look at 640 and a tiny one, for faces that fill the frame, where a face is sure. Otherwise a small one too;
        and when still nothing is sure and upright, small looks at the photo turned by each right angle. Large looks at
        it turned, which cost the most, are for photos that showed nobody, or somebody on their side.
        """
        large, small = self._shrunk(image, LONG_SIDE), self._shrunk(image, SMALL_SIDE)
        candidates = yield from self._look_twice(image, large)
        if not self._is_sure(candidates):
            candidates = joined([candidates, (yield from self._look(small))])
            if not self._is_sure(candidates):
                better = yield from self._look_turned(large, small, candidates)
                candidates = joined([_apart_from(candidates, better), better])
        return suppress_overlaps(candidates, self.thresholds.overlap)

    def find_primary(self, image: Pixels) -> Looking:
        """Finds the one face that a photo is of: coarsely, then closely. Returns it alone.

        Falls back to finding every face when nothing sure is found, or what was found is small.
        """
        coarse = yield from self._look(self._shrunk(image, COARSE_SIDE))
        # Not sure yet: the close look is what decides.
        coarse = suppress_overlaps(coarse, self.thresholds.overlap)
        primary = primary_of(coarse, image)
        # Of several, one that the coarse look does not show so well may be the one.
        if len(coarse) == 1 and len(primary) and self._is_large(primary.boxes[0], image):
            close = yield from self._look_closely(image, primary.boxes[0])
            if self._is_sure(close):
                return close
        return primary_of((yield from self.find(image)), image)

    def _is_sure(self, found: Detections) -> bool:
        return len(self._sure_rows(found)) > 0

    def _sure_rows(self, found: Detections) -> npt.NDArray[np.intp]:
        """Returns the rows of the faces that make another look needless: sure, and about upright.

        Of faces on their side the detector is sometimes sure, with landmarks that no vector can be made from.
        """
        return np.flatnonzero((found.scores >= self.thresholds.sure) & (roll_degrees(found) <= MAX_SURE_ROLL_DEGREES))

    def _is_large(self, box: Floats, image: Pixels) -> bool:
        left, top, right, bottom = box.tolist()
        return bool(max(right - left, bottom - top) >= CLOSE_SHARE * max(image.shape[:2]))

    def _shrunk(self, image: Pixels, long_side: int) -> Shrunk:
        if self.fixed_size is not None:
            long_side = min(long_side, *self.fixed_size)
        return shrunk_to(image, long_side)

    def _canvas(self, shrunk: Shrunk) -> Look:
        height, width = shrunk.pixels.shape[:2]
        if self.fixed_size is not None:
            return padded(shrunk, *self.fixed_size)
        if self.square:
            height = width = max(height, width)
        # Up to the coarsest stride, and no further: empty margin costs as much as picture.
        return padded(shrunk, -(-height // self.stride) * self.stride, -(-width // self.stride) * self.stride)

    def _look(self, shrunk: Shrunk) -> Looking:
        look = self._canvas(shrunk)
        [found] = yield Ask(Stage.DETECT, [look.canvas])
        return look.to_photo(found)

    def _look_twice(self, image: Pixels, large: Shrunk) -> Looking:
        """Looks at the photo large and tiny; of the tiny look only sure faces count that fill much of the frame.

        Where both show a face, the large look's box and landmarks are the finer ones.
        """
        tiny = self._shrunk(image, FRAME_SIDE)
        looks = [self._canvas(large), self._canvas(tiny)]
        found, whole = yield Ask(Stage.DETECT, [look.canvas for look in looks])
        found, whole = looks[0].to_photo(found), looks[1].to_photo(whole)
        if not self._is_sure(found):
            # A look in between is next, which shows such a face more finely.
            return found
        sides = (whole.boxes[:, 2:] - whole.boxes[:, :2]).max(axis=1, initial=0.0)
        known = found.boxes.astype(np.float64)
        new = [
            row
            for row in self._sure_rows(whole)
            if sides[row] >= FRAME_SHARE * max(image.shape[:2])
            and overlaps(whole.boxes[row].astype(np.float64), known).max(initial=0.0) < _SAME_FACE_OVERLAP
        ]
        return joined([found, whole.rows(np.array(new, np.intp))])

    def _look_turned(self, large: Shrunk, small: Shrunk, seen: Detections) -> Looking:
        """Looks at a photo turned by each right angle; returns what the turn with the surest face shows.

        Returns nobody when no turn shows a sure face, or only one less sure than an upright one that was seen.
        """
        upright = np.flatnonzero(roll_degrees(seen) <= MAX_SURE_ROLL_DEGREES)
        to_beat = max(seen.scores[upright].tolist(), default=0.0)
        first = yield from self._looks_turned(small, _QUARTER_TURNS)
        best = max(first, key=lambda turns: first[turns].surest)
        if first[best].surest > to_beat:
            more = yield from self._looks_turned(large, (best,))
            return joined([first[best].found, more[best].found])
        if not len(upright):
            everywhere = yield from self._looks_turned(large, _QUARTER_TURNS)
            best = max(everywhere, key=lambda turns: everywhere[turns].surest)
            if everywhere[best].surest:
                return joined([first[best].found, everywhere[best].found])
        return no_detections()

    def _looks_turned(
        self, shrunk: Shrunk, all_turns: Sequence[int]
    ) -> Generator[Ask, list[Detections], dict[int, _Turned]]:
        looks = [self._canvas(Shrunk(turned(shrunk.pixels, turns), (1.0, 1.0))) for turns in all_turns]
        results = yield Ask(Stage.DETECT, [look.canvas for look in looks])
        height, width = shrunk.pixels.shape[:2]
        as_stored = Look(shrunk.pixels, shrunk.scale)
        return {
            turns: _Turned(
                as_stored.to_photo(turned_back(found, turns, height, width)),
                # Judged as it was seen, before it is turned back.
                max(found.scores[self._sure_rows(found)].tolist(), default=0.0),
            )
            for turns, found in zip(all_turns, results, strict=True)
        }

    def _look_closely(self, image: Pixels, row: Floats) -> Looking:
        """Looks at one face alone; returns the detection that is the same face, or none."""
        side = CLOSE_SIDE if self.fixed_size is None else min(CLOSE_SIDE, *self.fixed_size)
        look = close_up(image, _box(row), CLOSE_MARGIN, side)
        canvas = self._canvas(Shrunk(look.canvas, look.scale)).canvas
        [found] = yield Ask(Stage.DETECT, [canvas])
        return _same_face(look.to_photo(found), row)


def roll_degrees(found: Detections) -> npt.NDArray[np.float64]:
    """Returns how far each face is rolled from upright, (n,) 0..180: by the line of its eyes and that of its mouth."""
    left_eye, right_eye, _, left_mouth, right_mouth = np.moveaxis(found.landmarks.astype(np.float64), 1, 0)
    across = right_eye - left_eye + right_mouth - left_mouth
    angles: npt.NDArray[np.float64] = np.abs(np.degrees(np.arctan2(across[:, 1], across[:, 0])))
    return angles


def find_faces(detector: Detector, image: Pixels) -> Detections:
    """Finds every face of a photo, in the calling thread."""
    return run_inline(Finder.of(detector).find(image), {Stage.DETECT: detector.detect_mixed}, lambda: None)


def primary_of(found: Detections, image: Pixels) -> Detections:
    """Returns the most prominent of the faces alone; none where there is none."""
    height, width = image.shape[:2]
    boxes = [_box(row).clipped_to(width, height) for row in found.boxes]
    inside = [row for row, box in enumerate(boxes) if box.area > 0]
    if not inside:
        return no_detections()
    chosen = choose_primary([boxes[row] for row in inside], found.scores[inside].tolist(), width, height)
    return found.rows(np.array([inside[chosen]]))


def _apart_from(found: Detections, better: Detections) -> Detections:
    """Leaves out what lies mostly within a face of better, or around it: boxes of faces on their side are too long."""
    keep = np.ones(len(found), bool)
    sides = np.clip(found.boxes[:, 2:] - found.boxes[:, :2], 0, None)
    for box in better.boxes:
        shared = np.minimum(found.boxes[:, 2:], box[2:]) - np.maximum(found.boxes[:, :2], box[:2])
        smaller = np.minimum(sides.prod(axis=1), np.prod(box[2:] - box[:2]))
        keep &= np.clip(shared, 0, None).prod(axis=1) < _SAME_PLACE_SHARE * smaller
    return found.rows(np.flatnonzero(keep))


def _same_face(candidates: Detections, box: Floats) -> Detections:
    """Returns the surest candidate that overlaps the box enough, alone, or none."""
    share = overlaps(box.astype(np.float64), candidates.boxes.astype(np.float64))
    same = np.flatnonzero(share >= _SAME_FACE_OVERLAP)
    if not same.size:
        return no_detections()
    return candidates.rows(same[[candidates.scores[same].argmax()]])


def _box(row: Floats) -> Box:
    left, top, right, bottom = (float(value) for value in row)
    return Box(left, top, right - left, bottom - top)
