"""The compressed scan: every row's codes are looked at, and the vectors of the best candidates are compared.

Its parts never change once they are made, so that one is searched while the next is built beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from vectorstore.index.base import Vectors
from vectorstore.index.blocks import Rows, VectorBlocks
from vectorstore.index.exact import Best, among_rows, in_order
from vectorstore.index.recall import RerankCurve
from vectorstore.index.rows import Mask
from vectorstore.index.segment import BLOCK_ROWS, SEGMENT_ROWS, Codebook, Segment
from vectorstore.index.threads import ALONE, ScanThreads

# Components lie within -1 to 1. Sixteen bits of fixed point err less than a float16 does from 0.03 on, and a processor
# turns them into float32 ten times as fast.
FIXED_ONE: Final = 32_767.0
_ENCODE_ROWS: Final = 16_384
# Candidates whose vectors are compared at once.
_COMPARED_ROWS: Final = 8192


def to_fixed(vectors: Vectors) -> npt.NDArray[np.int16]:
    """Returns unit vectors as 16-bit fixed point: a cosine then errs by about 1e-5."""
    fixed: npt.NDArray[np.int16] = np.rint(vectors * np.float32(FIXED_ONE)).astype(np.int16)
    return fixed


def from_fixed(rows: npt.NDArray[np.int16]) -> Vectors:
    """Returns fixed point rows as float32, 32,767 times as long as the vectors were."""
    return rows.astype(np.float32)


@dataclass(frozen=True, slots=True)
class CompressedScan:
    """The codes of the first ``count`` rows in segments, and how many candidates it takes to find the nearest."""

    codebook: Codebook
    segments: tuple[Segment, ...]
    count: int
    # Living faces when the codebook was trained, and when the curve was measured.
    trained_on: int
    measured_on: int
    curve: RerankCurve

    @property
    def nbytes(self) -> int:
        """Memory taken by the codes, bytes."""
        return sum(segment.nbytes for segment in self.segments)

    def candidates(self, queries: Vectors, count: int, mask: Mask | None, threads: ScanThreads = ALONE) -> "Candidates":
        """Returns each query's best by the codes, at most ``count``, of rows that the mask allows."""
        tasks = []
        first = 0
        for segment in self.segments:
            part = None if mask is None else mask[first : first + segment.count]
            tasks.append((segment, first, part))
            first += segment.count
        queries = self.codebook.rotated(queries)
        found = threads.share(lambda some: _scan(some, queries, count), tasks)
        if len(found) == 1:
            return found[0]
        return _best(
            np.concatenate([part.cosines for part in found], axis=1),
            np.concatenate([part.rows for part in found], axis=1),
            count,
        )


@dataclass(frozen=True, slots=True)
class Candidates:
    """Approximate cosines and row numbers (queries, m), in no order; -inf where there are fewer."""

    cosines: npt.NDArray[np.float32]
    rows: npt.NDArray[np.int64]


def _scan(tasks: Sequence[tuple[Segment, int, Mask | None]], queries: Vectors, count: int) -> Candidates:
    all_cosines, all_rows = [], []
    for segment, first, mask in tasks:
        cosines, rows = segment.search(queries, count, mask)
        if mask is not None or segment.count < count:
            # FAISS fills up with -1 where fewer were found.
            cosines[rows < 0] = -np.inf
        all_cosines.append(cosines)
        all_rows.append(rows + first)
    if not all_rows:
        return Candidates(np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64))
    if len(all_rows) == 1:
        return Candidates(all_cosines[0], all_rows[0])
    return _best(np.concatenate(all_cosines, axis=1), np.concatenate(all_rows, axis=1), count)


def _best(cosines: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], count: int) -> Candidates:
    if cosines.shape[1] > count:
        top = np.argpartition(cosines, cosines.shape[1] - count, axis=1)[:, -count:]
        cosines, rows = np.take_along_axis(cosines, top, axis=1), np.take_along_axis(rows, top, axis=1)
    return Candidates(cosines, rows)


def rerank(found: Candidates, queries: Vectors, fixed: VectorBlocks, k: int, more: Rows) -> list[Best]:
    """Compares the vectors of the candidates, and of more rows, with the queries; returns each's k best, best first."""
    results = []
    for query, cosines, rows in zip(queries, found.cosines, found.rows, strict=True):
        rows = np.concatenate([rows[np.isfinite(cosines)], more])
        results.append(compare_fixed(fixed, rows, query, k))
    return results


def compare_fixed(fixed: VectorBlocks, rows: Rows, query: npt.NDArray[np.float32], k: int) -> Best:
    """Returns the k rows nearest to the query (dimension,), best first, with cosines from fixed point."""
    if len(rows) > _COMPARED_ROWS:
        # In pieces: as float32 they would take gigabytes.
        best = among_rows(lambda some: from_fixed(fixed.take(some)), rows, query[None], k)[0]
        return best[0], best[1] / np.float32(FIXED_ONE)
    cosines = from_fixed(fixed.take(rows)) @ query
    if len(rows) > k:
        top = np.argpartition(cosines, len(rows) - k)[-k:]
        rows, cosines = rows[top], cosines[top]
    return in_order(rows, cosines / np.float32(FIXED_ONE))


def encode_rows(
    codebook: Codebook, vectors: VectorBlocks, start: int, stop: int, segments: Sequence[Segment]
) -> list[Segment]:
    """Returns the segments with the rows from start to stop behind them.

    A last segment that is not full gives way to a longer one.
    """
    segments = list(segments)
    while start < stop:
        last = segments[-1] if segments and _can_grow(segments[-1]) else None
        have = last.count if last is not None else 0
        end = min(stop, start + SEGMENT_ROWS - have)
        packed = [last.packed] if last is not None else []
        packed += [codebook.encode(piece) for _, piece in vectors.pieces(start, end, _ENCODE_ROWS)]
        longer = Segment(codebook, np.concatenate(packed), have + end - start)
        if last is not None:
            segments[-1] = longer
        else:
            segments.append(longer)
        start = end
    return segments


def _can_grow(segment: Segment) -> bool:
    # Codes follow those of a segment that ends with a whole block only.
    return segment.count < SEGMENT_ROWS and segment.count % BLOCK_ROWS == 0


def encodable(count: int) -> int:
    """Returns how many of so many rows can be coded: whole blocks."""
    return count // BLOCK_ROWS * BLOCK_ROWS


def compressed_bytes(dimension: int, count: int) -> int:
    """Returns the memory that the codes and the fixed point vectors of so many rows take."""
    return count * (2 * dimension + dimension // 4 + 8)
