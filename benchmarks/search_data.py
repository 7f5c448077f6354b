"""What every contestant of the search benchmark gets: the same gallery, probes and true neighbours, in files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.galleries import DIMENSION, MadeUpGallery, Rows

Found = npt.NDArray[np.int64]

K: Final = 10
# Cosines held at once while the true neighbours are searched for: 64 MiB.
_BLOCK_VALUES: Final = 2**24


@dataclass(frozen=True, slots=True)
class Task:
    """A gallery, probes and what is true of them; every worker maps the gallery's file, so that it is there once."""

    gallery: Rows
    # (2 n, 512): n of identities in the gallery, then n of others.
    probes: Rows
    # (2 n, K): the rows of each probe's nearest.
    truth: Found
    # (m, 512): faces to add and to remove again.
    extra: Rows

    def recall(self, found: Found) -> tuple[float, float]:
        """Returns recall@K of the rows found (2 n, K) for seen and for unseen probes; -1 stands for nothing found."""
        hits = (found[:, :, None] == self.truth[:, None, :]).any(axis=2).mean(axis=1)
        half = len(hits) // 2
        return float(hits[:half].mean()), float(hits[half:].mean())


def prepare(gallery: MadeUpGallery, probe_count: int, extra_count: int, folder: Path) -> None:
    """Writes the task's files; probe_count of each sort."""
    rows = np.lib.format.open_memmap(
        folder / "gallery.npy", mode="w+", dtype=np.float32, shape=(gallery.face_count, DIMENSION)
    )
    gallery.fill(rows)
    rows.flush()
    probes = np.concatenate([gallery.seen(probe_count), gallery.unseen(probe_count)])
    np.save(folder / "probes.npy", probes)
    np.save(folder / "truth.npy", _nearest(rows, probes))
    # A seed of their own: strangers to the gallery and to the probes.
    np.save(
        folder / "extra.npy", MadeUpGallery(extra_count, gallery.distribution, gallery.seed + 1).unseen(extra_count)
    )


def load(folder: Path) -> Task:
    """Returns the task that ``prepare`` wrote."""
    return Task(
        gallery=np.load(folder / "gallery.npy", mmap_mode="r"),
        probes=np.load(folder / "probes.npy"),
        truth=np.load(folder / "truth.npy"),
        extra=np.load(folder / "extra.npy"),
    )


def _nearest(rows: Rows, probes: Rows) -> Found:
    """Returns the exact nearest rows (len(probes), K), best first, by blocks of the gallery."""
    best = np.full((len(probes), K), -np.inf, np.float32)
    where = np.full((len(probes), K), -1, np.int64)
    step = max(1, _BLOCK_VALUES // len(probes))
    for start in range(0, len(rows), step):
        cosines = probes @ rows[start : start + step].T
        few = min(K, cosines.shape[1])
        near = np.argpartition(-cosines, few - 1, axis=1)[:, :few]
        both = np.concatenate([best, np.take_along_axis(cosines, near, axis=1)], axis=1)
        both_where = np.concatenate([where, near + start], axis=1)
        order = np.argsort(-both, axis=1, kind="stable")[:, :K]
        best, where = np.take_along_axis(both, order, axis=1), np.take_along_axis(both_where, order, axis=1)
    return where
