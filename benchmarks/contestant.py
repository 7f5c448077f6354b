"""What the search benchmark asks of everybody who takes part."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.galleries import MadeUpGallery, Rows
from benchmarks.load import Load, in_batches, in_threads, one_by_one
from benchmarks.search_data import Found


@dataclass(frozen=True, slots=True)
class Setup:
    """What a contestant is made from. folder: its own, empty but for what it left in it before."""

    folder: Path
    threads: int
    gallery: MadeUpGallery


class Contestant(Protocol):
    """One index, or one service, in a process that it has to itself. Rows of the gallery are its ids."""

    # The settings it can be asked with, from the fastest to the most thorough.
    variants: tuple[str, ...]
    # Whether one of the variants is chosen by its recall, instead of each being shown.
    chooses: bool

    def build(self, rows: Rows) -> None:
        """Takes the gallery in."""

    def bytes_each(self) -> dict[str, float]:
        """Returns the bytes that a vector takes, by where; those that stay in memory as "memory"."""

    def search(self, probes: Rows, variant: str, threads: int) -> Found:
        """Returns the rows of the nearest (n, K), -1 where there is none."""

    def under_load(self, probes: Rows, variant: str, callers: int, threads: int, duration_s: float) -> list[Load]:
        """Returns what so many callers see, for each way in which they can be served."""

    def add(self, ids: Found, rows: Rows) -> None:
        """Adds rows under ids that come right after the gallery's, in one call."""

    def remove(self, ids: Found) -> None:
        """Removes them; raises NotImplementedError where that is impossible."""

    def close(self) -> None:
        """Leaves files behind that ``open`` starts from, and ends."""

    def open(self) -> None:
        """Starts from the files, in another process, until a search can be answered."""

    def abort(self) -> None:
        """Ends whatever other processes it started; nothing after a failure may stay behind."""


class InProcess:
    """What is common to indexes that are called directly."""

    def search(self, probes: Rows, variant: str, threads: int) -> Found:
        """See Contestant."""
        raise NotImplementedError

    def under_load(self, probes: Rows, variant: str, callers: int, threads: int, duration_s: float) -> list[Load]:
        """See Contestant."""

        def search(batch: Rows, may_use: int) -> Found:
            return self.search(batch, variant, may_use)

        if callers == 1:
            return [one_by_one(search, probes, threads)]
        return [way(search, probes, callers, threads, duration_s) for way in (in_batches, in_threads)]

    def abort(self) -> None:
        """See Contestant."""
