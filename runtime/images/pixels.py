"""What pictures are, once they are decoded."""

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
"""(H, W, 3) uint8, BGR, upright."""
