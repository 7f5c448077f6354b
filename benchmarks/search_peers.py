"""Indexes of others that are called within a process: FAISS, hnswlib, usearch.

Every graph is built stronger than its library's defaults, with 32 neighbours (64 in the lowest layer) and 200 looked at
for each vector; FAISS's also as it comes, with 40, since that is built four times as fast.
"""

from typing import Any, Final

import faiss
import numpy as np

from benchmarks.contestant import InProcess, Setup
from benchmarks.galleries import DIMENSION, Rows
from benchmarks.search_data import Found, K

_FAISS: Final[Any] = faiss
# What a graph looks at before it answers, from fast to thorough.
EFFORTS: Final[tuple[str, ...]] = ("64", "128", "256", "512", "1024", "2048")
# M: each vector's neighbours, twice as many in the lowest layer.
NEIGHBOURS: Final = 32
# efConstruction.
BUILD_EFFORT: Final = 200
_PIECE: Final = 50_000


class FaissFlat(InProcess):
    """IndexFlatIP with FAISS's defaults: the exact answer, and what everybody's time is compared with."""

    variants: tuple[str, ...] = ("exact",)
    chooses = False

    def __init__(self, setup: Setup) -> None:
        self._file = setup.folder / "index.faiss"
        self._index: Any = None
        faiss.omp_set_num_threads(setup.threads)

    def build(self, rows: Rows) -> None:
        self._index = self._empty()
        for start in range(0, len(rows), _PIECE):
            self._index.add(np.ascontiguousarray(rows[start : start + _PIECE]))

    def bytes_each(self) -> dict[str, float]:
        return {"memory": _FAISS.serialize_index(self._index).nbytes / self._index.ntotal}

    def search(self, probes: Rows, variant: str, threads: int) -> Found:
        # FAISS's number of threads belongs to the thread that calls.
        faiss.omp_set_num_threads(threads)
        found: Found = self._index.search(probes, K)[1]
        return found

    def add(self, ids: Found, rows: Rows) -> None:
        self._index.add(rows)

    def remove(self, ids: Found) -> None:
        self._index.remove_ids(_FAISS.IDSelectorRange(int(ids[0]), int(ids[-1]) + 1))

    def close(self) -> None:
        faiss.write_index(self._index, str(self._file))

    def open(self) -> None:
        self._index = faiss.read_index(str(self._file))

    def _empty(self) -> Any:
        return faiss.IndexFlatIP(DIMENSION)


class FaissHnsw(FaissFlat):
    """IndexHNSWFlat by inner product, built with FAISS's default effort."""

    variants = EFFORTS
    chooses = True
    # None: FAISS's own, 40.
    build_effort: int | None = None

    def search(self, probes: Rows, variant: str, threads: int) -> Found:
        faiss.omp_set_num_threads(threads)
        parameters = _FAISS.SearchParametersHNSW(efSearch=int(variant))
        found: Found = self._index.search(probes, K, params=parameters)[1]
        return found

    def remove(self, ids: Found) -> None:
        raise NotImplementedError("FAISS's graph cannot remove")

    def _empty(self) -> Any:
        index = _FAISS.IndexHNSWFlat(DIMENSION, NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
        if self.build_effort is not None:
            index.hnsw.efConstruction = self.build_effort
        return index


class FaissHnswStrong(FaissHnsw):
    """The same, built with more effort."""

    build_effort: int | None = BUILD_EFFORT


class Hnswlib(InProcess):
    """hnswlib by inner product."""

    variants = EFFORTS
    chooses = True

    def __init__(self, setup: Setup) -> None:
        import hnswlib

        self._file, self._threads = setup.folder / "index.hnswlib", setup.threads
        self._index: Any = hnswlib.Index(space="ip", dim=DIMENSION)

    def build(self, rows: Rows) -> None:
        self._index.init_index(len(rows), ef_construction=BUILD_EFFORT, M=NEIGHBOURS)
        for start in range(0, len(rows), _PIECE):
            piece = rows[start : start + _PIECE]
            self._index.add_items(piece, np.arange(start, start + len(piece)), num_threads=self._threads)

    def bytes_each(self) -> dict[str, float]:
        return {"memory": self._index.index_file_size() / self._index.get_current_count()}

    def search(self, probes: Rows, variant: str, threads: int) -> Found:
        # Its effort is the index's own and not the call's: callers of one variant at a time, as here, may set it.
        self._index.set_ef(max(int(variant), K))
        found = self._index.knn_query(probes, K, num_threads=threads)[0]
        return np.asarray(found, dtype=np.int64)

    def add(self, ids: Found, rows: Rows) -> None:
        self._index.resize_index(self._index.get_current_count() + len(ids))
        self._index.add_items(rows, ids, num_threads=self._threads)

    def remove(self, ids: Found) -> None:
        for row in ids:
            self._index.mark_deleted(int(row))

    def close(self) -> None:
        self._index.save_index(str(self._file))

    def open(self) -> None:
        self._index.load_index(str(self._file))


class Usearch(InProcess):
    """usearch by inner product, vectors kept as float16."""

    variants = EFFORTS
    chooses = True

    def __init__(self, setup: Setup) -> None:
        from usearch.index import Index

        self._file, self._threads = setup.folder / "index.usearch", setup.threads
        self._index: Any = Index(
            ndim=DIMENSION, metric="ip", dtype="f16", connectivity=NEIGHBOURS, expansion_add=BUILD_EFFORT
        )

    def build(self, rows: Rows) -> None:
        for start in range(0, len(rows), _PIECE):
            piece = np.ascontiguousarray(rows[start : start + _PIECE])
            self._index.add(np.arange(start, start + len(piece)), piece, threads=self._threads)

    def bytes_each(self) -> dict[str, float]:
        return {
            "memory": self._index.serialized_length / len(self._index),
            "allocated": self._index.memory_usage / len(self._index),
        }

    def search(self, probes: Rows, variant: str, threads: int) -> Found:
        self._index.expansion_search = int(variant)
        found = self._index.search(probes, K, threads=threads).keys
        return np.asarray(found, dtype=np.int64).reshape(len(probes), K)

    def add(self, ids: Found, rows: Rows) -> None:
        self._index.add(ids, rows, threads=self._threads)

    def remove(self, ids: Found) -> None:
        self._index.remove(ids, threads=self._threads)

    def close(self) -> None:
        self._index.save(str(self._file))

    def open(self) -> None:
        self._index.load(str(self._file))
