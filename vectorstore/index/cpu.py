"""The index on the processor: every vector in float32, and, from some size on, a compressed scan in front of them."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from vectorstore.index import cpu_upkeep
from vectorstore.index.base import Arrays, Ids, IndexFacts, Neighbours, Upkeep, Vectors
from vectorstore.index.blocks import Allocator, InMemory
from vectorstore.index.compressed import compare_fixed, compressed_bytes, rerank
from vectorstore.index.cpu_state import CpuState
from vectorstore.index.exact import Best, merged, nearest_rows
from vectorstore.index.rows import Mask
from vectorstore.index.saved_array import SavedArray
from vectorstore.index.threads import ALONE, ScanThreads

FLAT_KIND: Final = "flat-f32-cpu"
COMPRESSED_KIND: Final = "pq4-fastscan-cpu"
CPU_KINDS: Final = (FLAT_KIND, COMPRESSED_KIND)
# Confined to fewer faces than this many times the candidates, those faces' vectors are compared instead of all codes.
_FEW: Final = 6
# Upkeep is put off for at most so many times as long as a gallery must be quiet for.
_PATIENCE: Final = 10
# Rows without codes that are compared beside the candidates; what is beyond is compared in float32.
_MOST_UNCODED: Final = 2048
# Candidates of all queries and segments that are held at once: 24 MiB, and up to 40 that FAISS takes to find them.
_MOST_CANDIDATES: Final = 2**21


@dataclass(frozen=True, slots=True)
class CpuPlan:
    """What an index on the processor is to do as it grows."""

    # Living faces from which on it has a compressed scan; None: never.
    compress_from: int | None
    # Cosine from which on two faces are one person, as the model's calibration has it.
    same_person_similarity: float
    # Where the float32 vectors go once there is a compressed scan, since then they are seldom read.
    mapped: Allocator
    # Share one search.
    threads: ScanThreads = ALONE
    # Tells whether so many bytes more of memory can be had; without them every vector goes on being compared.
    has_room: Callable[[int], bool] = lambda _: True
    # Without an add for so long, a gallery is not growing any more.
    quiet_s: float = 0.0


class CpuIndex:
    """See VectorIndex."""

    is_local = True

    def __init__(self, dimension: int, plan: CpuPlan, state: CpuState | None = None, *, mapped: bool = False) -> None:
        """mapped: the vectors are in mapped files from the start, for a gallery that is known to be large."""
        self._dimension = dimension
        self._plan = plan
        self._last_add_s = -math.inf
        # Since when upkeep has been put off without a break; inf: it is not.
        self._put_off_since_s = math.inf
        self._state = state or CpuState.empty(dimension, plan.mapped if mapped else InMemory())

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """See VectorIndex."""
        if vectors.shape != (len(ids), self._dimension):
            raise ValueError(f"vectors must be ({len(ids)}, {self._dimension}), not {vectors.shape}")
        state = self._state
        state.rows.check(ids)
        state.vectors.append(vectors)
        state.rows.append(ids)
        self._last_add_s = time.monotonic()

    def remove(self, ids: Ids) -> int:
        """See VectorIndex."""
        return self._state.rows.remove(ids)

    def search(
        self, vectors: Vectors, k: int, allowed: Ids | None = None, *, exact: bool = False
    ) -> Sequence[Neighbours]:
        """See VectorIndex."""
        state = self._state
        mask: Mask | None
        if allowed is not None:
            mask = state.rows.mask_of(allowed)
            live_count = int(np.count_nonzero(mask))
        else:
            mask = state.rows.alive if state.rows.tombstone_count else None
            live_count = state.rows.live_count
        k = min(k, live_count)
        if k <= 0:
            return [(np.empty(0, np.int64), np.empty(0, np.float32)) for _ in vectors]
        if exact or state.scan is None or not state.scan.curve.is_enough:
            best = nearest_rows(state.vectors, vectors, k, mask, threads=self._plan.threads)
        else:
            best = self._search_codes(state, vectors, k, mask, live_count)
        ids = state.rows.ids
        return [(ids[rows], cosines) for rows, cosines in best]

    def _search_codes(
        self, state: CpuState, queries: Vectors, k: int, mask: Mask | None, live_count: int
    ) -> list[Best]:
        scan = state.scan
        assert scan is not None
        count = scan.curve.candidates(k)
        coded = scan.count
        # Rows that are there in fixed point; upkeep may be about to append more.
        known = min(len(state.fixed), coded + _MOST_UNCODED)
        if live_count <= _FEW * count:
            rows = np.arange(known) if mask is None else np.flatnonzero(mask[:known])
            best = [compare_fixed(state.fixed, rows, query, k) for query in queries]
        else:
            # Rows that have no codes yet are candidates all of them.
            rows = np.arange(coded, known) if mask is None else coded + np.flatnonzero(mask[coded:known])
            step = max(1, _MOST_CANDIDATES // (count * len(scan.segments)))
            best = []
            for start in range(0, len(queries), step):
                some = queries[start : start + step]
                found = scan.candidates(some, count, mask, self._plan.threads)
                best += rerank(found, some, state.fixed, k, rows)
        if known == len(state.rows):
            return best
        beyond = nearest_rows(state.vectors, queries, k, mask, start=known, threads=self._plan.threads)
        return merged([best, beyond], k)

    def reconstruct(self, ids: Ids) -> Vectors:
        """See VectorIndex."""
        rows = self._state.rows.find(ids)
        if len(rows) != len(ids):
            raise KeyError("an id is not in the index")
        return self._state.vectors.take(rows)

    def live_ids(self) -> Ids:
        """See VectorIndex."""
        return self._state.rows.ids[self._state.rows.alive]

    def upkeep(self) -> Upkeep | None:
        """See VectorIndex."""
        state = self._state
        is_growing = self._puts_off(time.monotonic())
        work = cpu_upkeep.next_work(state, self._plan.compress_from, is_growing=is_growing)
        if work is None or not self._plan.has_room(self._needed_bytes(state)):
            return None

        def prepare() -> Any:
            successor = work(self._plan.mapped, self._plan.same_person_similarity)

            def publish() -> None:
                self._state = successor.caught_up()

            return publish

        return prepare

    def _puts_off(self, now_s: float) -> bool:
        """Tells whether faces come too fast for upkeep to be worth its time now; it never is put off for long."""
        if now_s - self._last_add_s >= self._plan.quiet_s:
            self._put_off_since_s = math.inf
            return False
        if now_s - self._put_off_since_s > _PATIENCE * self._plan.quiet_s:
            self._put_off_since_s = math.inf
            return False
        self._put_off_since_s = min(self._put_off_since_s, now_s)
        return True

    def _needed_bytes(self, state: CpuState) -> int:
        """Returns what upkeep may take of memory beside what there is: codes for the rest, or all of it once more."""
        if not state.rows.wants_compaction():
            return compressed_bytes(self._dimension, len(state.rows) - len(state.fixed))
        living = state.rows.live_count
        vectors = 0 if state.vectors.is_mapped else living * 4 * self._dimension
        return vectors + (compressed_bytes(self._dimension, living) if state.scan is not None else 0)

    def to_arrays(self) -> dict[str, SavedArray]:
        """See VectorIndex."""
        return self._state.to_arrays()

    @classmethod
    def from_arrays(cls, arrays: Arrays, dimension: int, plan: CpuPlan) -> "CpuIndex":
        """Returns the index that ``to_arrays`` described; raises KeyError or ValueError for anything else."""
        return cls(dimension, plan, CpuState.from_arrays(arrays, dimension, plan.mapped))

    def facts(self) -> IndexFacts:
        """See VectorIndex."""
        state = self._state
        scan = state.scan
        mapped_bytes = state.vectors.nbytes if state.vectors.is_mapped else 0
        memory_bytes = state.rows.nbytes + state.fixed.nbytes + state.vectors.nbytes - mapped_bytes
        facts = IndexFacts(
            kind=FLAT_KIND,
            face_count=state.rows.live_count,
            memory_bytes=memory_bytes,
            tombstone_count=state.rows.tombstone_count,
            mapped_bytes=mapped_bytes,
        )
        if scan is None:
            return facts
        return IndexFacts(
            kind=COMPRESSED_KIND,
            face_count=facts.face_count,
            memory_bytes=memory_bytes + scan.nbytes,
            tombstone_count=facts.tombstone_count,
            mapped_bytes=mapped_bytes,
            rerank_count=scan.curve.candidates(10) if scan.curve.is_enough else 0,
            recall_seen=scan.curve.recall_seen,
            recall_unseen=scan.curve.recall_unseen,
        )
