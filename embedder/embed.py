"""embed: aligned crops to unit vectors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from embedder.faces import Floats, Pixels
from embedder.networks import Network, Normalization, to_batch

_MIN_NORM: Final = 1e-6


@dataclass(frozen=True, slots=True)
class RecognizerSpec:
    """What is particular to one recognizer file. fixed_batch: the graph takes one crop at a time.

    flip_averaging: a face's vector is the direction of its own and its mirror image's together, for twice the work.
    """

    normalization: Normalization
    dimension: int
    fixed_batch: bool = False
    flip_averaging: bool = False


class Recognizer:
    """Turns aligned faces into vectors."""

    def __init__(self, network: Network, spec: RecognizerSpec) -> None:
        self._network = network
        self._spec = spec

    @property
    def dimension(self) -> int:
        """Numbers in one vector."""
        return self._spec.dimension

    def embed(self, crops: Sequence[Pixels]) -> Floats:
        """Embeds crops, each (112, 112, 3) uint8 BGR. Returns (n, dimension) float32, every row of L2 norm 1.

        Raises ArithmeticError when the network answers with a vector that has no direction.
        """
        if not crops:
            return np.zeros((0, self._spec.dimension), np.float32)
        raw = self._raw(to_batch(crops, self._spec.normalization))
        if raw.shape[1] != self._spec.dimension:
            raise ArithmeticError(f"the recognizer made {raw.shape[1]} numbers instead of {self._spec.dimension}")
        norms = np.linalg.norm(raw, axis=1, keepdims=True)
        if not (np.isfinite(norms).all() and (norms > _MIN_NORM).all()):
            raise ArithmeticError("the recognizer made a vector without a direction")
        vectors: Floats = (raw / norms).astype(np.float32)
        return vectors

    def _raw(self, batch: Floats) -> Floats:
        if self._spec.flip_averaging:
            both = self._outputs(np.concatenate([batch, batch[..., ::-1]]))
            return both[: len(batch)] + both[len(batch) :]
        return self._outputs(batch)

    def _outputs(self, batch: Floats) -> Floats:
        parts = [batch[row : row + 1] for row in range(len(batch))] if self._spec.fixed_batch else [batch]
        return np.concatenate([self._network.run(part)[0] for part in parts]).reshape(len(batch), -1)
