"""Rows in float16 or float32 on a device, in memory of our own, compared by FAISS's brute-force search.

A removed row is overwritten by the last one, so that a search never meets it and a delete leaves nothing on the device;
memory comes in chunks, so that rows never move as a gallery grows.
"""

import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vectorstore.index.base import Ids, Vectors
from vectorstore.index.columns import Column
from vectorstore.index.cuda_device import MAX_SELECTED, CudaDevice, guarded
from vectorstore.index.cuda_driver import DeviceFull
from vectorstore.index.cuda_store import Fetched
from vectorstore.index.rows import RowTable

# Rows of a first chunk. A later one has half of what is there already: each costs a search a call of its own.
_CHUNK_ROWS: Final = 65_536
# Rows converted and uploaded at once: 16 MiB of float16 at 512 dimensions.
_UPLOAD_ROWS: Final = 16_384
# Cosines brought back at once, 64 MiB.
_MOST_COSINES: Final = 2**24
_ROUNDING: Final = {np.dtype(np.float16): 2.0**-11, np.dtype(np.float32): 0.0}
# Values under 2^-14 are kept to 2^-25 and not to 2^-11 of themselves.
_SUBNORMAL: Final = 2.0**-25
# A sum of products in float32, in whatever order: at most this much for each dimension, and the products with it.
_SUMMING: Final = 2.0**-23


@dataclass(slots=True)
class _Chunk:
    """A piece of the device's memory. start: its first row; used: how many of its rows are filled."""

    address: int
    start: int
    capacity: int
    used: int = 0


