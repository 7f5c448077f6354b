"""What the search benchmark found out, and how it is told: medians, the choice of a graph's setting, a table, JSON."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.load import Load

GOOD_RECALL: Final = 0.99
CALLERS: Final = (1, 16, 64)
BASE: Final = "flat"


@dataclass(slots=True)
class Point:
    """A contestant at one of its settings."""

    variant: str
    # recall@10 for seen and for unseen probes; None for an echo.
    recall: tuple[float, float] | None
    loads: list[Load] = field(default_factory=list)

    @property
    def worst_recall(self) -> float:
        """The smaller of the two."""
        return min(self.recall) if self.recall else 0.0

    def best(self, callers: int) -> Load | None:
        """Returns medians of the way that served so many callers best, None when nothing was measured."""
        ways = {load.way for load in self.loads if load.callers == callers}
        medians = [
            _median([load for load in self.loads if load.callers == callers and load.way == way]) for way in ways
        ]
        return max(medians, key=lambda load: load.queries_per_s, default=None)


@dataclass(slots=True)
class Entry:
    """A contestant."""

    name: str
    title: str
    build_s: float
    bytes_each: Mapping[str, float]
    process_bytes_each: float
    # Every setting that was tried, in order.
    tried: list[Point]
    # Those that the table shows, measured in turns with everybody else's.
    shown: list[Point]
    adds_per_s: float | None = None
    removes_per_s: float | None = None
    cold_start_s: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Returns everything that was measured."""
        return {
            "name": self.name,
            "title": self.title,
            "build_s": self.build_s,
            "bytes_each": dict(self.bytes_each),
            "process_bytes_each": self.process_bytes_each,
            "adds_per_s": self.adds_per_s,
            "removes_per_s": self.removes_per_s,
            "cold_start_s": self.cold_start_s,
            "tried": [_point_as_json(point) for point in self.tried],
            "shown": [_point_as_json(point) for point in self.shown],
        }


def choose(tried: Sequence[Point]) -> Point:
    """Returns the first, and so fastest, setting with good recall of both sorts; otherwise the one with the best."""
    for point in tried:
        if point.worst_recall >= GOOD_RECALL:
            return point
    return max(tried, key=lambda point: point.worst_recall)


def table(entries: Sequence[Entry]) -> list[str]:
    """Returns the lines of a table, one line a setting that is shown."""
    base = _point_of(entries, BASE)
    base_p50, base_rate = (base.best(1), base.best(CALLERS[-1])) if base else (None, None)
    lines = [
        f"{'':34} {'recall@10':>13} {'one caller, ms':>22} {'queries/s, callers':>22} {'':>7} {'bytes/':>7}"
        f" {'build':>7} {'adds':>8} {'removes':>8} {'start':>7}",
        f"{'':34} {'seen':>6} {'unseen':>6} {'p50':>7} {'p99':>7} {'×':>6} {'1':>7} {'16':>7} {'64':>6} {'×':>7}"
        f" {'vector':>7} {'s':>7} {'/s':>8} {'/s':>8} {'s':>7}",
    ]
    for entry in entries:
        for point in entry.shown:
            one, most = point.best(1), point.best(CALLERS[-1])
            seen, unseen = point.recall or (None, None)
            rates = [load.queries_per_s if load else None for load in map(point.best, CALLERS)]
            cells = [
                f"{f'{entry.title}, {point.variant}':34.34}",
                *(_cell(value, 6, 3) for value in (seen, unseen)),
                *(_cell(value, 7, 2) for value in ((one.p50_ms, one.p99_ms) if one else (None, None))),
                _cell(base_p50.p50_ms / one.p50_ms if base_p50 and one else None, 6, 1),
                *(_cell(rate, width, 0) for rate, width in zip(rates, (7, 7, 6), strict=True)),
                _cell(most.queries_per_s / base_rate.queries_per_s if base_rate and most else None, 7, 1),
                _cell(entry.bytes_each.get("memory"), 7, 0),
                _cell(entry.build_s, 7, 1),
                _cell(entry.adds_per_s, 8, 0),
                _cell(entry.removes_per_s, 8, 0),
                _cell(entry.cold_start_s, 7, 2),
            ]
            lines.append(" ".join(cells))
    return lines


