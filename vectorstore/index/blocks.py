"""Rows of vectors in blocks that are never moved: what was appended stays where it is while more comes."""

from collections.abc import Iterator
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

# A full block of 512 float32 values a row has 256 MiB.
BLOCK_ROWS: Final = 131_072
_FIRST_ROWS: Final = 64

Rows = npt.NDArray[np.int64]
Matrix = npt.NDArray[Any]


class Allocator(Protocol):
    """Where blocks come from: memory, or files that are mapped."""

    # Whether its blocks are maps of files, which the system may drop from memory.
    is_mapped: bool

    def __call__(self, shape: tuple[int, int], dtype: np.dtype[Any]) -> Matrix:
        """Returns a new block whose content does not matter."""


class InMemory:
    """Blocks in memory; pages that were never written take none."""

    is_mapped = False

    def __call__(self, shape: tuple[int, int], dtype: np.dtype[Any]) -> Matrix:
        """See Allocator."""
        return np.empty(shape, dtype)


class VectorBlocks:
    """A matrix that grows at its end. Rows that were appended never change, so that readers need no lock for them.

    The first block begins small and is replaced by larger ones until it is full; whoever holds an old one keeps it.
    """

    def __init__(self, dimension: int, dtype: npt.DTypeLike, allocate: Allocator) -> None:
        self._dimension = dimension
        self._dtype: np.dtype[Any] = np.dtype(dtype)
        self._allocate = allocate
        self._blocks: list[Matrix] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def dimension(self) -> int:
        """Values of a row."""
        return self._dimension

    @property
    def is_mapped(self) -> bool:
        """Whether the rows are in mapped files rather than in memory."""
        return self._allocate.is_mapped

    @property
    def nbytes(self) -> int:
        """Bytes of the filled rows; what is allocated beyond was never touched."""
        return self._count * self._dimension * self._dtype.itemsize

    def append(self, rows: Matrix) -> None:
        """Adds rows (n, dimension) at the end; raises OSError, with nothing added, when there is no room."""
        needed = self._count + len(rows)
        self._make_room(needed)
        done = 0
        while done < len(rows):
            place = self._count + done
            block, at = self._blocks[place // BLOCK_ROWS], place % BLOCK_ROWS
            piece = rows[done : done + len(block) - at]
            block[at : at + len(piece)] = piece
            done += len(piece)
        self._count = needed

    def adopt(self, rows: Matrix) -> None:
        """Takes an array (n, dimension) that is there already, such as a map of a file, into an empty matrix.

        Whole blocks are used where they are; the rest is copied.
        """
        whole = len(rows) // BLOCK_ROWS * BLOCK_ROWS
        self._blocks = [rows[start : start + BLOCK_ROWS] for start in range(0, whole, BLOCK_ROWS)]
        self._count = whole
        self.append(rows[whole:])

    def take(self, rows: Rows) -> Matrix:
        """Returns a copy (n, dimension) of the rows (n,), in the order given."""
        if not len(rows):
            return np.empty((0, self._dimension), self._dtype)
        numbers = rows // BLOCK_ROWS
        first = int(numbers[0])
        if first == len(self._blocks) - 1 == 0 or (numbers == first).all():
            taken: Matrix = self._blocks[first].take(rows - first * BLOCK_ROWS, axis=0)
            return taken
        taken = np.empty((len(rows), self._dimension), self._dtype)
        for number in np.unique(numbers):
            places = np.flatnonzero(numbers == number)
            taken[places] = self._blocks[number].take(rows[places] - number * BLOCK_ROWS, axis=0)
        return taken

    def pieces(self, start: int, stop: int, most_rows: int) -> Iterator[tuple[int, Matrix]]:
        """Yields the rows from start to stop as (number of the first, view of at most ``most_rows``)."""
        while start < stop:
            block, at = self._blocks[start // BLOCK_ROWS], start % BLOCK_ROWS
            count = min(most_rows, stop - start, BLOCK_ROWS - at)
            yield start, block[at : at + count]
            start += count

    def frozen(self, count: int) -> "VectorBlocks":
        """Returns the first rows as a matrix of its own that shares them, and that nobody appends to."""
        copy = VectorBlocks(self._dimension, self._dtype, self._allocate)
        copy._blocks, copy._count = list(self._blocks), min(count, self._count)
        return copy

    def _make_room(self, needed: int) -> None:
        if needed > BLOCK_ROWS or len(self._blocks) > 1:
            if self._blocks and len(self._blocks[0]) < BLOCK_ROWS:
                self._replace_first(BLOCK_ROWS)
            while len(self._blocks) * BLOCK_ROWS < needed:
                self._blocks.append(self._allocate((BLOCK_ROWS, self._dimension), self._dtype))
            return
        room = len(self._blocks[0]) if self._blocks else 0
        if needed > room:
            self._replace_first(min(BLOCK_ROWS, max(needed, room * 2, _FIRST_ROWS)))

    def _replace_first(self, row_count: int) -> None:
        block = self._allocate((row_count, self._dimension), self._dtype)
        if self._blocks:
            filled = min(self._count, len(self._blocks[0]))
            block[:filled] = self._blocks[0][:filled]
            self._blocks[0] = block
        else:
            self._blocks.append(block)
