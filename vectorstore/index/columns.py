"""Growing arrays: amortised appends without one Python object a row.

All only grow at their ends, so that a view of what is filled stays as it is whatever is appended later.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final, Generic, TypeVar

import numpy as np
import numpy.typing as npt

Scalar = TypeVar("Scalar", bound=np.generic)
Ends = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

_FIRST_ROWS: Final = 64
# Grown by half while small, by a quarter later: what is kept in reserve is memory for nothing.
_LARGE_ROWS: Final = 2**16


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
        """The filled rows; a view taken earlier keeps its rows, but misses what is written to them later."""
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
            room = len(self._rows) // (2 if len(self._rows) < _LARGE_ROWS else 4)
            size = max(needed, len(self._rows) + room)
            grown = np.zeros((size, *self._rows.shape[1:]), dtype=self._rows.dtype)
            grown[: self._count] = self._rows[: self._count]
            self._rows = grown
        self._rows[self._count : needed] = new
        self._count = needed


class TextColumn:
    """Texts of very different lengths, each stored once after the other in one buffer."""

    def __init__(self) -> None:
        self._bytes: Column[np.uint8] = Column(np.uint8)
        self._ends: Column[np.int64] = Column(np.int64)

    def __len__(self) -> int:
        return len(self._ends)

    @property
    def nbytes(self) -> int:
        """Memory taken, bytes."""
        return self._bytes.nbytes + self._ends.nbytes

    @property
    def bytes(self) -> Bytes:
        """Every text's UTF-8, one after the other."""
        return self._bytes.values

    @property
    def ends(self) -> Ends:
        """Where in ``bytes`` each text ends."""
        return self._ends.values

    def extend(self, texts: Sequence[str]) -> None:
        """Adds texts at the end."""
        encoded = [text.encode() for text in texts]
        lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
        self.extend_bytes(np.frombuffer(b"".join(encoded), np.uint8), lengths.cumsum())

    def extend_bytes(self, content: Bytes, ends: Ends) -> None:
        """Adds texts at the end, as ``bytes`` and ``ends`` give them; raises ValueError when these do not fit."""
        if (np.diff(ends, prepend=0) < 0).any() or (ends[-1] if len(ends) else 0) != len(content):
            raise ValueError("texts that do not end where they should")
        self._ends.append(ends + len(self._bytes))
        self._bytes.append(content)

    def __getitem__(self, row: int) -> str:
        return self.take(np.array([row]))[0]

    def take(self, rows: npt.NDArray[np.integer[Any]]) -> list[str]:
        """Returns the texts of rows (n,), in the order given."""
        ends, content = self._ends.values, self._bytes.values
        starts = np.where(rows > 0, ends[rows - 1], 0)
        return [
            content[start:end].tobytes().decode()
            for start, end in zip(starts.tolist(), ends[rows].tolist(), strict=True)
        ]


class Interner:
    """Gives each distinct text a small number; "" is 0."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {"": 0}
        self._texts: list[str] = [""]

    def __len__(self) -> int:
        return len(self._texts)

    def numbers_of(self, texts: Sequence[str]) -> list[int]:
        """Returns each text's number, a new one where it has none yet."""
        numbers = self._numbers
        try:
            return [numbers[text] for text in texts]
        except KeyError:
            for text in dict.fromkeys(texts):
                if numbers.setdefault(text, len(self._texts)) == len(self._texts):
                    self._texts.append(text)
            return [numbers[text] for text in texts]

    def find(self, text: str) -> int | None:
        """Returns the text's number, None when it has none."""
        return self._numbers.get(text)

    def text_of(self, number: int) -> str:
        """Returns the text of a number."""
        return self._texts[number]

    def texts(self) -> list[str]:
        """Returns every text, by its number."""
        return list(self._texts)


def split_texts(content: Bytes, ends: Ends) -> list[str]:
    """Returns the texts that ``TextColumn.bytes`` and ``ends`` describe; raises ValueError when they are none."""
    column = TextColumn()
    column.extend_bytes(content, ends)
    data, places = content.tobytes(), [0, *ends.tolist()]
    return [data[start:end].decode() for start, end in pairwise(places)]
