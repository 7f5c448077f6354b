"""Several ways of doing one piece of work, taking turns, and a table of how long each took."""

import statistics
import time
from collections.abc import Callable


class Contest:
    """One set of photos, and everybody who works on it."""

    def __init__(self, title: str, photos: list[bytes], *, base: str) -> None:
        """base: whose time the others' are compared with."""
        self._title = title
        self._photos = photos
        self._base = base
        self._ways: dict[str, Callable[[list[bytes]], list[float]]] = {}
        self._seconds: dict[str, list[float]] = {}
        self._latencies: dict[str, list[float]] = {}

    def add(self, name: str, work: Callable[[list[bytes]], list[float]]) -> None:
        """Adds a way; work returns each photo's seconds."""
        self._ways[name] = work

    def run(self, repeats: int) -> None:
        """Lets everybody work once to warm up, and then in turns."""
        for work in self._ways.values():
            work(self._photos)
        for _ in range(repeats):
            for name, work in self._ways.items():
                started = time.perf_counter()
                latencies = work(self._photos)
                self._seconds.setdefault(name, []).append(time.perf_counter() - started)
                self._latencies.setdefault(name, []).extend(latencies)

    def report(self) -> None:
        """Prints medians, the photos' own latencies, and the ratios."""
        count = len(self._photos)
        base = statistics.median(self._seconds[self._base])
        print(f"\n{self._title}")
        print(f"  {'':40} {'photos/s':>9} {'ms/photo':>9} {'p50 ms':>8} {'p99 ms':>8} {'×':>6}")
        for name, seconds in self._seconds.items():
            middle = statistics.median(seconds)
            latencies = sorted(1000 * value for value in self._latencies[name])
            p50, p99 = statistics.median(latencies), latencies[min(len(latencies) - 1, round(0.99 * len(latencies)))]
            print(
                f"  {name:40} {count / middle:9.1f} {1000 * middle / count:9.1f} {p50:8.1f} {p99:8.1f}"
                f" {base / middle:6.2f}",
                flush=True,
            )
