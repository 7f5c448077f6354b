"""CUDA kinds for tests: small enough to be made often, on a fake device or a real one."""

from functools import partial

import numpy as np

from tests.vectorstore import index_conformance
from tests.vectorstore.index_conformance import Rng
from tests.vectorstore.numpy_index import NumpyIndex
from vectorstore.index.base import Vectors
from vectorstore.index.cuda_dense import DenseStore
from vectorstore.index.cuda_device import CudaDevice
from vectorstore.index.cuda_index import CudaIndex
from vectorstore.index.cuda_quantized import QuantizedStore

KINDS = ("cuda-flat-f16", "cuda-flat-f32", "cuda-sq8")
# So few rows are enough for codes here.
LEAST_ROWS = 300
DIMENSION = 16


def make(kind: str, device: CudaDevice, dimension: int = DIMENSION) -> CudaIndex:
    if kind == "cuda-sq8":
        return CudaIndex(
            dimension,
            kind,
            partial(QuantizedStore, device, dimension),
            least_rows=LEAST_ROWS,
            sample_rows=1000,
            same_person_similarity=0.5,
        )
    dtype = np.float16 if kind.endswith("16") else np.float32
    return CudaIndex(dimension, kind, lambda _, __: DenseStore(device, dimension, dtype))


def units(rng: Rng, count: int, dimension: int = DIMENSION) -> Vectors:
    return index_conformance.units(rng, count, dimension)


def filled(kind: str, device: CudaDevice, vectors: Vectors) -> tuple[CudaIndex, NumpyIndex]:
    """Returns an index that works on the device already, and a plain one with the same rows, ids from 10 on."""
    index, plain = make(kind, device, vectors.shape[1]), NumpyIndex()
    ids = np.arange(10, 10 + len(vectors), dtype=np.int64)
    index.add(ids, vectors)
    plain.add(ids, vectors)
    tend(index)
    assert index._store is not None
    return index, plain


def tend(index: CudaIndex) -> None:
    """Does whatever upkeep the index wants."""
    while (work := index.upkeep()) is not None:
        work()()


def assert_equal_answers(
    index: CudaIndex, plain: NumpyIndex, queries: Vectors, k: int, allowed: np.ndarray | None = None
) -> None:
    """Two products round differently: faces whose cosines differ by less than that may be ordered in two ways."""
    expected = plain.search(queries, k, allowed)
    found = index.search(queries, k, allowed, exact=True)
    for query, (ids, cosines), (right_ids, right_cosines) in zip(queries, found, expected, strict=True):
        assert len(ids) == len(right_ids) == len(set(ids.tolist()))
        np.testing.assert_allclose(cosines, right_cosines, atol=1e-6)
        if ids.tolist() != right_ids.tolist():
            assert len(np.setxor1d(ids, right_ids)) <= 2
            true = np.stack([plain.vectors[face_id] for face_id in ids.tolist()]).astype(np.float64) @ query
            np.testing.assert_allclose(cosines, true, atol=1e-6)
            assert allowed is None or np.isin(ids, allowed).all()
