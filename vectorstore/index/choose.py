"""Which kind of index a gallery gets."""

from collections.abc import Callable
from typing import Final

from runtime.errors import StartupError
from vectorstore.index.base import VectorIndex
from vectorstore.index.flat import FlatIndex

# Takes a gallery's dimension.
MakeIndex = Callable[[int], VectorIndex]

_KINDS: Final[dict[str, MakeIndex]] = {"auto": FlatIndex, "flat": FlatIndex}


def choose_index(kind: str) -> MakeIndex:
    """Returns what makes an empty index of the kind; raises StartupError for one that there is not."""
    try:
        return _KINDS[kind]
    except KeyError:
        raise StartupError(f"TWIN_INDEX={kind!r} is no kind of index; use one of {', '.join(_KINDS)}") from None
