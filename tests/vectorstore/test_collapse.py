"""Grouping by person, beside the same rule applied to one face after the other."""

import numpy as np
import pytest

from vectorstore.collapse import MAX_SAME_PERSON, PersonCollapser

Rng = np.random.Generator
DIMENSION = 8
THRESHOLD = 0.8


def _plain(limit: int, vectors: np.ndarray, codes: np.ndarray) -> list[list[int]]:
    """Returns the places of each person's faces."""
    groups: list[list[int]] = []
    for place in range(len(vectors)):
        named = [g for g, group in enumerate(groups) if codes[place] and codes[group[0]] == codes[place]]
        alike = [
            g
            for g, group in enumerate(groups)
            if not (codes[place] and codes[group[0]]) and vectors[group[0]] @ vectors[place] >= THRESHOLD
        ]
        if named or alike:
            groups[(named or alike)[0]].append(place)
        elif len(groups) < limit:
            groups.append([place])
    return [group[: MAX_SAME_PERSON + 1] for group in groups]


def _faces(rng: Rng, count: int) -> tuple[np.ndarray, np.ndarray]:
    centres = rng.standard_normal((12, DIMENSION))
    vectors = centres[rng.integers(12, size=count)] + 0.4 * rng.standard_normal((count, DIMENSION))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), rng.choice([0, 0, 1, 2, 3], size=count).astype(np.int32)


@pytest.mark.parametrize("limit", [1, 5, 1000])
@pytest.mark.parametrize("piece", [1, 7, 64, 300])
def test_faces_are_grouped_as_one_after_the_other_however_they_come(rng: Rng, limit: int, piece: int) -> None:
    vectors, codes = _faces(rng, 300)
    people = PersonCollapser(limit, THRESHOLD, DIMENSION)
    ids, cosines = np.arange(300) + 1000, np.linspace(1, -1, 300).astype(np.float32)
    for start in range(0, 300, piece):
        some = slice(start, start + piece)
        people.feed(ids[some], cosines[some], vectors[some], codes[some])
    expected = _plain(limit, vectors, codes)
    assert [[face_id - 1000 for face_id, _ in group] for group in people.groups] == expected
    assert all(cosine == cosines[face_id - 1000] for group in people.groups for face_id, cosine in group)
    assert people.is_full == (len(expected) >= limit)


def test_a_face_unlike_itself_is_still_a_person() -> None:
    people = PersonCollapser(5, 1.1, DIMENSION)
    same = np.full((3, DIMENSION), DIMENSION**-0.5, np.float32)
    people.feed(np.arange(3), np.ones(3, np.float32), same, np.zeros(3, np.int32))
    assert [len(group) for group in people.groups] == [1, 1, 1]
