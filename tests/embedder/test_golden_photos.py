"""What ours finds, and the vectors it gives, beside the insightface package's: on a hundred real photos."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from insightface.utils import face_align

from embedder.engine import Model
from embedder.faces import Face, FaceChoice, Pixels
from tests.embedder.conftest import read_pixels
from tests.embedder.peer import Peer, best_overlaps, boxes_of, cosine, encoded, faces_of, load_peer
from tests.embedder.test_golden import at_detection_size
from tests.support.real_photos import listed_photos

# The peer calls scikit-image in a way that scikit-image is going to give up.
pytestmark = pytest.mark.filterwarnings("ignore:`estimate` is deprecated:FutureWarning")

OWN: Final = ("solvay_photo", "newton_photo", "gauss_photo", "six_faces_photo", "astronaut_photo")
"""Fixtures of photos that are here without fetching."""

SECOND_LOOK_SIDE: Final = 256
"""Pixels to which ours brings the longer side when no face is sure at 640."""

SAME_BOX: Final = 0.9
"""Intersection over union from which two boxes are one."""

SAME_FACE: Final = 0.5
"""Intersection over union from which two boxes show one face."""


@pytest.fixture(scope="module")
def peer(models_dir: Path) -> Peer:
    return load_peer(models_dir / "starter" / "source")


@dataclass(frozen=True, slots=True)
class Seen:
    """A photo's pixels, and what ours made of its file."""

    image: Pixels
    faces: tuple[Face, ...]


@pytest.fixture(scope="module", params=[*OWN, *(photo.place for photo in listed_photos())])
def seen(request: pytest.FixtureRequest, real_photos: list[Path], model: Model) -> Seen:
    if request.param in OWN:
        path: Path = request.getfixturevalue(request.param)
    else:
        path = next(path for path in real_photos if path.as_posix().endswith(f"/{request.param}"))
    return Seen(read_pixels(path), faces_of(model, path.read_bytes(), FaceChoice.ALL))


def test_there_are_photos_enough() -> None:
    assert len(OWN) + len(listed_photos()) >= 40


def test_every_face_of_the_peer_is_found(seen: Seen, model: Model, peer: Peer) -> None:
    image = seen.image
    theirs, ours = peer.boxes(image), boxes_of(seen.faces)
    assert len(ours) >= len(theirs)
    if best_overlaps(theirs, ours).min(initial=1.0) < SAME_BOX:
        # The peer has one rounded scale for both axes, which moves small boxes: without any scaling they must agree.
        image = at_detection_size(image)
        theirs, ours = peer.boxes(image), boxes_of(faces_of(model, encoded(image)))
    for box, overlap in zip(theirs, best_overlaps(theirs, ours), strict=True):
        if overlap < SAME_BOX:
            # Where no face is sure at 640, ours looks again, and a surer box of that look stands for the same face.
            again = peer.boxes_of_second_look(image, SECOND_LOOK_SIDE)
            again = again[best_overlaps(again, box[None]) > SAME_FACE]
            assert best_overlaps(again, ours).max(initial=0.0) >= SAME_BOX, box


def test_vectors_are_the_peers_on_equal_landmarks(seen: Seen, peer: Peer) -> None:
    assert seen.faces, "each of these photos shows a face"
    for face in seen.faces:
        # The starter pack feeds BGR, which the peer does when it is given RGB.
        crop = face_align.norm_crop(seen.image, face.landmarks)[..., ::-1]
        expected = peer.recognizer.get_feat(np.ascontiguousarray(crop))
        assert face.vector is not None
        assert cosine(face.vector, expected) >= 0.999
