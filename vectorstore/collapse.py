"""One match for each person: neighbours that are one person become one, the nearest of them."""

from typing import Final

import numpy as np
import numpy.typing as npt

from runtime.vectors import Vector
from vectorstore.catalog import Codes
from vectorstore.index.base import Ids, Vectors

# Further photos that a match carries.
MAX_SAME_PERSON: Final = 10


class PersonCollapser:
    """Takes neighbours, best first and in as many pieces as they come, and groups them by person.

    Two faces are one person when both are known to be the same, or when their cosine is at or over the threshold and
    they are not both known to be different: a name given by people outweighs a resemblance.
    """

    def __init__(self, limit: int, same_person_similarity: float, dimension: int) -> None:
        self._limit = limit
        self._threshold = same_person_similarity
        self._vectors: Vectors = np.empty((0, dimension), np.float32)
        self._codes: list[int] = []
        # (id, cosine to the query) of each person's faces, the nearest first.
        self.groups: list[list[tuple[int, float]]] = []

    @property
    def is_full(self) -> bool:
        """Tells whether as many persons were found as are wanted."""
        return len(self.groups) >= self._limit

    def feed(self, ids: Ids, cosines: Vector, vectors: Vectors, codes: Codes) -> None:
        """Takes the next neighbours: ids (n,), cosines (n,) descending, vectors (n, dimension), person codes (n,)."""
        owners = self._owners(vectors, codes, first_group=0)
        while True:
            unowned = np.flatnonzero(owners < 0)
            if not len(unowned) or self.is_full:
                break
            # The nearest that is nobody's yet is a new person, and may own some of those behind it.
            self._open(vectors[unowned[0]], int(codes[unowned[0]]))
            owners[unowned] = self._owners(vectors[unowned], codes[unowned], first_group=len(self.groups) - 1)
            # A face without any likeness to itself (rounding, a threshold of 1) is still its own person.
            owners[unowned[0]] = len(self.groups) - 1
        for place in np.flatnonzero(owners >= 0):
            group = self.groups[owners[place]]
            if len(group) <= MAX_SAME_PERSON:
                group.append((int(ids[place]), float(cosines[place])))

    def _open(self, vector: Vector, code: int) -> None:
        self._vectors = np.concatenate([self._vectors, vector[None]])
        self._codes.append(code)
        self.groups.append([])

    def _owners(self, vectors: Vectors, codes: Codes, first_group: int) -> npt.NDArray[np.int64]:
        """Returns for each face the first group from ``first_group`` on that it belongs to, -1 for none."""
        group_codes = np.array(self._codes[first_group:], dtype=np.int32)
        if not len(group_codes) or not len(vectors):
            return np.full(len(vectors), -1, dtype=np.int64)
        both_known = (codes[:, None] != 0) & (group_codes[None] != 0)
        same_name = codes[:, None] == group_codes[None]
        alike = vectors @ self._vectors[first_group:].T >= self._threshold
        belongs = np.where(both_known, same_name, alike)
        # A shared name goes before a resemblance to somebody nearer the query.
        named = belongs & both_known
        first = np.where(named.any(axis=1), named.argmax(axis=1), belongs.argmax(axis=1))
        return np.where(belongs.any(axis=1), first + first_group, -1).astype(np.int64)
