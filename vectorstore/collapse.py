"""One match for each person: neighbours that are one person become one, the nearest of them."""

from typing import Final

import numpy as np

from runtime.vectors import Vector
from vectorstore.catalog import Codes
from vectorstore.index.base import Ids, Vectors
from vectorstore.index.rows import Mask

# Further photos that a match carries.
MAX_SAME_PERSON: Final = 10
# Faces that are compared with one another at once.
_PIECE: Final = 64


class PersonCollapser:
    """Takes neighbours, best first and in as many pieces as they come, and groups them by person.

    Two faces are one person when both are known to be the same, or when their cosine is at or over the threshold and
    they are not both known to be different: a name given by people outweighs a resemblance.
    """

    def __init__(self, limit: int, same_person_similarity: float, dimension: int) -> None:
        self._limit = limit
        self._threshold = same_person_similarity
        self._vectors: Vectors = np.empty((0, dimension), np.float32)
        self._codes: Codes = np.empty(0, np.int32)
        # (id, cosine to the query) of each person's faces, the nearest first.
        self.groups: list[list[tuple[int, float]]] = []

    @property
    def is_full(self) -> bool:
        """Tells whether as many persons were found as are wanted."""
        return len(self.groups) >= self._limit

    def feed(self, ids: Ids, cosines: Vector, vectors: Vectors, codes: Codes) -> None:
        """Takes the next neighbours: ids (n,), cosines (n,) descending, vectors (n, dimension), person codes (n,)."""
        for start in range(0, len(ids), _PIECE):
            piece = slice(start, start + _PIECE)
            owners = self._share_out(vectors[piece], codes[piece])
            for owner, face_id, cosine in zip(owners, ids[piece].tolist(), cosines[piece].tolist(), strict=True):
                if owner is not None and len(self.groups[owner]) <= MAX_SAME_PERSON:
                    self.groups[owner].append((face_id, cosine))

    def _share_out(self, vectors: Vectors, codes: Codes) -> list[int | None]:
        """Returns each face's group, the nearest face's first; opens one for who has none, until there are enough.

        A shared name goes before a resemblance to somebody nearer the query.
        """
        named, alike = self._compare(vectors, codes, self._vectors, self._codes)
        earlier_named, earlier_alike = _first_of_each(named), _first_of_each(alike)
        # Faces that open a group here are compared with as well, by their places.
        named, alike = self._compare(vectors, codes, vectors, codes)
        group_count, opened = len(self.groups), list[int]()
        owners: list[int | None] = []
        for place, known in enumerate(codes.tolist()):
            owner = earlier_named[place]
            if owner is None and known:
                owner = _first(named[place], opened, group_count)
            if owner is None:
                owner = earlier_alike[place]
            if owner is None:
                owner = _first(alike[place], opened, group_count)
            if owner is None and not self.is_full:
                owner = len(self.groups)
                self.groups.append([])
                opened.append(place)
            owners.append(owner)
        self._vectors = np.concatenate([self._vectors, vectors[opened]])
        self._codes = np.concatenate([self._codes, codes[opened]])
        return owners

    def _compare(self, vectors: Vectors, codes: Codes, others: Vectors, other_codes: Codes) -> tuple[Mask, Mask]:
        """Returns two (n, m): which of n faces bears the name of which of m others, and which is taken for which.

        Nobody is taken for somebody else where both have names.
        """
        both_known = (codes[:, None] != 0) & (other_codes != 0)
        named = both_known & (codes[:, None] == other_codes)
        return named, ~both_known & (vectors @ others.T >= self._threshold)


def _first_of_each(belongs: Mask) -> list[int | None]:
    """Returns for each row of (n, m) the first place that is true, None for none."""
    if not belongs.shape[1]:
        return [None] * len(belongs)
    firsts = np.where(belongs.any(axis=1), belongs.argmax(axis=1), -1)
    return [first if first >= 0 else None for first in firsts.tolist()]


def _first(belongs: Mask, places: list[int], first_number: int) -> int | None:
    """Returns the number of the first of the places that is true, counted from ``first_number``; None for none."""
    if not places:
        return None
    there = belongs[places]
    first = int(there.argmax())
    return first_number + first if there[first] else None
