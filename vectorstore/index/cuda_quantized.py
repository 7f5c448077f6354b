"""Rows as one byte a value on a device, in lists that are all searched.

FAISS's inverted lists serve as pieces of work alone: every list is probed, since face vectors lie so evenly that a
search that leaves lists out loses neighbours. One byte a value, and not fewer bits: a whole matrix of float16 rows is
searched faster in batches whatever the codes, so that codes are for galleries that would not fit otherwise, and these
err so little that a search can be proved exact from them (``errors``).
"""

import weakref
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vectorstore.index.base import Ids, Vectors
from vectorstore.index.cuda_device import MAX_SELECTED, CudaDevice, guarded
from vectorstore.index.cuda_driver import DeviceFull
from vectorstore.index.cuda_store import Fetched
from vectorstore.index.owner import OwnerLost

# Fewer rows than this are not worth codes, and too few to learn the values' range from.
LEAST_ROWS: Final = 20_000
# Rows that the range of each value is learned from.
SAMPLE_ROWS: Final = 65_536
# One list is one block of threads' work for one query. A probe of all may be of no more than FAISS selects.
_LIST_COUNT, _LIST_COUNT_SMALL, _SMALL_ROWS = 1024, 256, 500_000
_UPLOAD_ROWS: Final = 32_768
_CODED_ROWS: Final = 4096
# FAISS's lists grow by a quarter (DeviceVector.cuh), each for itself.
_GROWTH: Final = 1.3
_ID_BYTES: Final = 8
# The ranges are wider than the sample's by this share on either side: one value beyond its range errs more than all
# others together. 100,000 faces were at most 0.0146 from their codes; without it, 0.063.
_WIDER: Final = 0.2
# The device may put a value on the border of two steps into the other one, which errs as much.
_ROUNDING: Final = 1.01
_SUMMING: Final = 2.0**-23

KIND: Final = "cuda-sq8"


def bytes_per_row(dimension: int) -> float:
    """Returns what a row takes on the device, with the room that lists grow into."""
    return _GROWTH * (dimension + _ID_BYTES)


