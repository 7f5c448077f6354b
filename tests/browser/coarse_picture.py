"""Views as coarse pictures: that one is blank, or without styles, shows in them; how fonts are rendered does not."""

import io
import os
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

PICTURES: Final = Path(__file__).resolve().parent / "pictures"
# Write the pictures anew in place of comparing with them, after the page was changed on purpose: look at them then.
DRAWS_ANEW: Final = os.environ.get("TWIN_DRAW_PICTURES") == "1"
# Of 0 to 255, in the channel that differs most. Other hinting of the letters was seen to move cells by up to 24.
_CELL_TOLERANCE: Final = 40
# The smallest button covers 10.
_MAX_OTHER_CELLS: Final = 7


def coarse(screenshot: bytes, cell_px: int) -> npt.NDArray[np.uint8]:
    """Returns the mean colours of a PNG's square cells: (rows, columns, 3) RGB. cell_px: a cell's side, px."""
    with Image.open(io.BytesIO(screenshot)) as picture:
        size = (picture.width // cell_px, picture.height // cell_px)
        return np.asarray(picture.convert("RGB").resize(size, Image.Resampling.BOX))


def stored(name: str) -> npt.NDArray[np.uint8]:
    """Returns a picture of the folder, as ``coarse`` does."""
    with Image.open(PICTURES / f"{name}.png") as picture:
        return np.asarray(picture.convert("RGB"))


def store(name: str, picture: npt.NDArray[np.uint8]) -> None:
    """Writes a picture into the folder."""
    Image.fromarray(picture).save(PICTURES / f"{name}.png", optimize=True)


def other_cells(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> int:
    """Returns how many cells are of another colour; both (rows, columns, 3)."""
    assert one.shape == other.shape
    distance = np.abs(one.astype(np.int16) - other.astype(np.int16)).max(axis=2)
    return int((distance > _CELL_TOLERANCE).sum())


def looks_the_same(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> bool:
    """True unless a part as large as a button differs."""
    return other_cells(one, other) <= _MAX_OTHER_CELLS
