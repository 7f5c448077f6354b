"""Which kind of index a gallery gets."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from runtime.errors import StartupError
from vectorstore.index.base import Arrays, VectorIndex
from vectorstore.index.cpu import CpuIndex, CpuPlan
from vectorstore.index.cpu_upkeep import LEAST_TRAINING_ROWS
from vectorstore.index.mapped import MappedFiles
from vectorstore.index.threads import ScanThreads
from vectorstore.records import GalleryRecord

# Up to here comparing every vector takes about a millisecond, and codes would gain little.
AUTO_COMPRESS_FROM: Final = 10_000
# From how many living faces on each kind on the processor has a compressed scan.
_COMPRESS_FROM: Final[Mapping[str, int | None]] = {
    "auto": AUTO_COMPRESS_FROM,
    "flat": None,
    "compressed": LEAST_TRAINING_ROWS,
}


class IndexMaker:
    """Makes indexes of the kind that was asked for."""

    def __init__(self, kind: str, folder: Path, scan_threads: int) -> None:
        """folder: where mapped files go. scan_threads: share one query's scan. Raises StartupError for no such kind."""
        check_kind(kind)
        self._compress_from = _COMPRESS_FROM[kind]
        self._mapped = MappedFiles(folder)
        self._threads = ScanThreads(scan_threads)

    def empty(self, gallery: GalleryRecord, expected_faces: int = 0) -> VectorIndex:
        """Returns an index without faces for a gallery that will have about so many."""
        large = self._compress_from is not None and expected_faces >= self._compress_from
        return CpuIndex(gallery.dimension, self._plan(gallery), mapped=large)

    def restore(self, gallery: GalleryRecord, arrays: Arrays) -> VectorIndex:
        """Returns the index that ``to_arrays`` described; raises KeyError or ValueError for anything else."""
        return CpuIndex.from_arrays(arrays, gallery.dimension, self._plan(gallery))

    def close(self) -> None:
        """Ends the threads."""
        self._threads.close()

    def _plan(self, gallery: GalleryRecord) -> CpuPlan:
        return CpuPlan(
            compress_from=self._compress_from,
            same_person_similarity=gallery.calibration.same_person_similarity,
            mapped=self._mapped,
            threads=self._threads,
        )


def check_kind(kind: str) -> None:
    """Raises StartupError for a kind of index that there is not."""
    if kind not in _COMPRESS_FROM:
        raise StartupError(f"TWIN_INDEX={kind!r} is no kind of index; use one of {', '.join(_COMPRESS_FROM)}")
