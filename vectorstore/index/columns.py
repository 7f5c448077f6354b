"""Growing arrays: amortised appends without one Python object a row."""

from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

Scalar = TypeVar("Scalar", bound=np.generic)

_FIRST_ROWS = 64


class Column(Generic[Scalar]):
    """A numpy array that grows at its end; ``values`` is a view of what is filled."""

    def __init__(self, dtype: type[Scalar], width: int | None = None) -> None:
        shape = (_FIRST_ROWS,) if width is None else (_FIRST_ROWS, width)
        self._rows: npt.NDArray[Scalar] = np.zeros(shape, dtype=dtype)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def values(self) -> npt.NDArray[Scalar]:
        """The filled rows; valid until the next append."""
        return self._rows[: self._count]

    @property
    def nbytes(self) -> int:
        """Memory taken, bytes."""
        return int(self._rows.nbytes)

    def append(self, rows: npt.ArrayLike) -> None:
        """Adds rows at the end."""
        new: npt.NDArray[Any] = np.asarray(rows, dtype=self._rows.dtype)
        needed = self._count + len(new)
        if needed > len(self._rows):
            size = max(needed, len(self._rows) * 3 // 2)
            grown = np.zeros((size, *self._rows.shape[1:]), dtype=self._rows.dtype)
            grown[: self._count] = self._rows[: self._count]
            self._rows = grown
        self._rows[self._count : needed] = new
        self._count = needed


class TextColumn:
    """Texts of very different lengths, each stored once after the other in one buffer."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._ends: Column[np.int64] = Column(np.int64)

    def __len__(self) -> int:
        return len(self._ends)

    @property
    def nbytes(self) -> int:
        """Memory taken, bytes."""
        return len(self._bytes) + self._ends.nbytes

    def append(self, text: str) -> None:
        """Adds one text at the end."""
        self._bytes += text.encode()
        self._ends.append([len(self._bytes)])

    def __getitem__(self, row: int) -> str:
        ends = self._ends.values
        start = int(ends[row - 1]) if row else 0
        return self._bytes[start : int(ends[row])].decode()


class Interner:
    """Gives each distinct text a small number; "" is 0."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {"": 0}
        self._texts: list[str] = [""]

    def number_of(self, text: str) -> int:
        """Returns the text's number, a new one when it has none yet."""
        number = self._numbers.setdefault(text, len(self._texts))
        if number == len(self._texts):
            self._texts.append(text)
        return number

    def find(self, text: str) -> int | None:
        """Returns the text's number, None when it has none."""
        return self._numbers.get(text)

    def text_of(self, number: int) -> str:
        """Returns the text of a number."""
        return self._texts[number]

    def texts(self) -> list[str]:
        """Returns every text, by its number."""
        return list(self._texts)
