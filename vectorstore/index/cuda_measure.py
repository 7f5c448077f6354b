"""How many of a device's candidates it takes: measured on the gallery itself, beside its searches and changes."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vectorstore.index.base import Ids, Vectors
from vectorstore.index.blocks import VectorBlocks
from vectorstore.index.cuda_candidates import Search, best_rows
from vectorstore.index.cuda_device import MAX_SELECTED
from vectorstore.index.cuda_store import DeviceStore
from vectorstore.index.recall import CAUTIOUS_CURVE, KNOWN_NEIGHBOURS, SAMPLE_QUERIES, RerankCurve, RowLists, measure
from vectorstore.index.rows import Mask


@dataclass(frozen=True, slots=True)
class Measured:
    """A gallery as it was when the measuring was asked for: what came since is overlooked, its vectors never move."""

    store: DeviceStore
    ids: Ids
    alive: Mask
    blocks: VectorBlocks
    last_on_device: int
    same_person_similarity: float

    def curve(self) -> RerankCurve:
        """Returns what was measured; blocking, some hundred searches."""
        on_device = int(np.searchsorted(self.ids, self.last_on_device, side="right"))
        living = np.flatnonzero(self.alive[:on_device])
        if len(living) <= KNOWN_NEIGHBOURS:
            return CAUTIOUS_CURVE
        own_rows = living[np.unique(np.linspace(0, len(living) - 1, SAMPLE_QUERIES).astype(np.int64))]
        exact = Search(self.store, self.ids, self.blocks, self.alive, on_device, None)

        def true_neighbours(queries: Vectors, count: int) -> tuple[RowLists, npt.NDArray[np.float32]]:
            best = best_rows(exact, queries, count)
            return np.stack([rows for rows, _ in best]), np.stack([cosines for _, cosines in best])

        return measure(
            self.blocks.take(own_rows), own_rows, self.same_person_similarity, true_neighbours, self._by_device
        )

    def _by_device(self, queries: Vectors, count: int) -> RowLists:
        _, ids = self.store.fetch(queries, min(count, MAX_SELECTED, len(self.store)))
        rows = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        # What is dead, or came later, is nobody's neighbour.
        return np.where((self.ids[rows] == ids) & self.alive[rows], rows, -1)