class DenseStore:
    """See DeviceStore: every row as it is, rounded to the dtype."""

    def __init__(self, device: CudaDevice, dimension: int, dtype: type[np.float16] | type[np.float32]) -> None:
        self._device = device
        self._dimension = dimension
        self._dtype = np.dtype(dtype)
        self._row_bytes = dimension * self._dtype.itemsize
        self._chunks: list[_Chunk] = []
        # Where each id is, and which id is where.
        self._table = RowTable()
        self._slots: Column[np.int64] = Column(np.int64)
        self._ids: Column[np.int64] = Column(np.int64)
        self._last_id = -1
        self._count = 0
        # Nobody tells a store that its gallery was dropped, or lives elsewhere now.
        weakref.finalize(self, device.owner.post, partial(_release, device, self._chunks)).atexit = False
        self.kind = f"cuda-flat-f{self._dtype.itemsize * 8}"

    def __len__(self) -> int:
        return self._count

    @property
    def dead_count(self) -> int:
        """See DeviceStore: none, since removed rows are overwritten."""
        return 0

    @property
    def nbytes(self) -> int:
        """See DeviceStore."""
        return sum(chunk.capacity for chunk in self._chunks) * self._row_bytes

    def has_room_for(self, row_count: int) -> bool:
        """See DeviceStore."""
        return self._device.room_bytes() >= row_count * self._row_bytes

    def add(self, ids: Ids, vectors: Vectors) -> int:
        """See DeviceStore."""
        known = int(np.searchsorted(ids, self._last_id, side="right"))
        taken = self._device.run(lambda: self._upload(vectors[known:]))
        self._table.append(ids[known : known + taken])
        self._slots.append(np.arange(self._count, self._count + taken))
        # Rows that moved away left room behind the last one.
        self._ids.append(np.full(max(0, self._count + taken - len(self._ids)), -1))
        self._ids.values[self._count : self._count + taken] = ids[known : known + taken]
        self._count += taken
        if taken:
            self._last_id = int(ids[known + taken - 1])
        return known + taken

    def remove(self, ids: Ids) -> None:
        """See DeviceStore."""
        rows = np.unique(self._table.find(ids))
        if not len(rows):
            return
        slots = np.sort(self._slots.values[rows])
        left = self._count - len(slots)
        holes = slots[slots < left]
        movers = np.setdiff1d(np.arange(left, self._count), slots)
        self._device.run(lambda: self._move(movers, holes, left))
        moved = self._ids.values[movers]
        self._ids.values[holes] = moved
        self._slots.values[self._table.find(moved)] = holes
        self._table.remove(ids)
        self._count = left
        self._forget_dead_ids()

    def fetch(self, queries: Vectors, count: int) -> Fetched:
        """See DeviceStore. Callers that wait are answered by one scan."""
        cosines, slots = self._device.owner.run_grouped(
            (id(self), "fetch"), self._fetch_grouped, (queries.astype(self._dtype), count), len(queries)
        )
        return cosines, np.where(slots >= 0, self._ids.values[slots], -1)

    def first_count(self, k: int) -> int:
        """See DeviceStore: at 100,000 faces of either of the benchmarks' distributions, this proved every search."""
        return k + 16 + k // 4

    def errors(self, queries: Vectors) -> npt.NDArray[np.float32]:
        """See DeviceStore: |q·x − q'·x'| ≤ |x − x'| + |q − q'||x'| for vectors x of unit length."""
        rounding = _ROUNDING[self._dtype]
        of_row = rounding + (_SUBNORMAL * self._dimension**0.5 if rounding else 0.0)
        norms = np.linalg.norm(queries, axis=1)
        errors: npt.NDArray[np.float32] = norms * (2.0 * of_row * (1.0 + of_row) + _SUMMING * self._dimension)
        return errors

    def all_cosines(self, queries: Vectors) -> Iterator[tuple[Ids, npt.NDArray[np.float32]]]:
        """See DeviceStore."""
        rounded = np.ascontiguousarray(queries, dtype=self._dtype)
        step = max(1, _MOST_COSINES // len(queries))
        for chunk in self._chunks:
            for start in range(0, chunk.used, step):
                rows = min(step, chunk.used - start)
                cosines = self._device.run(lambda c=chunk, s=start, n=rows: self._compare(rounded, c, s, n))  # type: ignore[misc]
                first = chunk.start + start
                yield self._ids.values[first : first + rows], cosines

    def release(self) -> None:
        """See DeviceStore."""
        self._count = 0
        self._device.run(partial(_release, self._device, self._chunks))

    # What follows runs in the owner's thread.

    def _upload(self, vectors: Vectors) -> int:
        driver, done = self._device.driver, 0
        while done < len(vectors):
            chunk = self._chunk_with_room(len(vectors) - done)
            if chunk is None:
                break
            count = min(_UPLOAD_ROWS, len(vectors) - done, chunk.capacity - chunk.used)
            rows = np.ascontiguousarray(vectors[done : done + count], dtype=self._dtype)
            driver.upload(chunk.address + chunk.used * self._row_bytes, rows)
            # Before the array goes: the last of it may still be on its way.
            driver.synchronize()
            chunk.used += count
            done += count
        return done

    def _chunk_with_room(self, wanted: int) -> _Chunk | None:
        """Returns the chunk that the next row goes into, a new one when all are full; None when there is no memory."""
        for chunk in self._chunks:
            if chunk.used < chunk.capacity:
                return chunk
        start = sum(chunk.capacity for chunk in self._chunks)
        room = self._device.room_bytes() // self._row_bytes
        capacity = min(room, max(wanted, _CHUNK_ROWS, start // 2))
        while capacity > 0:
            try:
                address = self._device.driver.allocate(capacity * self._row_bytes)
            except DeviceFull:
                # The memory is in pieces.
                capacity //= 2
                if capacity < _CHUNK_ROWS:
                    return None
                continue
            self._chunks.append(_Chunk(address, start, capacity))
            return self._chunks[-1]
        return None

    def _move(self, movers: Ids, holes: Ids, left: int) -> None:
        driver = self._device.driver
        for source, target in zip(movers.tolist(), holes.tolist(), strict=True):
            driver.copy(self._address(target), self._address(source), self._row_bytes)
        for chunk in self._chunks:
            used = min(chunk.capacity, max(0, left - chunk.start))
            if used < chunk.used:
                driver.clear(chunk.address + used * self._row_bytes, (chunk.used - used) * self._row_bytes)
            chunk.used = used
        driver.synchronize()
        # One empty chunk is kept for what comes next.
        while len(self._chunks) > 1 and not self._chunks[-1].used and not self._chunks[-2].used:
            driver.release(self._chunks.pop().address)

    def _address(self, slot: int) -> int:
        for chunk in reversed(self._chunks):
            if slot >= chunk.start:
                return chunk.address + (slot - chunk.start) * self._row_bytes
        raise IndexError(slot)

    def _fetch_grouped(self, payloads: Sequence[tuple[npt.NDArray[Any], int]]) -> list[Fetched]:
        queries = np.concatenate([queries for queries, _ in payloads])
        cosines, slots = guarded(lambda: self._fetch(queries, max(count for _, count in payloads)))
        answers, first = [], 0
        for part, count in payloads:
            rows = slice(first, first + len(part))
            answers.append((cosines[rows, :count], slots[rows, :count]))
            first += len(part)
        return answers

    def _fetch(self, queries: npt.NDArray[Any], count: int) -> Fetched:
        parts = [self._select(queries, chunk, min(count, chunk.used)) for chunk in self._chunks if chunk.used]
        if len(parts) == 1:
            return parts[0]
        cosines = np.concatenate([cosines for cosines, _ in parts], axis=1)
        slots = np.concatenate([slots for _, slots in parts], axis=1)
        order = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
        return np.take_along_axis(cosines, order, axis=1), np.take_along_axis(slots, order, axis=1)

    def _select(self, queries: npt.NDArray[Any], chunk: _Chunk, count: int) -> Fetched:
        if not 0 < count <= MAX_SELECTED:
            raise ValueError(f"{count} cannot be selected on a device")
        cosines = np.empty((len(queries), count), np.float32)
        slots = np.empty((len(queries), count), np.int64)
        self._brute_force(queries, chunk, 0, chunk.used, count, cosines, slots)
        slots[slots >= 0] += chunk.start
        return cosines, slots

    def _compare(self, queries: npt.NDArray[Any], chunk: _Chunk, start: int, rows: int) -> npt.NDArray[np.float32]:
        cosines = np.empty((len(queries), rows), np.float32)
        self._brute_force(queries, chunk, start, rows, -1, cosines, None)
        return cosines

    def _brute_force(
        self,
        queries: npt.NDArray[Any],
        chunk: _Chunk,
        start: int,
        rows: int,
        count: int,
        cosines: npt.NDArray[np.float32],
        slots: Ids | None,
    ) -> None:
        """FAISS's bfKnn over rows of a chunk. count −1: all cosines, nothing selected."""
        library = self._device.library
        kind = library.DistanceDataType_F16 if self._dtype == np.float16 else library.DistanceDataType_F32
        order = library.GpuDistanceParams()
        order.metric = library.METRIC_INNER_PRODUCT
        order.k = count
        order.dims = self._dimension
        order.vectors = library.cast_integer_to_void_ptr(chunk.address + start * self._row_bytes)
        order.vectorType = kind
        order.numVectors = rows
        order.queries = library.swig_ptr(queries)
        order.queryType = kind
        order.numQueries = len(queries)
        order.outDistances = library.swig_ptr(cosines)
        if slots is not None:
            order.outIndices = library.swig_ptr(slots)
            order.outIndicesType = library.IndicesDataType_I64
        # The thread's current device, which the owner entered; the classic kernels, whichever build this is.
        order.device = -1
        order.use_cuvs = False
        library.bfKnn(self._device.resources, order)

    def _forget_dead_ids(self) -> None:
        """Makes the table small again: only the host's memory, and no row moves."""
        if not self._table.wants_compaction():
            return
        alive = self._table.alive
        table, slots = RowTable(), Column(np.int64)
        table.append(self._table.ids[alive])
        slots.append(self._slots.values[alive])
        self._table, self._slots = table, slots


def _release(device: CudaDevice, chunks: list[_Chunk]) -> None:
    while chunks:
        device.driver.release(chunks.pop().address)
