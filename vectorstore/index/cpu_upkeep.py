"""What an index on the processor does beside its searches: codes made and extended, recall measured, rows dropped.

Rows are only ever appended, and a compressed scan never changes, so that all of it is done without the lock; what is
made takes its place at one moment, when the lock is held, together with what came and went meanwhile.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from vectorstore.index.base import Vectors
from vectorstore.index.blocks import Allocator, InMemory, VectorBlocks
from vectorstore.index.compressed import CompressedScan, encodable, encode_rows
from vectorstore.index.cpu_state import CpuState, append_fixed
from vectorstore.index.exact import nearest_rows
from vectorstore.index.recall import (
    CAUTIOUS_CURVE,
    KNOWN_NEIGHBOURS,
    SAMPLE_QUERIES,
    RerankCurve,
    RowLists,
    measure,
)
from vectorstore.index.rows import Mask, RowTable
from vectorstore.index.segment import BLOCK_ROWS, Codebook, can_compress

# Fewer faces than this do not make a codebook.
LEAST_TRAINING_ROWS: Final = 2048
_MOST_TRAINING_ROWS: Final = 8192
# A codebook is made anew when the gallery is so many times as large as it was, until it was this large.
_OUTGROWN: Final = 4
_LARGE: Final = 131_072
# Rows without codes are compared one by one: some thousand at most, for about a tenth of a scan.
_EXTEND_ROWS: Final = 2048
# While the gallery grows, though, coding and measuring are put off until there are so many: they would take the cores
# from adding, and be done again soon.
_GROWING_ROWS: Final = 32_768
# Rows coded at once: others' searches use them from then on.
_MOST_EXTEND_ROWS: Final = 65_536
# The curve is measured anew when the gallery has changed by this share.
_CHANGED_SHARE: Final = 0.25
_COPY_ROWS: Final = 16_384
_QUERIES_AT_ONCE: Final = 32


class Successor(Protocol):
    """A state that is ready but for what happened since its making began."""

    def caught_up(self) -> CpuState:
        """Returns the state with what came and went meanwhile; the lock is held for writing."""


# Takes where float32 vectors are mapped, and the cosine from which on two faces are one person.
Work = Callable[[Allocator, float], Successor]


def next_work(state: CpuState, compress_from: int | None, *, is_growing: bool = False) -> Work | None:
    """Returns the most useful piece of work, None when there is none; the lock is held for reading.

    is_growing: faces were added just now, and more are to be expected.
    """
    rows, scan = state.rows, state.scan
    if is_growing and not rows.wants_compaction() and len(rows) - (scan.count if scan else 0) < _GROWING_ROWS:
        return None
    # As of now: later rows lie beyond it, later removals are caught up with at the end.
    seen = _Seen(state, rows.alive.copy())
    if rows.wants_compaction():
        keep = compress_from is not None and rows.live_count >= compress_from // 2
        return lambda mapped, _: _compact(seen, mapped, keep_scan=keep)
    if compress_from is None or not can_compress(state.vectors.dimension):
        return None
    if scan is None:
        enough = rows.live_count >= max(compress_from, LEAST_TRAINING_ROWS)
        return (lambda mapped, threshold: _build(seen, mapped, threshold)) if enough else None
    if not is_growing and scan.trained_on < _LARGE and rows.live_count >= _OUTGROWN * scan.trained_on:
        return lambda mapped, threshold: _build(seen, mapped, threshold)
    if len(rows) - scan.count >= _EXTEND_ROWS or (not is_growing and _is_behind(state, scan)):
        return lambda _, __: _extend(seen, scan)
    if not is_growing and abs(rows.live_count - scan.measured_on) > _CHANGED_SHARE * scan.measured_on:
        return lambda _, threshold: _Replaced(state, _measured(scan, seen, threshold))
    return None


def _is_behind(state: CpuState, scan: CompressedScan) -> bool:
    """Tells whether rows could be coded or turned into fixed point that are not."""
    return encodable(len(state.rows) - scan.count) > 0 or len(state.fixed) < len(state.rows)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A state as it was when a piece of work began."""

    state: CpuState
    alive: Mask

    @property
    def count(self) -> int:
        return len(self.alive)

    @property
    def vectors(self) -> VectorBlocks:
        return self.state.vectors.frozen(self.count)


@dataclass(frozen=True, slots=True)
class _Replaced:
    """The same rows with another scan; and, when they move, their vectors elsewhere."""

    state: CpuState
    scan: CompressedScan
    moved: VectorBlocks | None = None

    def caught_up(self) -> CpuState:
        if self.moved is not None:
            _append_missing(self.moved, self.state.vectors)
        return dataclasses.replace(self.state, scan=self.scan, vectors=self.moved or self.state.vectors)


