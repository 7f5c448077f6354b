"""An array as it is handed over to be written: its form at once, its rows later and piece by piece."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class SavedArray:
    """An array that need not be in memory whole.

    pieces: concatenated along the first axis they give an array of ``dtype`` and ``shape``; each has the shape
    (n, *shape[1:]). Gone through once, without the gallery's lock: whatever makes them must not depend on rows that
    later adds or removes touch. A piece may be reused by its maker once the next one is asked for.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    pieces: Iterable[npt.NDArray[Any]]

    @property
    def nbytes(self) -> int:
        """The array's size, bytes."""
        return self.dtype.itemsize * math.prod(self.shape)

    @classmethod
    def of(cls, array: npt.NDArray[Any]) -> "SavedArray":
        """Returns an array that is there already, not copied: nobody may change it before it is written."""
        return cls(array.dtype, array.shape, (array,))

    def whole(self) -> npt.NDArray[Any]:
        """Returns the array in one piece, copied; raises ValueError when the pieces do not make up the shape."""
        pieces = list(self.pieces)
        array = np.concatenate(pieces, dtype=self.dtype) if pieces else np.empty((0, *self.shape[1:]), self.dtype)
        if array.shape != self.shape:
            raise ValueError(f"the pieces make up {array.shape}, not {self.shape}")
        return array
