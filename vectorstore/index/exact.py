"""Comparing every vector: products of blocks of rows with all queries at once, keeping the best as it goes.

A matrix product for many queries is several times as fast as FAISS's flat search, which skips BLAS below its
process-wide threshold, and as fast for one.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from runtime.vectors import Vector
from vectorstore.index.base import Vectors
from vectorstore.index.blocks import Rows, VectorBlocks
from vectorstore.index.rows import Mask
from vectorstore.index.threads import ALONE, ScanThreads

# One query's best rows and their cosines, best first.
Best = tuple[Rows, Vector]
# Cosines held at once: 4 MiB, so that they stay in the cache between the product and the look at them.
_MOST_COSINES: Final = 2**20
_LEAST_ROWS: Final = 4096
_MOST_ROWS: Final = 16_384
# Confined to less than this share of the rows, those are gathered; otherwise all are multiplied and the others masked.
_GATHER_SHARE: Final = 0.25
_GATHER_ROWS: Final = 8192
# From so many rows on, a search is shared between threads: below, handing it over would take as long.
_SHARED_ROWS: Final = 32_768


def nearest_rows(
    vectors: VectorBlocks,
    queries: Vectors,
    k: int,
    mask: Mask | None = None,
    *,
    start: int = 0,
    threads: ScanThreads = ALONE,
) -> list[Best]:
    """Returns for each query (n, dimension) its k best rows from ``start`` on, of those that a mask (rows,) allows."""
    stop = len(vectors)
    if mask is not None:
        rows = start + np.flatnonzero(mask[start:stop])
        if len(rows) < _GATHER_SHARE * (stop - start):
            return among_rows(vectors.take, rows, queries, k)
    most_rows = min(_MOST_ROWS, max(_LEAST_ROWS, _MOST_COSINES // max(1, len(queries))))
    pieces = list(vectors.pieces(start, stop, most_rows))
    if len(pieces) * most_rows < _SHARED_ROWS:
        threads = ALONE
    parts = threads.share(lambda some: _nearest_in(some, queries, k, mask), pieces)
    return parts[0] if len(parts) == 1 else merged(parts, k)


def _nearest_in(pieces: Sequence[tuple[int, Vectors]], queries: Vectors, k: int, mask: Mask | None) -> list[Best]:
    best = BestRows(len(queries), k)
    for first, piece in pieces:
        cosines = products(piece, queries)
        if mask is not None:
            cosines[~mask[first : first + len(piece)]] = -np.inf
        best.feed(np.arange(first, first + len(piece), dtype=np.int64), cosines)
    return best.results()


def among_rows(take: Callable[[Rows], Vectors], rows: Rows, queries: Vectors, k: int) -> list[Best]:
    """Returns for each query (n, dimension) the k best of the rows (m,), whose vectors ``take`` returns."""
    best = BestRows(len(queries), k)
    for place in range(0, len(rows), _GATHER_ROWS):
        piece = rows[place : place + _GATHER_ROWS]
        best.feed(piece, products(take(piece), queries))
    return best.results()


def products(rows: Vectors, queries: Vectors) -> npt.NDArray[np.float32]:
    """Returns the cosines (rows, queries)."""
    if len(queries) == 1:
        # A matrix by a vector: NumPy takes a matrix of one column for a matrix, at several times the cost.
        cosines: npt.NDArray[np.float32] = (rows @ queries[0])[:, None]
    else:
        cosines = rows @ queries.T
    return cosines


class BestRows:
    """The k best rows of each query so far."""

    def __init__(self, query_count: int, k: int) -> None:
        self._k = k
        self._rows: list[Rows] = [np.empty(0, np.int64)] * query_count
        self._cosines: list[Vector] = [np.empty(0, np.float32)] * query_count
        # Each query's k-th best; below it nothing is of interest.
        self._least: npt.NDArray[np.float32] = np.full(query_count, -np.inf, np.float32)

    def feed(self, rows: Rows, cosines: npt.NDArray[np.float32]) -> None:
        """Takes more rows (m,) with their cosines (m, queries); -inf: not to be returned."""
        if not len(rows):
            return
        for query in np.flatnonzero(cosines.max(axis=0) > self._least):
            column = cosines[:, query]
            places = np.flatnonzero(column > self._least[query])
            found = column[places]
            if len(found) > 4 * self._k:
                top = np.argpartition(found, len(found) - self._k)[-self._k :]
                places, found = places[top], found[top]
            self._merge(int(query), rows[places], found)

    def _merge(self, query: int, rows: Rows, cosines: Vector) -> None:
        rows = np.concatenate([self._rows[query], rows])
        cosines = np.concatenate([self._cosines[query], cosines])
        if len(rows) > self._k:
            top = np.argpartition(cosines, len(cosines) - self._k)[-self._k :]
            rows, cosines = rows[top], cosines[top]
        if len(rows) == self._k:
            self._least[query] = cosines.min()
        self._rows[query], self._cosines[query] = rows, cosines

    def results(self) -> list[Best]:
        """Returns each query's best, best first; of equally good ones the lower row first."""
        return [in_order(rows, cosines) for rows, cosines in zip(self._rows, self._cosines, strict=True)]


def in_order(rows: Rows, cosines: Vector) -> Best:
    """Returns rows and cosines, best first."""
    order = np.lexsort((rows, -cosines))
    return rows[order], cosines[order]


def merged(parts: Iterable[Sequence[Best]], k: int) -> list[Best]:
    """Returns each query's k best out of several parts' answers to the same queries."""
    results = []
    for answers in zip(*parts, strict=True):
        rows = np.concatenate([rows for rows, _ in answers])
        cosines = np.concatenate([cosines for _, cosines in answers])
        best_rows, best_cosines = in_order(rows, cosines)
        results.append((best_rows[:k], best_cosines[:k]))
    return results
