"""Telling the person in the query from everybody else."""

from typing import Final

import numpy as np

from runtime.vectors import Vector
from vectorstore.catalog import Codes
from vectorstore.index.base import Ids
from vectorstore.index.rows import Mask

# Photos of the person in the query that an answer carries.
MAX_YOURSELF: Final = 100


class Yourself:
    """Collects, from neighbours that come best first, the photos of the person in the query.

    A face is of that person when its cosine is at or over the threshold, unless both are known by different names; and
    when it bears a name that the query's face, or one found so, is known by.
    """

    def __init__(self, same_person_similarity: float, person_code: int, photo_code: int) -> None:
        self._threshold = same_person_similarity
        self._person_code = person_code
        self._photo_code = photo_code
        self._known_codes = {person_code} - {0}
        # (id, cosine to the query), best first.
        self.faces: list[tuple[int, float]] = []

    def claim(self, ids: Ids, cosines: Vector, codes: Codes, photo_codes: Codes) -> Mask:
        """Takes what is of the person in the query; returns which of the faces those were.

        Nobody is in one photo twice: a face of the query's own photo that is this much alike is claimed, since it is no
        other person that could be told apart, but neither shown nor believed.
        """
        near = cosines >= self._threshold
        if self._person_code:
            near &= (codes == 0) | (codes == self._person_code)
        elsewhere = photo_codes != self._photo_code
        self._known_codes |= {int(code) for code in codes[near & elsewhere]} - {0}
        claimed = near | np.isin(codes, list(self._known_codes))
        for place in np.flatnonzero(claimed & elsewhere)[: MAX_YOURSELF - len(self.faces)]:
            self.faces.append((int(ids[place]), float(cosines[place])))
        return claimed
