"""The CUDA kinds: candidates from the device, compared in float32 on the host, which has every vector too.

The device rounds, FAISS selects no more than 2,048 and knows nothing of filters. So a search fetches some more than it
needs, compares those exactly, and is done once no row that was not fetched can be better: the store says by how much
it errs. If not, it fetches more, and in the end goes through all.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from runtime.logs import get_logger
from vectorstore.index.base import Ids, IndexFacts, Neighbours, Publish, Upkeep, Vectors
from vectorstore.index.blocks import Allocator, InMemory, VectorBlocks
from vectorstore.index.cuda_candidates import Search, best_rows, living_pieces
from vectorstore.index.cuda_measure import Measured
from vectorstore.index.cuda_store import DeviceStore
from vectorstore.index.exact import Best, among_rows, merged, nearest_rows
from vectorstore.index.recall import CAUTIOUS_CURVE, RerankCurve
from vectorstore.index.rows import Mask, RowTable
from vectorstore.index.saved_array import SavedArray

_log = get_logger(__name__)

# Makes a store from a sample of rows (n, dimension) and the count that is to be expected.
MakeStore = Callable[[Vectors, int], DeviceStore]

# Rows given to the device at once.
_ADD_ROWS: Final = 65_536
# The curve is measured anew when the gallery has changed by this share.
_CHANGED_SHARE: Final = 0.25
# Confined to so few rows, or to less than this share of them, those are gathered on the host.
_GATHER_ROWS: Final = 4096
_GATHER_SHARE: Final = 1 / 256


class CudaIndex:
    """See VectorIndex. What found no room on the device is compared on the host, in the same search."""

    is_local = False

    def __init__(
        self,
        dimension: int,
        kind: str,
        make_store: MakeStore,
        *,
        least_rows: int = 0,
        sample_rows: int = 0,
        same_person_similarity: float | None = None,
        allocate: Allocator | None = None,
        has_room: Callable[[int], bool] = lambda _: True,
    ) -> None:
        """least_rows: the device is used from so many rows on, of which ``make_store`` gets a sample.

        has_room: tells whether the device has room for so many rows, asked before it is used for the first time.
        same_person_similarity: given where an inexact search compares only as many candidates as the gallery was
        measured to need; None: all searches are exact. allocate: where the float32 rows are kept.
        """
        self._dimension = dimension
        self._kind = kind
        self._make_store = make_store
        self._least_rows = least_rows
        self._sample_rows = sample_rows
        self._same_person_similarity = same_person_similarity
        self._allocate = allocate if allocate is not None else InMemory()
        self._has_room = has_room
        self._blocks = VectorBlocks(dimension, np.float32, self._allocate)
        self._rows = RowTable()
        self._store: DeviceStore | None = None
        # Rows with ids up to this one are on the device.
        self._last_on_device = -1
        self._is_full = False
        self._curve = CAUTIOUS_CURVE
        # Living faces when the curve was measured.
        self._measured_on = 0
        if not least_rows:
            self._store = make_store(np.empty((0, dimension), np.float32), 0)

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """See VectorIndex."""
        if vectors.shape != (len(ids), self._dimension):
            raise ValueError(f"vectors must be ({len(ids)}, {self._dimension}), not {vectors.shape}")
        self._rows.check(ids)
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        self._blocks.append(vectors)
        self._rows.append(ids)
        if self._store is not None and not self._is_full:
            self._give(self._store, ids, vectors)

    def adopt(self, ids: Ids, vectors: Vectors) -> None:
        """Takes all rows of a snapshot into an empty index: the vectors where they are, such as in a mapped file.

        Raises ValueError for ids that do not rise, or another shape.
        """
        if vectors.shape != (len(ids), self._dimension):
            raise ValueError(f"vectors must be ({len(ids)}, {self._dimension}), not {vectors.shape}")
        self._rows.append(ids)
        self._blocks.adopt(vectors)
        if self._store is None and len(ids) >= self._least_rows:
            self._store = self._make_store(self._sample(self._blocks, len(ids)), len(ids))
        if self._store is not None:
            for first, piece in self._blocks.pieces(0, len(ids), _ADD_ROWS):
                if not self._is_full:
                    self._give(self._store, ids[first : first + len(piece)], piece)

    def remove(self, ids: Ids) -> int:
        """See VectorIndex."""
        gone = self._rows.ids[np.unique(self._rows.find(ids))]
        removed_count = self._rows.remove(gone)
        if self._store is not None:
            self._store.remove(gone[gone <= self._last_on_device])
        return removed_count

    def search(
        self, vectors: Vectors, k: int, allowed: Ids | None = None, *, exact: bool = False
    ) -> Sequence[Neighbours]:
        """See VectorIndex."""
        queries = np.ascontiguousarray(vectors, dtype=np.float32)
        mask: Mask | None = None
        live_count = self._rows.live_count
        if allowed is not None:
            mask = self._rows.mask_of(allowed)
            live_count = int(np.count_nonzero(mask))
        elif self._rows.tombstone_count:
            mask = self._rows.alive
        k = min(k, live_count)
        if k <= 0:
            return [(np.empty(0, np.int64), np.empty(0, np.float32)) for _ in queries]
        return [(self._rows.ids[rows], cosines) for rows, cosines in self._best(queries, k, mask, live_count, exact)]

    def _best(self, queries: Vectors, k: int, mask: Mask | None, live_count: int, exact: bool) -> list[Best]:
        total = len(self._rows)
        if mask is not None and live_count <= max(_GATHER_ROWS, int(total * _GATHER_SHARE)):
            return among_rows(self._blocks.take, np.flatnonzero(mask), queries, k)
        store = self._store
        if store is None or not len(store):
            return nearest_rows(self._blocks, queries, k, mask)
        on_device = int(np.searchsorted(self._rows.ids, self._last_on_device, side="right"))
        is_proved = exact or self._same_person_similarity is None or not self._curve.is_enough
        curve = None if is_proved else self._curve
        search = Search(store, self._rows.ids, self._blocks, mask, on_device, curve)
        found = best_rows(search, queries, k)
        if on_device == total:
            return found
        return merged([found, nearest_rows(self._blocks, queries, k, mask, start=on_device)], k)

    def reconstruct(self, ids: Ids) -> Vectors:
        """See VectorIndex."""
        rows = self._rows.find(ids)
        if len(rows) != len(ids):
            raise KeyError("an id is not in the index")
        vectors: Vectors = self._blocks.take(rows)
        return vectors

    def live_ids(self) -> Ids:
        """See VectorIndex."""
        return self._rows.ids[self._rows.alive]

    def upkeep(self) -> Upkeep | None:
        """See VectorIndex: drops dead rows, makes the device's part anew where there is no other way, measures it."""
        store, live_count = self._store, self._rows.live_count
        begins = store is None and live_count >= self._least_rows and self._has_room(self._least_rows)
        blocks, alive, ids = self._blocks.frozen(len(self._rows)), self._rows.alive.copy(), self._rows.ids
        if not begins and not self._rows.wants_compaction():
            changed = abs(live_count - self._measured_on) > _CHANGED_SHARE * self._measured_on
            if store is None or self._same_person_similarity is None or not changed:
                return None
            measured = Measured(store, ids, alive, blocks, self._last_on_device, self._same_person_similarity)
            return lambda: self._publish_curve(measured.curve(), live_count)
        # A second copy must fit beside the first; where it does not, dead rows stay and are passed over.
        renews = begins or (store is not None and store.dead_count > 0 and store.has_room_for(live_count))
        return lambda: self._made_smaller(blocks, alive, ids, renews)

    def _publish_curve(self, curve: RerankCurve, measured_on: int) -> Publish:
        def publish() -> None:
            self._curve, self._measured_on = curve, measured_on

        return publish

    def _made_smaller(self, blocks: VectorBlocks, alive: Mask, ids: Ids, renews: bool) -> Publish:
        smaller = CudaIndex(
            self._dimension,
            self._kind,
            self._make_store,
            least_rows=len(alive) + 1,
            sample_rows=self._sample_rows,
            allocate=self._allocate,
        )
        for first, piece in blocks.pieces(0, len(alive), _ADD_ROWS):
            living = alive[first : first + len(piece)]
            smaller.add(ids[first : first + len(piece)][living], piece[living])
        if renews and len(smaller._rows) >= self._least_rows:
            smaller._fill_device()
        return lambda: self._take_over(smaller, alive, renews)

    def _take_over(self, smaller: "CudaIndex", was_alive: Mask, renews: bool) -> None:
        """Becomes the smaller index, with what changed since it was made."""
        start = len(was_alive)
        for first, piece in self._blocks.pieces(start, len(self._rows), _ADD_ROWS):
            smaller.add(self._rows.ids[first : first + len(piece)], piece)
        gone = ~self._rows.alive
        gone[:start] &= was_alive
        smaller.remove(self._rows.ids[gone])
        self._rows, self._blocks = smaller._rows, smaller._blocks
        if renews:
            old, self._store = self._store, smaller._store
            self._last_on_device, self._is_full = smaller._last_on_device, smaller._is_full
            if old is not None:
                old.release()

    def _fill_device(self) -> None:
        """Makes the device's part of all rows that are here."""
        self._store = self._make_store(self._sample(self._blocks, len(self._rows)), len(self._rows))
        for first, piece in self._blocks.pieces(0, len(self._rows), _ADD_ROWS):
            if not self._is_full:
                self._give(self._store, self._rows.ids[first : first + len(piece)], piece)

    def _sample(self, blocks: VectorBlocks, count: int) -> Vectors:
        """Returns up to ``sample_rows`` of the rows, evenly spread."""
        rows = np.unique(np.linspace(0, count - 1, min(count, self._sample_rows)).astype(np.int64))
        sample: Vectors = blocks.take(rows)
        return sample

    def _give(self, store: DeviceStore, ids: Ids, vectors: Vectors) -> None:
        taken = 0
        for start in range(0, len(ids), _ADD_ROWS):
            piece = ids[start : start + _ADD_ROWS]
            taken = start + store.add(piece, vectors[start : start + _ADD_ROWS])
            if taken < start + len(piece):
                self._is_full = True
                _log.warning("the GPU's memory is full; further faces are searched on the processor", faces=len(store))
                break
        if taken:
            self._last_on_device = int(ids[taken - 1])

    def release(self) -> None:
        """Gives the device's memory back now; the index is of no use afterwards."""
        if self._store is not None:
            self._store.release()

    def to_arrays(self) -> dict[str, SavedArray]:
        """See VectorIndex."""
        alive, blocks = self._rows.alive.copy(), self._blocks.frozen(len(self._rows))
        ids = self._rows.ids[alive]
        shape = (len(ids), self._dimension)
        return {
            "ids": SavedArray.of(ids),
            "vectors": SavedArray(np.dtype(np.float32), shape, living_pieces(blocks, alive, _ADD_ROWS)),
        }

    def facts(self) -> IndexFacts:
        """See VectorIndex. The memory is the host's and the device's together."""
        store = self._store
        is_measured = store is not None and self._same_person_similarity is not None
        mapped = self._blocks.nbytes if self._blocks.is_mapped else 0
        return IndexFacts(
            kind=self._kind,
            face_count=self._rows.live_count,
            memory_bytes=self._blocks.nbytes - mapped + self._rows.nbytes + (store.nbytes if store is not None else 0),
            tombstone_count=self._rows.tombstone_count,
            mapped_bytes=mapped,
            rerank_count=self._curve.candidates(10) if is_measured and self._curve.is_enough else 0,
            recall_seen=self._curve.recall_seen if is_measured else 1.0,
            recall_unseen=self._curve.recall_unseen if is_measured else 1.0,
        )
