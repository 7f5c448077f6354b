"""What a step asks of a neural network, whatever runs it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from embedder.faces import Floats, Pixels
from runtime.images.opencv import cv2


class Network(Protocol):
    """One network, ready to run; calls from several threads at once are allowed."""

    def run(self, batch: Floats) -> list[Floats]:
        """Runs a batch (n, 3, H, W) float32 and returns the outputs in the graph's order."""


@dataclass(frozen=True, slots=True)
class Normalization:
    """How pixels become network input: (pixel − mean) / scale, in this channel order."""

    mean: float
    scale: float
    channel_order: str
    """"BGR" or "RGB"."""


@dataclass(frozen=True, slots=True)
class ChannelNormalization:
    """How pixels become network input where each channel has numbers of its own: (pixel − mean) / scale.

    mean and scale are in channel_order, "BGR" or "RGB".
    """

    mean: tuple[float, float, float]
    scale: tuple[float, float, float]
    channel_order: str


def to_batch(images: Sequence[Pixels], rule: Normalization) -> Floats:
    """Stacks images (H, W, 3) uint8 BGR of one size into (n, 3, H, W) float32, normalized, channels in order."""
    mean = (rule.mean, rule.mean, rule.mean)
    batch = cv2.dnn.blobFromImages(
        list(images), scalefactor=1.0 / rule.scale, mean=mean, swapRB=rule.channel_order == "RGB"
    )
    return np.asarray(batch, np.float32)


def to_batch_by_channel(images: Sequence[Pixels], rule: ChannelNormalization) -> Floats:
    """Stacks images (H, W, 3) uint8 BGR of one size into (n, 3, H, W) float32, normalized, channels in order."""
    stacked = np.stack(images).astype(np.float32)
    if rule.channel_order == "RGB":
        stacked = stacked[..., ::-1]
    normalized = (stacked - np.array(rule.mean, np.float32)) / np.array(rule.scale, np.float32)
    return np.ascontiguousarray(normalized.transpose(0, 3, 1, 2))