def _build(seen: _Seen, mapped: Allocator, same_person_similarity: float) -> Successor:
    state, vectors = seen.state, seen.vectors
    living = np.flatnonzero(seen.alive)
    sample = np.sort(_choose(living, _MOST_TRAINING_ROWS))
    codebook = Codebook.trained(vectors.take(sample))
    count = encodable(seen.count)
    segments = tuple(encode_rows(codebook, vectors, 0, count, []))
    append_fixed(state.fixed, vectors, count)
    scan = CompressedScan(codebook, segments, count, len(living), len(living), CAUTIOUS_CURVE)
    scan = _measured(scan, seen, same_person_similarity)
    moved = None
    if not vectors.is_mapped:
        moved = VectorBlocks(vectors.dimension, np.float32, mapped)
        # Almost all of them without the lock; the few that come meanwhile at the end.
        _append_missing(moved, vectors)
        _append_missing(moved, state.vectors)
    return _Replaced(state, scan, moved)


def _extend(seen: _Seen, scan: CompressedScan) -> Successor:
    state, vectors = seen.state, seen.vectors
    stop = scan.count + encodable(min(seen.count - scan.count, _MOST_EXTEND_ROWS))
    segments = tuple(encode_rows(scan.codebook, vectors, scan.count, stop, scan.segments))
    # The last rows, fewer than codes are made for, too.
    append_fixed(state.fixed, vectors, stop if seen.count - stop >= BLOCK_ROWS else seen.count)
    return _Replaced(state, dataclasses.replace(scan, segments=segments, count=stop))


@dataclass(frozen=True, slots=True)
class _Compacted:
    seen: _Seen
    smaller: CpuState

    def caught_up(self) -> CpuState:
        old, smaller, count = self.seen.state, self.smaller, self.seen.count
        ids, alive = old.rows.ids, old.rows.alive
        if len(ids) > count:
            for _, piece in old.vectors.pieces(count, len(ids), _COPY_ROWS):
                smaller.vectors.append(piece)
            smaller.rows.append(ids[count:])
            smaller.rows.remove(ids[count:][~alive[count:]])
        smaller.rows.remove(ids[:count][self.seen.alive & ~alive[:count]])
        return smaller


def _compact(seen: _Seen, mapped: Allocator, *, keep_scan: bool) -> Successor:
    old = seen.state
    vectors = seen.vectors
    living = np.flatnonzero(seen.alive)
    smaller = CpuState.empty(vectors.dimension, mapped if vectors.is_mapped else InMemory())
    smaller.rows = RowTable()
    smaller.rows.append(old.rows.ids[: seen.count][living])
    for start in range(0, len(living), _COPY_ROWS):
        smaller.vectors.append(vectors.take(living[start : start + _COPY_ROWS]))
    if old.scan is not None and keep_scan:
        count = encodable(len(living))
        segments = tuple(encode_rows(old.scan.codebook, smaller.vectors, 0, count, []))
        append_fixed(smaller.fixed, smaller.vectors, count)
        smaller.scan = dataclasses.replace(old.scan, segments=segments, count=count)
    return _Compacted(seen, smaller)


def _measured(scan: CompressedScan, seen: _Seen, same_person_similarity: float) -> CompressedScan:
    """Returns the scan with a curve that was measured on its own rows."""
    alive = seen.alive[: scan.count]
    living = np.flatnonzero(alive)
    measured_on = int(np.count_nonzero(seen.alive))
    if len(living) <= KNOWN_NEIGHBOURS:
        # Too few to measure, and so few that all are compared.
        return dataclasses.replace(scan, measured_on=measured_on)
    vectors = seen.vectors.frozen(scan.count)
    own_rows = _choose(living, SAMPLE_QUERIES)

    def true_neighbours(queries: Vectors, count: int) -> tuple[RowLists, Vectors]:
        best = nearest_rows(vectors, queries, count, alive)
        return np.stack([rows for rows, _ in best]), np.stack([cosines for _, cosines in best])

    def by_codes(queries: Vectors, count: int) -> RowLists:
        lists = []
        for start in range(0, len(queries), _QUERIES_AT_ONCE):
            found = scan.candidates(queries[start : start + _QUERIES_AT_ONCE], count, alive)
            order = np.argsort(-found.cosines, axis=1, kind="stable")
            lists.append(np.take_along_axis(found.rows, order, axis=1))
        return np.concatenate(lists)

    curve: RerankCurve = measure(vectors.take(own_rows), own_rows, same_person_similarity, true_neighbours, by_codes)
    return dataclasses.replace(scan, curve=curve, measured_on=measured_on)


def _append_missing(vectors: VectorBlocks, all_vectors: VectorBlocks) -> None:
    for _, piece in all_vectors.pieces(len(vectors), len(all_vectors), _COPY_ROWS):
        vectors.append(piece)


def _choose(rows: np.ndarray[tuple[int], np.dtype[np.int64]], most: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Returns at most so many of the rows, the same ones each time."""
    if len(rows) <= most:
        return rows
    chosen: np.ndarray[tuple[int], np.dtype[np.int64]] = np.random.default_rng(len(rows)).choice(
        rows, most, replace=False
    )
    return chosen
