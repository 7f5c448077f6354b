"""Every vector compared, in float32, with FAISS: exact, and fast enough for some hundred thousand faces."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import faiss
import numpy as np

from vectorstore.index.base import Ids, IndexFacts, Neighbours, Vectors
from vectorstore.index.rows import Mask, RowTable
from vectorstore.index.sealed_file import DamagedFile, read_sealed, write_sealed

# FAISS's Python layer replaces the constructors that its stubs describe.
_FAISS: Final[Any] = faiss

KIND: Final = "flat-f32-cpu"
# From this many queries on, one matrix product for all of them beats FAISS's row after row, which skips BLAS below its
# process-wide threshold; and FAISS's heap is slow for a k in the thousands.
_PRODUCT_FROM_QUERIES: Final = 4
_PRODUCT_FROM_K: Final = 1024
# Cosines held at once by the matrix product: 32 MiB.
_PRODUCT_BLOCK_VALUES: Final = 8 * 2**20


class FlatIndex:
    """Exact search over an IndexFlatIP, with the id map and the tombstones outside."""

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self._flat: Any = faiss.IndexFlatIP(dimension)
        self._rows = RowTable()
        # FAISS takes tombstones as one bit a row; packed again after each change only.
        self._alive_selector: Any = None

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """See VectorIndex."""
        if vectors.shape != (len(ids), self._dimension):
            raise ValueError(f"vectors must be ({len(ids)}, {self._dimension}), not {vectors.shape}")
        self._rows.append(ids)
        self._flat.add(np.ascontiguousarray(vectors, dtype=np.float32))
        self._alive_selector = None

    def remove(self, ids: Ids) -> int:
        """See VectorIndex."""
        self._alive_selector = None
        return self._rows.remove(ids)

    def search(self, vectors: Vectors, k: int, allowed: Ids | None = None) -> Sequence[Neighbours]:
        """See VectorIndex."""
        if allowed is None:
            mask, live_count = self._rows.alive, self._rows.live_count
        else:
            mask = np.zeros(len(self._rows), dtype=np.bool_)
            mask[self._rows.find(allowed)] = True
            live_count = int(np.count_nonzero(mask))
        k = min(k, live_count)
        if k <= 0:
            return [(np.empty(0, np.int64), np.empty(0, np.float32)) for _ in vectors]
        if len(vectors) >= _PRODUCT_FROM_QUERIES or k >= _PRODUCT_FROM_K:
            return self._search_by_product(vectors, k, mask)
        return self._search_by_faiss(vectors, k, mask, confined=allowed is not None)

    def _search_by_faiss(self, vectors: Vectors, k: int, mask: Mask, *, confined: bool) -> list[Neighbours]:
        if confined:
            selector = _selector(mask)
        elif self._rows.tombstone_count:
            # Two readers may both make it: the later one replaces an equal one.
            selector = self._alive_selector = self._alive_selector or _selector(mask)
        else:
            selector = None
        parameters = _FAISS.SearchParameters(sel=selector[0]) if selector is not None else None
        cosines, rows = self._flat.search(np.ascontiguousarray(vectors), k, params=parameters)
        return [(self._rows.ids[row[row >= 0]], cosine[row >= 0]) for row, cosine in zip(rows, cosines, strict=True)]

    def _search_by_product(self, vectors: Vectors, k: int, mask: Mask) -> list[Neighbours]:
        stored = self._stored()
        dead = None if mask.all() else ~mask
        step = max(1, _PRODUCT_BLOCK_VALUES // len(stored))
        found: list[Neighbours] = []
        for start in range(0, len(vectors), step):
            cosines = vectors[start : start + step] @ stored.T
            if dead is not None:
                cosines[:, dead] = -np.inf
            for row_cosines in cosines:
                if k < len(row_cosines):
                    rows = np.argpartition(row_cosines, len(row_cosines) - k)[-k:]
                else:
                    rows = np.arange(len(row_cosines))
                rows = rows[np.lexsort((rows, -row_cosines[rows]))]
                found.append((self._rows.ids[rows], row_cosines[rows]))
        return found

    def reconstruct(self, ids: Ids) -> Vectors:
        """See VectorIndex."""
        rows = self._rows.find(ids)
        if len(rows) != len(ids):
            raise KeyError("an id is not in the index")
        vectors: Vectors = self._stored()[rows]
        return vectors

    def live_ids(self) -> Ids:
        """See VectorIndex."""
        return self._rows.ids[self._rows.alive]

    def wants_compaction(self) -> bool:
        """See VectorIndex."""
        return self._rows.wants_compaction()

    def compacted(self) -> "FlatIndex":
        """See VectorIndex."""
        smaller = FlatIndex(self._dimension)
        alive = np.flatnonzero(self._rows.alive)
        stored = self._stored()
        smaller._rows.append(self._rows.ids[alive])
        # In pieces: a whole copy beside the new one would take three times the memory.
        for start in range(0, len(alive), 16_384):
            smaller._flat.add(stored[alive[start : start + 16_384]])
        return smaller

    def save(self, path: Path) -> None:
        """See VectorIndex."""
        alive = self._rows.alive
        stored = self._stored()
        write_sealed(path, {"ids": self._rows.ids[alive], "vectors": stored if alive.all() else stored[alive]})

    @classmethod
    def load(cls, path: Path) -> "FlatIndex":
        """See VectorIndex."""
        arrays = read_sealed(path)
        ids, vectors = arrays.get("ids"), arrays.get("vectors")
        if ids is None or vectors is None or vectors.ndim != 2 or vectors.dtype != np.float32:
            raise DamagedFile(f"{path.name} is no flat index")
        index = cls(vectors.shape[1])
        try:
            index.add(ids.astype(np.int64), vectors)
        except ValueError:
            raise DamagedFile(f"{path.name} holds ids that do not fit its vectors") from None
        return index

    def facts(self) -> IndexFacts:
        """See VectorIndex."""
        return IndexFacts(
            kind=KIND,
            face_count=self._rows.live_count,
            memory_bytes=int(self._flat.ntotal) * self._dimension * 4 + self._rows.nbytes,
            tombstone_count=self._rows.tombstone_count,
        )

    def _stored(self) -> Vectors:
        """Returns FAISS's own memory as (rows, dimension), not copied; valid until the next add."""
        count = int(self._flat.ntotal)
        if count == 0:
            return np.empty((0, self._dimension), np.float32)
        view: Vectors = faiss.rev_swig_ptr(self._flat.get_xb(), count * self._dimension).reshape(count, -1)
        return view


def _selector(mask: Mask) -> tuple[Any, Any]:
    """Returns FAISS's selector of the rows, and the bits that it points to, which must outlive it."""
    bits = np.packbits(mask, bitorder="little")
    return _FAISS.IDSelectorBitmap(bits), bits