class QuantizedStore:
    """See DeviceStore. Removed rows stay until the store is made anew; there is no other way to remove one."""

    kind = KIND

    def __init__(self, device: CudaDevice, dimension: int, sample: Vectors, expected_rows: int) -> None:
        """sample: rows (n, dimension) of the gallery to learn each value's range from, LEAST_ROWS at least."""
        self._device = device
        self._dimension = dimension
        self._count = 0
        self._dead_count = 0
        self._last_id = -1
        # FAISS's lists and, after them, what they refer to. Ended by the owner alone, whoever lets go of the store.
        self._held: list[Any] = []
        weakref.finalize(self, device.owner.post, self._held.clear).atexit = False
        list_count = _LIST_COUNT_SMALL if expected_rows < _SMALL_ROWS else _LIST_COUNT
        trained = device.run(lambda: self._make(np.ascontiguousarray(sample, dtype=np.float32), list_count))
        # The same codes on the host, to know how far the rows are from what the device has of them.
        self._coder: Any = device.library.ScalarQuantizer(dimension, device.library.ScalarQuantizer.QT_8bit)
        device.library.copy_array_to_vector(trained, self._coder.trained)
        self._furthest = 0.0

    def __len__(self) -> int:
        return self._count

    @property
    def dead_count(self) -> int:
        """See DeviceStore."""
        return self._dead_count

    @property
    def nbytes(self) -> int:
        """See DeviceStore; without what its lists have grown ahead."""
        return self._count * (self._dimension + _ID_BYTES)

    def has_room_for(self, row_count: int) -> bool:
        """See DeviceStore."""
        return self._room_rows() >= row_count

    def add(self, ids: Ids, vectors: Vectors) -> int:
        """See DeviceStore."""
        known = int(np.searchsorted(ids, self._last_id, side="right"))
        ids = np.ascontiguousarray(ids[known:])
        taken = self._device.run(lambda: self._upload(ids, vectors[known:]))
        if taken:
            self._note_errors(np.ascontiguousarray(vectors[known : known + taken], dtype=np.float32))
            self._last_id = int(ids[taken - 1])
            self._count += taken
        return known + taken

    def remove(self, ids: Ids) -> None:
        """See DeviceStore: takes note of it."""
        self._dead_count += int(np.count_nonzero(ids <= self._last_id))

    def fetch(self, queries: Vectors, count: int) -> Fetched:
        """See DeviceStore."""
        return self._device.owner.run_grouped(
            (id(self), "fetch"), self._fetch_grouped, (np.asarray(queries, np.float32), count), len(queries)
        )

    def first_count(self, k: int) -> int:
        """See DeviceStore."""
        return 8 * k + 64

    def errors(self, queries: Vectors) -> npt.NDArray[np.float32]:
        """See DeviceStore: |q·x − q·x'| ≤ |q||x − x'|."""
        norms = np.linalg.norm(queries, axis=1)
        errors: npt.NDArray[np.float32] = norms * (_ROUNDING * self._furthest + _SUMMING * self._dimension)
        return errors

    def all_cosines(self, queries: Vectors) -> None:
        """See DeviceStore: FAISS's lists are searched and not gone through."""
        return

    def release(self) -> None:
        """See DeviceStore."""
        self._count = 0
        self._device.run(self._held.clear)

    def _note_errors(self, vectors: Vectors) -> None:
        for start in range(0, len(vectors), _CODED_ROWS):
            piece = vectors[start : start + _CODED_ROWS]
            distances = np.linalg.norm(piece - self._coder.decode(self._coder.compute_codes(piece)), axis=1)
            self._furthest = max(self._furthest, float(distances.max()))

    def _room_rows(self) -> int:
        return int(self._device.room_bytes() / bytes_per_row(self._dimension))

    # What follows runs in the owner's thread.

    def _make(self, sample: Vectors, list_count: int) -> npt.NDArray[np.float32]:
        """Makes FAISS's index; returns the least of each value and the width of its range, (2 × dimension,)."""
        library, resources = self._device.library, self._device.resources
        flat = library.GpuIndexFlatConfig()
        flat.device, flat.use_cuvs = self._device.number, False
        config = library.GpuIndexIVFScalarQuantizerConfig()
        config.device, config.use_cuvs = self._device.number, False
        config.indicesOptions = library.INDICES_64_BIT
        # Rows of the sample are as good as centroids here: they share the work out, and nothing else.
        quantizer = library.GpuIndexFlatIP(resources, self._dimension, flat)
        quantizer.add(sample[np.linspace(0, len(sample) - 1, list_count).astype(np.int64)])
        index = library.GpuIndexIVFScalarQuantizer(
            resources,
            quantizer,
            self._dimension,
            list_count,
            library.ScalarQuantizer.QT_8bit,
            library.METRIC_INNER_PRODUCT,
            False,
            config,
        )
        index.sq.rangestat_arg = _WIDER
        index.train(sample)
        index.nprobe = list_count
        self._held += [index, quantizer]
        trained: npt.NDArray[np.float32] = library.vector_to_array(index.sq.trained)
        return trained

    def _upload(self, ids: Ids, vectors: Vectors) -> int:
        done = 0
        while done < len(ids):
            count = min(_UPLOAD_ROWS, len(ids) - done, self._room_rows())
            if count <= 0:
                break
            piece = np.ascontiguousarray(vectors[done : done + count], dtype=np.float32)
            try:
                guarded(partial(self._held[0].add_with_ids, piece, ids[done : done + count]))
            except DeviceFull as error:
                # Some lists have their rows and some have not.
                raise OwnerLost(f"an upload was cut off: {error}") from None
            done += count
        return done

    def _fetch_grouped(self, payloads: Sequence[tuple[Vectors, int]]) -> list[Fetched]:
        queries = np.concatenate([queries for queries, _ in payloads])
        count = max(count for _, count in payloads)
        if not 0 < count <= MAX_SELECTED:
            raise ValueError(f"{count} cannot be selected on a device")
        cosines, ids = guarded(lambda: self._held[0].search(queries, count))
        answers, first = [], 0
        for part, wanted in payloads:
            rows = slice(first, first + len(part))
            answers.append((cosines[rows, :wanted], ids[rows, :wanted]))
            first += len(part)
        return answers
