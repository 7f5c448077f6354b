"""A CUDA driver and FAISS's GPU classes as an index sees them, with the traps of the real ones.

Memory is bounded and filled with rubbish; what was asked of it is done at ``synchronize`` and not before, as FAISS's
streams wait for no other; everything but ``memory`` bears one thread; asking to select more than 2,048 ends the
process, here by an exception that nobody catches as an error; selectors are ignored; a search with nprobe under the
number of lists leaves lists out.
"""

import threading
from collections.abc import Callable
from typing import Any, Final

import faiss
import numpy as np
import numpy.typing as npt

from vectorstore.index.cuda_device import CudaDevice
from vectorstore.index.cuda_driver import DeviceFull
from vectorstore.index.owner import DeviceOwner

_FAISS: Final[Any] = faiss
_FIRST_ADDRESS: Final = 0x7F00_0000_0000
_ALIGNMENT: Final = 512


class ProcessEnded(BaseException):
    """FAISS_ASSERT: the real one ends the process."""


class FakeDriver:
    """See Driver."""

    name = "a fake device"

    def __init__(self, total_bytes: int = 2**30) -> None:
        self.total_bytes = total_bytes
        self.allocations: dict[int, npt.NDArray[np.uint8]] = {}
        self._next_address = _FIRST_ADDRESS
        self._thread: int | None = None
        self._pending: list[Callable[[], None]] = []

    def enter(self) -> None:
        self._thread = threading.get_ident()

    def check_thread(self) -> None:
        assert threading.get_ident() == self._thread, "the device was used from another thread than its owner's"

    def check_settled(self) -> None:
        assert not self._pending, "the device was used before what was asked of it before was done"

    def used_bytes(self) -> int:
        return sum(map(len, list(self.allocations.values())))

    def memory(self) -> tuple[int, int]:
        return self.total_bytes - self.used_bytes(), self.total_bytes

    def allocate(self, size: int) -> int:
        self.check_thread()
        if size > self.memory()[0]:
            raise DeviceFull("no room")
        address = self._next_address
        self._next_address += -(-size // _ALIGNMENT) * _ALIGNMENT + _ALIGNMENT
        self.allocations[address] = np.full(size, 0x3C, np.uint8)
        return address

    def release(self, address: int) -> None:
        self.check_thread()
        del self.allocations[address]

    def upload(self, address: int, rows: npt.NDArray[Any]) -> None:
        self.check_thread()
        assert rows.flags.c_contiguous
        target = self.bytes_at(address, rows.nbytes)
        self._pending.append(lambda: np.copyto(target, rows.view(np.uint8).ravel()))

    def copy(self, address: int, source: int, size: int) -> None:
        self.check_thread()
        target, origin = self.bytes_at(address, size), self.bytes_at(source, size)
        self._pending.append(lambda: np.copyto(target, origin))

    def clear(self, address: int, size: int) -> None:
        self.check_thread()
        target = self.bytes_at(address, size)
        self._pending.append(lambda: target.fill(0))

    def synchronize(self) -> None:
        self.check_thread()
        pending, self._pending = self._pending, []
        for work in pending:
            work()

    def bytes_at(self, address: int, size: int) -> npt.NDArray[np.uint8]:
        """Returns memory of one allocation; anything else is a fault that the real device answers with an error."""
        for start, memory in self.allocations.items():
            if start <= address and address + size <= start + len(memory):
                return memory[address - start : address - start + size]
        raise ProcessEnded(f"{size} bytes at {address:#x} are not allocated")


class _Parameters:
    """GpuDistanceParams: nothing else can be set on it."""

    __slots__ = (
        "device", "dims", "ignoreOutDistances", "k", "metric", "metricArg", "numQueries", "numVectors", "outDistances",
        "outIndices", "outIndicesType", "queries", "queriesRowMajor", "queryType", "use_cuvs", "vectorNorms",
        "vectorType", "vectors", "vectorsRowMajor",
    )  # fmt: skip


class _Config:
    __slots__ = ("device", "flatConfig", "indicesOptions", "interleavedLayout", "memorySpace", "useFloat16", "use_cuvs")


class FakeLibrary:
    """The part of the faiss module that a GPU build adds, over a FakeDriver; the rest is the real one's."""

    METRIC_INNER_PRODUCT = _FAISS.METRIC_INNER_PRODUCT
    ScalarQuantizer = _FAISS.ScalarQuantizer
    DistanceDataType_F32, DistanceDataType_F16 = 1, 2
    IndicesDataType_I64 = 1
    INDICES_64_BIT = 3
    GpuDistanceParams = _Parameters
    GpuIndexFlatConfig = _Config
    GpuIndexIVFScalarQuantizerConfig = _Config

    def __init__(self, driver: FakeDriver) -> None:
        self.driver = driver
        self.scans: list[int] = []
        self.error: Exception | None = None
        # The threads in which FAISS's objects were ended.
        self.ended_in: list[int] = []

    def StandardGpuResources(self) -> object:  # noqa: N802
        self.driver.check_thread()
        return self

    def cast_integer_to_void_ptr(self, address: int) -> int:
        return address

    def swig_ptr(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        assert array.flags.c_contiguous
        return array

    def vector_to_array(self, vector: Any) -> npt.NDArray[np.float32]:
        array: npt.NDArray[np.float32] = faiss.vector_to_array(vector)
        return array

    def copy_array_to_vector(self, array: npt.NDArray[np.float32], vector: Any) -> None:
        faiss.copy_array_to_vector(array, vector)

    def begin_scan(self, query_count: int, k: int) -> None:
        self.driver.check_thread()
        self.driver.check_settled()
        if self.error is not None:
            raise self.error
        if k > 2048:
            raise ProcessEnded(f"k = {k}")
        self.scans.append(query_count)

    def bfKnn(self, resources: object, order: Any) -> None:  # noqa: N802
        assert resources is self
        self.begin_scan(order.numQueries, order.k)
        if not (order.k > 0 or order.k == -1) or order.numVectors <= 0 or order.numQueries <= 0:
            raise RuntimeError("bfKnn: wrong sizes")
        assert order.vectorType == order.queryType
        assert order.metric == self.METRIC_INNER_PRODUCT
        assert order.device == -1
        assert not order.use_cuvs
        dtype = np.dtype(np.float16 if order.vectorType == self.DistanceDataType_F16 else np.float32)
        assert order.queries.dtype == dtype
        assert order.queries.shape == (order.numQueries, order.dims)
        size = order.numVectors * order.dims * dtype.itemsize
        stored = self.driver.bytes_at(order.vectors, size).view(dtype).reshape(-1, order.dims)
        cosines = order.queries.astype(np.float32) @ stored.astype(np.float32).T
        if order.k == -1:
            order.outDistances[:] = cosines
            return
        best = np.argsort(-cosines, axis=1, kind="stable")[:, : order.k]
        order.outDistances[:] = -np.finfo(np.float32).max
        order.outIndices[:] = -1
        assert order.outIndicesType == self.IndicesDataType_I64
        order.outDistances[:, : best.shape[1]] = np.take_along_axis(cosines, best, axis=1)
        order.outIndices[:, : best.shape[1]] = best

    def GpuIndexFlatIP(self, resources: object, dimension: int, config: Any) -> Any:  # noqa: N802
        assert resources is self
        assert not config.use_cuvs
        self.driver.check_thread()
        return _FAISS.IndexFlatIP(dimension)

    def GpuIndexIVFScalarQuantizer(self, resources: object, *arguments: Any) -> "_QuantizedIndex":  # noqa: N802
        assert resources is self
        return _QuantizedIndex(self, *arguments)


class _QuantizedIndex:
    """GpuIndexIVFScalarQuantizer: FAISS's own on the processor, which codes values alike."""

    def __init__(
        self,
        library: FakeLibrary,
        quantizer: Any,
        dimension: int,
        list_count: int,
        kind: int,
        metric: int,
        by_residual: bool,
        config: Any,
    ) -> None:
        assert not config.use_cuvs
        assert config.indicesOptions == library.INDICES_64_BIT
        assert quantizer.ntotal == list_count <= 2048
        assert not by_residual
        self._library = library
        self._inner = _FAISS.IndexIVFScalarQuantizer(quantizer, dimension, list_count, kind, metric, by_residual)
        self._row_bytes = dimension + 8
        self._addresses: list[int] = []
        self.nprobe = 1

    def train(self, sample: npt.NDArray[np.float32]) -> None:
        self._library.driver.check_thread()
        self._inner.train(sample)

    @property
    def sq(self) -> Any:
        return self._inner.sq

    def add_with_ids(self, vectors: npt.NDArray[np.float32], ids: npt.NDArray[np.int64]) -> None:
        self._library.driver.check_thread()
        assert vectors.dtype == np.float32
        try:
            self._addresses.append(self._library.driver.allocate(len(ids) * self._row_bytes))
        except DeviceFull:
            raise RuntimeError("StandardGpuResources: alloc fail (cudaMalloc error out of memory [2])") from None
        self._inner.add_with_ids(vectors, ids)

    def search(self, queries: npt.NDArray[np.float32], k: int, *, params: Any = None) -> Any:
        self._library.begin_scan(len(queries), k)
        self._inner.nprobe = self.nprobe
        return self._inner.search(queries, k)

    def __del__(self) -> None:
        self._library.ended_in.append(threading.get_ident())
        for address in self._addresses:
            self._library.driver.allocations.pop(address, None)


def fake_device(total_bytes: int = 2**30, **owner_settings: Any) -> CudaDevice:
    """Returns a device without a device; its owner must be stopped."""
    driver = FakeDriver(total_bytes)
    return CudaDevice(driver, FakeLibrary(driver), DeviceOwner("a fake device", **owner_settings))
