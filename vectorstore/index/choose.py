"""Which kind of index a gallery gets."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import psutil

from runtime.errors import StartupError
from vectorstore.index import cuda_kinds, milvus
from vectorstore.index.base import Arrays, IndexFacts, VectorIndex
from vectorstore.index.cpu import CPU_KINDS, CpuIndex, CpuPlan
from vectorstore.index.cpu_upkeep import LEAST_TRAINING_ROWS
from vectorstore.index.cuda_device import open_device
from vectorstore.index.mapped import MappedFiles
from vectorstore.index.milvus_server import MilvusServer
from vectorstore.index.rehouse import Restore
from vectorstore.index.threads import ScanThreads
from vectorstore.records import GalleryRecord

AUTO: Final = "auto"
# Up to here comparing every vector takes about a millisecond, and codes would gain little.
AUTO_COMPRESS_FROM: Final = 10_000
# From here on a GPU, where there is one, is worth its memory.
AUTO_CUDA_FROM: Final = 50_000
# A gallery moves to the GPU when there is room for so many times its size.
_ROOM_TO_GROW: Final = 2
# Of the memory that is free, the share that codes may take.
_MEMORY_SHARE: Final = 0.8
# Without an add for so long, a gallery is not growing any more.
_QUIET_S: Final = 1.0
# From how many living faces on each kind on the processor has a compressed scan.
_COMPRESS_FROM: Final[Mapping[str, int | None]] = {
    AUTO: AUTO_COMPRESS_FROM,
    "flat": None,
    "compressed": LEAST_TRAINING_ROWS,
}
KINDS: Final = (*_COMPRESS_FROM, *cuda_kinds.CUDA_KINDS, milvus.KIND)


class IndexMaker:
    """Makes indexes of the kind that was asked for."""

    def __init__(
        self, kind: str, folder: Path, scan_threads: int, *, milvus_uri: str = "", milvus_token: str = ""
    ) -> None:
        """folder: where mapped files go. scan_threads: share one query's scan. milvus_uri, _token: for that kind.

        Raises StartupError for no such kind, or one that this machine cannot have.
        """
        check_kind(kind)
        self._kind = kind
        self._mapped = MappedFiles(folder)
        self._threads = ScanThreads(scan_threads)
        if kind in cuda_kinds.CUDA_KINDS:
            # Fails now and not with the first gallery.
            open_device()
        self._milvus: MilvusServer | None = None
        if kind == milvus.KIND:
            if not milvus_uri:
                raise StartupError(
                    "TWIN_INDEX=milvus needs TWIN_MILVUS_URI: a server's address, or a file for Milvus Lite"
                )
            self._milvus = MilvusServer.connect(milvus_uri, folder.parent, token=milvus_token)

    def empty(self, gallery: GalleryRecord, expected_faces: int = 0) -> VectorIndex:
        """Returns an index without faces for a gallery that will have about so many."""
        if self._kind in cuda_kinds.CUDA_KINDS:
            return self._make_cuda(self._kind, gallery)
        if self._milvus is not None:
            return self._milvus.empty(gallery.gallery_id, gallery.dimension)
        plan = self._plan(gallery)
        large = plan.compress_from is not None and expected_faces >= plan.compress_from
        return CpuIndex(gallery.dimension, plan, mapped=large)

    def restore(self, gallery: GalleryRecord, arrays: Arrays) -> VectorIndex:
        """Returns the index that ``to_arrays`` of any kind described; raises KeyError or ValueError otherwise."""
        if self._kind in cuda_kinds.CUDA_KINDS:
            return self._make_cuda(self._kind, gallery, arrays)
        if self._milvus is not None:
            return self._milvus.restore(gallery.gallery_id, gallery.dimension, arrays)
        if self._kind == "flat":
            arrays = {name: arrays[name] for name in ("ids", "vectors")}
        return CpuIndex.from_arrays(arrays, gallery.dimension, self._plan(gallery))

    def better(self, gallery: GalleryRecord, facts: IndexFacts) -> Restore | None:
        """Returns what makes an index of a kind that suits the gallery better now; None when its own does."""
        if self._kind != AUTO or facts.kind not in CPU_KINDS or facts.face_count < AUTO_CUDA_FROM:
            return None
        kind = cuda_kinds.FLAT_F16
        if not cuda_kinds.fits(kind, gallery.dimension, _ROOM_TO_GROW * facts.face_count):
            return None
        return lambda arrays: self._make_cuda(kind, gallery, arrays)

    def keep_only(self, gallery_ids: Iterable[int]) -> None:
        """Has forgotten, elsewhere, what was of galleries that are there no more; blocking."""
        if self._milvus is not None:
            self._milvus.keep_only(gallery_ids)

    def close(self) -> None:
        """Ends threads and connections."""
        self._threads.close()
        if self._milvus is not None:
            self._milvus.close()

    def _make_cuda(self, kind: str, gallery: GalleryRecord, arrays: Arrays | None = None) -> VectorIndex:
        return cuda_kinds.make_cuda(
            kind,
            gallery.dimension,
            same_person_similarity=gallery.calibration.same_person_similarity,
            arrays=arrays,
            allocate=self._mapped,
        )

    def _plan(self, gallery: GalleryRecord) -> CpuPlan:
        return CpuPlan(
            compress_from=_COMPRESS_FROM[self._kind],
            same_person_similarity=gallery.calibration.same_person_similarity,
            mapped=self._mapped,
            threads=self._threads,
            has_room=_has_room,
            quiet_s=_QUIET_S,
        )


def check_kind(kind: str) -> None:
    """Raises StartupError for a kind of index that there is not."""
    if kind not in KINDS:
        raise StartupError(f"TWIN_INDEX={kind!r} is no kind of index; use one of {', '.join(KINDS)}")


def _has_room(byte_count: int) -> bool:
    """Tells whether so much more memory can be taken: of what is free, page cache that can be dropped included."""
    return byte_count <= _MEMORY_SHARE * int(psutil.virtual_memory().available)