def comparisons(entries: Sequence[Entry]) -> list[str]:
    """Returns the ratios that the index and the service are judged by, one a line, as far as they were measured."""
    flat, ours, exact = (_point_of(entries, *key) for key in ((BASE,), ("ours", "fast"), ("ours", "exact")))
    service, echo = _point_of(entries, "service", "fast"), _point_of(entries, "echo")
    graphs = [(entry, point) for entry in entries for point in entry.shown if len(entry.tried) > len(entry.shown)]
    good = [(entry, point) for entry, point in graphs if point.worst_recall >= GOOD_RECALL]
    lines = []
    if ours and flat:
        lines.append(f"one caller's p50, flat over ours: {_ratio(flat, ours, 1, latency=True)}")
        lines.append(f"64 callers' rate, ours over flat: {_ratio(ours, flat, 64)}")
    if ours and graphs:
        entry, best = min(good or graphs, key=lambda pair: _p50(pair[1]))
        if not good:
            entry, best = max(graphs, key=lambda pair: pair[1].worst_recall)
        why = "the fastest that reaches 0.99" if good else "none reaches 0.99; the one of the best recall"
        lines.append(
            f"one caller's p50, best graph over ours: {_ratio(best, ours, 1, latency=True)}"
            f" ({entry.title}, {best.variant}: {why})"
        )
        lines.append(f"64 callers' rate, ours over that graph: {_ratio(ours, best, 64)}")
        (own,) = [entry for entry in entries if entry.name == "ours"]
        lines.append(f"building, that graph over ours: {entry.build_s / own.build_s:.1f}")
    for how, point in (("in-process", exact), ("through gRPC", _point_of(entries, "service", "exact"))):
        one, many = (flat.best(1) if flat else None), (point.best(64) if point else None)
        if one and many:
            ratio = many.queries_per_s / one.queries_per_s
            lines.append(f"exact {how}, 64 callers' rate over flat asked one by one: {ratio:.1f}")
    if ours and service:
        lines.append(f"one caller's p50 through gRPC over in-process: {_p50(service) - _p50(ours):.2f} ms")
    if service and echo:
        lines.append(f"64 callers' rate through gRPC, share of the echo's: {_ratio(service, echo, 64)}")
    return lines


def _point_as_json(point: Point) -> dict[str, Any]:
    best = {str(callers): point.best(callers) for callers in CALLERS}
    return {
        "variant": point.variant,
        "recall": point.recall,
        "callers": {
            callers: {name: getattr(load, name) for name in ("way", "queries_per_s", "p50_ms", "p99_ms")}
            for callers, load in best.items()
            if load
        },
        "loads": [[load.way, load.callers, load.queries_per_s, load.p50_ms, load.p99_ms] for load in point.loads],
    }


def _point_of(entries: Iterable[Entry], name: str, variant: str | None = None) -> Point | None:
    for entry in entries:
        for point in entry.shown:
            if entry.name == name and variant in (None, point.variant):
                return point
    return None


def _p50(point: Point) -> float:
    load = point.best(1)
    return load.p50_ms if load else float("inf")


def _ratio(upper: Point, lower: Point, callers: int, *, latency: bool = False) -> str:
    above, below = upper.best(callers), lower.best(callers)
    if not above or not below:
        return "–"
    return f"{above.p50_ms / below.p50_ms if latency else above.queries_per_s / below.queries_per_s:.2f}"


def _median(loads: Sequence[Load]) -> Load:
    rates, p50s, p99s = zip(*((load.queries_per_s, load.p50_ms, load.p99_ms) for load in loads), strict=True)
    return Load(
        loads[0].way, loads[0].callers, statistics.median(rates), statistics.median(p50s), statistics.median(p99s)
    )


def _cell(value: float | None, width: int, digits: int) -> str:
    return f"{'–':>{width}}" if value is None else f"{value:{width},.{digits}f}"
