"""A plain index to compare with: one dictionary, one matrix product, one sort."""

from collections.abc import Sequence

import numpy as np

from runtime.vectors import Vector
from vectorstore.index.base import Ids, Neighbours, Vectors


class NumpyIndex:
    """What an exact VectorIndex must answer."""

    def __init__(self) -> None:
        self.vectors: dict[int, Vector] = {}

    def add(self, ids: Ids, vectors: Vectors) -> None:
        self.vectors.update(zip(ids.tolist(), vectors, strict=True))

    def remove(self, ids: Ids) -> int:
        return sum(self.vectors.pop(face_id, None) is not None for face_id in ids.tolist())

    def search(self, vectors: Vectors, k: int, allowed: Ids | None = None) -> Sequence[Neighbours]:
        among = sorted(self.vectors if allowed is None else set(self.vectors) & set(allowed.tolist()))
        if not among:
            return [(np.empty(0, np.int64), np.empty(0, np.float32)) for _ in vectors]
        cosines = vectors @ np.stack([self.vectors[face_id] for face_id in among]).T
        best = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
        return [(np.array(among)[row], cosine[row]) for row, cosine in zip(best, cosines, strict=True)]
