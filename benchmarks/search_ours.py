"""This project's index, called within a process."""

from datetime import UTC, datetime
from typing import Any, Final

import faiss
import numpy as np

from benchmarks.contestant import InProcess, Setup
from benchmarks.galleries import DIMENSION, Rows
from benchmarks.search_data import Found, K
from vectorstore.index.choose import IndexMaker
from vectorstore.index.sealed_file import read_sealed, write_sealed
from vectorstore.records import CAUTIOUS_CALIBRATION, GalleryRecord

# Added in one call, as the follower does.
_PIECE: Final = 8192
_GALLERY: Final = GalleryRecord(
    1, "default", "bench", DIMENSION, CAUTIOUS_CALIBRATION, create_time=datetime(2026, 1, 1, tzinfo=UTC)
)


class Ours(InProcess):
    """The kind that ``auto`` takes for a gallery of this size, with all upkeep done."""

    variants: tuple[str, ...] = ("fast", "exact")
    chooses = False

    def __init__(self, setup: Setup) -> None:
        self._file = setup.folder / "index.sealed"
        self._maker = IndexMaker("auto", setup.folder / "rows", setup.threads)
        self._index: Any = None

    def build(self, rows: Rows) -> None:
        self._index = self._maker.empty(_GALLERY, len(rows))
        for start in range(0, len(rows), _PIECE):
            piece = np.ascontiguousarray(rows[start : start + _PIECE])
            self.add(np.arange(start, start + len(piece)), piece)
        while (work := self._index.upkeep()) is not None:
            work()()

    def bytes_each(self) -> dict[str, float]:
        facts = self._index.facts()
        return {"memory": facts.memory_bytes / facts.face_count, "mapped": facts.mapped_bytes / facts.face_count}

    def search(self, probes: Rows, variant: str, threads: int) -> Found:
        # As in the service: several searches run beside one another, and none of them has FAISS's own threads.
        faiss.omp_set_num_threads(1)
        found = np.full((len(probes), K), -1, np.int64)
        for turn, (ids, _) in enumerate(self._index.search(probes, K, exact=variant == "exact")):
            found[turn, : len(ids)] = ids
        return found

    def add(self, ids: Found, rows: Rows) -> None:
        self._index.add(ids, rows)

    def remove(self, ids: Found) -> None:
        self._index.remove(ids)

    def close(self) -> None:
        write_sealed(self._file, self._index.to_arrays())
        self._maker.close()

    def open(self) -> None:
        self._index = self._maker.restore(_GALLERY, read_sealed(self._file))

    def abort(self) -> None:
        self._maker.close()
