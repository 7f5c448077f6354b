"""The CUDA kinds of index, by name: made, restored, and checked for whether the device can hold them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from runtime.errors import StartupError
from vectorstore.index.base import Arrays, Vectors
from vectorstore.index.blocks import Allocator
from vectorstore.index.cuda_dense import DenseStore
from vectorstore.index.cuda_device import SCRATCH_BYTES, CudaDevice, cuda_memory_bytes, open_device
from vectorstore.index.cuda_driver import DeviceFull
from vectorstore.index.cuda_index import CudaIndex
from vectorstore.index.cuda_quantized import KIND as SQ8
from vectorstore.index.cuda_quantized import LEAST_ROWS, SAMPLE_ROWS, QuantizedStore, bytes_per_row
from vectorstore.index.cuda_store import DeviceStore

FLAT_F16: Final = "cuda-flat-f16"
FLAT_F32: Final = "cuda-flat-f32"


@dataclass(frozen=True, slots=True)
class _Kind:
    """bytes_per_row: taken on the device, by dimension."""

    bytes_per_row: Callable[[int], float]
    make_store: Callable[[CudaDevice, int, Vectors, int], DeviceStore]
    least_rows: int = 0
    sample_rows: int = 0
    is_measured: bool = False


def _flat(
    dtype: type[np.float16] | type[np.float32], device: CudaDevice, dimension: int, _sample: Vectors, _expected: int
) -> DeviceStore:
    return DenseStore(device, dimension, dtype)


_KINDS: Final[dict[str, _Kind]] = {
    FLAT_F16: _Kind(lambda dimension: 2.0 * dimension, partial(_flat, np.float16)),
    FLAT_F32: _Kind(lambda dimension: 4.0 * dimension, partial(_flat, np.float32)),
    SQ8: _Kind(bytes_per_row, QuantizedStore, LEAST_ROWS, SAMPLE_ROWS, is_measured=True),
}
CUDA_KINDS: Final = tuple(_KINDS)


def make_cuda(
    kind: str,
    dimension: int,
    *,
    same_person_similarity: float = 1.0,
    arrays: Arrays | None = None,
    allocate: Allocator | None = None,
    device: CudaDevice | None = None,
) -> CudaIndex:
    """Returns an index of one of CUDA_KINDS: empty, or what ``to_arrays`` of any kind with float32 vectors saved.

    same_person_similarity: cosine from which on two faces are one person, by which recall is measured for strangers.
    arrays: "ids" (n,) and "vectors" (n, dimension), which may lie in a mapped file. allocate: where later float32 rows
    are kept; in memory when None. Raises StartupError where there is no usable device or it cannot hold the faces,
    KeyError or ValueError for arrays that are no index.
    """
    chosen = _KINDS[kind]
    device = device if device is not None else open_device()
    index = CudaIndex(
        dimension,
        kind,
        lambda sample, expected: chosen.make_store(device, dimension, sample, expected),
        least_rows=chosen.least_rows,
        sample_rows=chosen.sample_rows,
        same_person_similarity=same_person_similarity if chosen.is_measured else None,
        allocate=allocate,
        has_room=lambda count: bytes_on_device(kind, dimension, count) <= device.room_bytes(),
    )
    if arrays is not None:
        ids, vectors = arrays["ids"], arrays["vectors"]
        if ids.dtype != np.int64 or vectors.dtype != np.float32 or vectors.shape != (len(ids), dimension):
            raise ValueError(f"the vectors are {vectors.dtype} {vectors.shape}, not float32 ({len(ids)}, {dimension})")
        check_room(kind, dimension, len(ids), device.room_bytes())
        try:
            index.adopt(ids, vectors)
        except DeviceFull as error:
            raise StartupError(f"the GPU has no room for {len(ids):,} faces as {kind} ({error})") from None
    return index


def bytes_on_device(kind: str, dimension: int, face_count: int) -> int:
    """Returns what a gallery of so many faces takes of a device's memory, FAISS's own scratch memory not counted."""
    return int(_KINDS[kind].bytes_per_row(dimension) * face_count)


def fits(kind: str, dimension: int, face_count: int) -> bool:
    """Tells whether the device of this machine, if there is one, has room for a gallery: for ``auto``."""
    memory = cuda_memory_bytes()
    return memory is not None and bytes_on_device(kind, dimension, face_count) + SCRATCH_BYTES <= memory[0]


def check_room(kind: str, dimension: int, face_count: int, room_bytes: int) -> None:
    """Raises StartupError when so many faces do not fit."""
    needed = bytes_on_device(kind, dimension, face_count)
    if needed > room_bytes:
        raise StartupError(
            f"{face_count:,} faces as {kind} take {needed / 2**30:.1f} GiB of the GPU and {room_bytes / 2**30:.1f} GiB "
            f"are free; use TWIN_INDEX={SQ8}, a larger GPU, or a kind on the processor"
        )
