"""What an index on the processor holds, how it is saved, and how it comes back."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vectorstore.index.base import Arrays
from vectorstore.index.blocks import Allocator, InMemory, Matrix, VectorBlocks
from vectorstore.index.compressed import CompressedScan, encode_rows, to_fixed
from vectorstore.index.recall import RerankCurve
from vectorstore.index.rows import Mask, RowTable
from vectorstore.index.saved_array import SavedArray
from vectorstore.index.segment import Codebook, Segment

_PIECE_ROWS: Final = 16_384


@dataclass(slots=True)
class CpuState:
    """The rows and, where there is one, the compressed scan of the first of them."""

    rows: RowTable
    # float32, every row.
    vectors: VectorBlocks
    # Fixed point, at least the rows that the scan covers.
    fixed: VectorBlocks
    scan: CompressedScan | None

    @classmethod
    def empty(cls, dimension: int, allocate: Allocator) -> "CpuState":
        """Returns a state without rows, whose vectors go where ``allocate`` says."""
        vectors = VectorBlocks(dimension, np.float32, allocate)
        return cls(RowTable(), vectors, VectorBlocks(dimension, np.int16, InMemory()), None)

    def to_arrays(self) -> dict[str, SavedArray]:
        """Returns the living rows; see VectorIndex."""
        alive = self.rows.alive.copy()
        living = np.flatnonzero(alive)
        vectors = self.vectors.frozen(len(alive))
        arrays = {
            "ids": SavedArray.of(self.rows.ids[living]),
            "vectors": SavedArray(
                np.dtype(np.float32), (len(living), vectors.dimension), _living_pieces(vectors, alive)
            ),
        }
        if self.scan is not None:
            arrays |= _scan_to_arrays(self.scan, alive)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Arrays, dimension: int, mapped: Allocator) -> "CpuState":
        """Returns the state that ``to_arrays`` described; raises KeyError or ValueError for anything else."""
        ids, saved = arrays["ids"], arrays["vectors"]
        if ids.dtype != np.int64 or saved.dtype != np.float32 or saved.shape != (len(ids), dimension):
            raise ValueError(f"the vectors are {saved.dtype} {saved.shape}, not float32 ({len(ids)}, {dimension})")
        compressed = arrays.keys() != {"ids", "vectors"}
        state = cls.empty(dimension, mapped if compressed else InMemory())
        state.rows.append(ids)
        if not compressed:
            state.vectors.append(saved)
            return state
        state.vectors.adopt(saved)
        state.scan = _scan_from_arrays(arrays, state.vectors)
        append_fixed(state.fixed, state.vectors, state.scan.count)
        return state


def append_fixed(fixed: VectorBlocks, vectors: VectorBlocks, stop: int) -> None:
    """Appends, in fixed point, the vectors that are missing up to ``stop``."""
    pieces = [piece for _, piece in vectors.pieces(len(fixed), stop, _PIECE_ROWS)]
    with ThreadPoolExecutor(2, thread_name_prefix="fixed-point") as threads:
        # A few at a time: their results wait for one another.
        for start in range(0, len(pieces), 4):
            for rows in threads.map(to_fixed, pieces[start : start + 4]):
                fixed.append(rows)


def _living_pieces(vectors: VectorBlocks, alive: Mask) -> Iterator[Matrix]:
    for first, piece in vectors.pieces(0, len(vectors), _PIECE_ROWS):
        living = alive[first : first + len(piece)]
        yield piece if living.all() else piece[living]


def _scan_to_arrays(scan: CompressedScan, alive: Mask) -> dict[str, SavedArray]:
    counts, clean, packed = [], [], []
    first = 0
    for segment in scan.segments:
        living = alive[first : first + segment.count]
        first += segment.count
        counts.append(int(np.count_nonzero(living)))
        clean.append(bool(living.all()))
        if clean[-1]:
            # A segment never changes, and lives as long as its codes are looked at.
            packed.append(segment)
    sizes = [len(segment.packed) for segment in packed]
    curve = scan.curve
    measures = (
        curve.for_ten,
        curve.exponent,
        curve.recall_seen,
        curve.recall_unseen,
        scan.trained_on,
        scan.measured_on,
    )
    rotation = scan.codebook.rotation
    return {
        "centroids": SavedArray.of(scan.codebook.centroids),
        "rotation": SavedArray.of(np.empty((0, 0), np.float32) if rotation is None else rotation),
        "segment_counts": SavedArray.of(np.array(counts, dtype=np.int64)),
        # Segments with removed rows are coded anew by whoever loads this: codes tell what a face looks like, too.
        "segment_clean": SavedArray.of(np.array(clean, dtype=np.bool_)),
        "packed": SavedArray(np.dtype(np.uint8), (sum(sizes),), (segment.packed for segment in packed)),
        "curve": SavedArray.of(np.array(measures, dtype=np.float64)),
    }


def _scan_from_arrays(arrays: Arrays, vectors: VectorBlocks) -> CompressedScan:
    rotation = arrays["rotation"]
    codebook = Codebook(arrays["centroids"], np.array(rotation) if len(rotation) else None)
    packed: npt.NDArray[Any] = arrays["packed"]
    segments: list[Segment] = []
    row = place = 0
    for count, clean in zip(arrays["segment_counts"].tolist(), arrays["segment_clean"].tolist(), strict=True):
        if row + count > len(vectors) or count < 0:
            raise ValueError("the segments are longer than the vectors")
        if clean:
            size = codebook.packed_bytes(count)
            segments.append(Segment(codebook, packed[place : place + size], count))
            place += size
        elif count:
            segments += encode_rows(codebook, vectors, row, row + count, [])
        row += count
    for_ten, exponent, recall_seen, recall_unseen, trained_on, measured_on = arrays["curve"].tolist()
    return CompressedScan(
        codebook=codebook,
        segments=tuple(segments),
        count=row,
        trained_on=int(trained_on),
        measured_on=int(measured_on),
        curve=RerankCurve(int(for_ten), exponent, recall_seen, recall_unseen),
    )
