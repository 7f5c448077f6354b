"""Pictures of recall against queries a second, as SVG: legible in light and in dark, with no font of its own.

python -m benchmarks.chart RESULTS.json FOLDER
"""

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

# A panel for each gallery, side by side, and the legend below.
_PANEL_WIDTH: Final = 440
_PANEL_HEIGHT: Final = 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 32, 62, 46
_LEGEND_ROW: Final = 22
_LEGEND_COLUMNS: Final = 3
# Recall below this is no search of faces; what lies lower is left out.
_LEAST_RECALL: Final = 0.70
# The axis is logarithmic in what is missed, and ends here: nothing at all missed is drawn at its end.
_LEAST_MISSED: Final = 0.0005
_RECALL_TICKS: Final = (0.70, 0.80, 0.90, 0.95, 0.99, 0.999, 1.0)
_GOOD_RECALL: Final = 0.99
_CALLERS: Final = "64"
# Okabe and Ito's colours, told apart by nearly everybody; those too pale for white or too dark for black are changed.
_COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56a4d9", "#7f6df2", "#888888", "#b03a5b")
_STYLE: Final = """
text { font-family: system-ui, sans-serif; font-size: 12px; fill: #24292f }
.title { font-size: 15px; font-weight: 600 }
.panel { font-size: 13px; font-weight: 600 }
.page { fill: #ffffff }
.grid { stroke: #d8dee4; stroke-width: 1 }
.good { stroke: #1a7f37; stroke-width: 1.5; stroke-dasharray: 5 4 }
.line { fill: none; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .page { fill: #0d1117 }
  .grid { stroke: #30363d }
  .good { stroke: #3fb950 }
}
"""


@dataclass(frozen=True, slots=True)
class Series:
    """One contestant's points (queries a second, recall) in order, as a line where there is more than one."""

    title: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """One gallery."""

    title: str
    series: tuple[Series, ...]


def write_pictures(results: Sequence[Mapping[str, Any]], folder: Path) -> list[Path]:
    """Writes recall-seen-N.svg and recall-unseen-N.svg for each size N of gallery; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for faces in sorted({result["faces"] for result in results}):
        of_size = [result for result in results if result["faces"] == faces]
        for which, who in enumerate(("seen", "unseen")):
            panels = [Panel(_panel_title(result), tuple(_series(result["entries"], which))) for result in of_size]
            title = f"Recall@10 for {who} identities against queries a second, {_CALLERS} callers, {faces:,} faces"
            path = folder / f"recall-{who}-{faces}.svg"
            path.write_text(picture(title, panels))
            written.append(path)
    return written


def picture(title: str, panels: Sequence[Panel]) -> str:
    """Returns the SVG's text."""
    names = list(dict.fromkeys(series.title for panel in panels for series in panel.series))
    looks = {name: (_COLOURS[number % len(_COLOURS)], number % 4) for number, name in enumerate(names)}
    rates = [rate for panel in panels for series in panel.series for rate, _ in series.points]
    low, high = (math.floor(math.log10(min(rates))), math.ceil(math.log10(max(rates)))) if rates else (0, 1)
    decades = (low, max(high, low + 1))
    columns = max(1, min(_LEGEND_COLUMNS, len(panels) + 1))
    width = _PANEL_WIDTH * len(panels)
    height = _PANEL_HEIGHT + _TOP + _BOTTOM + _LEGEND_ROW * math.ceil(len(names) / columns) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img"><title>{escape(title)}</title><style>{_STYLE}</style>',
        f'<rect class="page" width="{width}" height="{height}" rx="6"/>',
        f'<text class="title" x="{_LEFT}" y="24">{escape(title)}</text>',
    ]
    for number, panel in enumerate(panels):
        parts += _panel(panel, number * _PANEL_WIDTH, decades, looks)
    for number, name in enumerate(names):
        x = _LEFT + (width - _LEFT) * (number % columns) / columns
        y = _TOP + _PANEL_HEIGHT + _BOTTOM + _LEGEND_ROW * (number // columns) + 8
        parts += [_mark(x, y, *looks[name]), f'<text x="{x + 12:.0f}" y="{y + 4:.0f}">{escape(name)}</text>']
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, left: float, decades: tuple[int, int], looks: Mapping[str, tuple[str, int]]) -> Iterable[str]:
    x0, x1 = left + _LEFT, left + _PANEL_WIDTH - _RIGHT
    y0, y1 = _TOP + _PANEL_HEIGHT, _TOP

    def across(rate: float) -> float:
        return x0 + (x1 - x0) * (math.log10(rate) - decades[0]) / (decades[1] - decades[0])

    def up(recall: float) -> float:
        missed = max(1 - recall, _LEAST_MISSED)
        return y0 - (y0 - y1) * math.log(missed / (1 - _LEAST_RECALL)) / math.log(_LEAST_MISSED / (1 - _LEAST_RECALL))

    yield f'<text class="panel" x="{x0}" y="{_TOP - 12}">{escape(panel.title)}</text>'
    for tick in _RECALL_TICKS:
        look = "good" if tick == _GOOD_RECALL else "grid"
        yield f'<line class="{look}" x1="{x0}" x2="{x1}" y1="{up(tick):.1f}" y2="{up(tick):.1f}"/>'
        yield f'<text x="{x0 - 8}" y="{up(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>'
    for decade in range(decades[0], decades[1] + 1):
        x = across(10.0**decade)
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{y0}" y2="{y1}"/>'
        yield f'<text x="{x:.1f}" y="{y0 + 18}" text-anchor="middle">{10.0**decade:,g}</text>'
    yield f'<text x="{(x0 + x1) / 2:.0f}" y="{y0 + 36}" text-anchor="middle">queries a second</text>'
    for series in panel.series:
        colour, shape = looks[series.title]
        places = [(across(rate), up(recall)) for rate, recall in series.points if recall >= _LEAST_RECALL]
        if len(places) > 1:
            drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            yield f'<polyline class="line" stroke="{colour}" points="{drawn}"/>'
        yield from (_mark(x, y, colour, shape, 5 if len(places) > 1 else 7) for x, y in places)


def _mark(x: float, y: float, colour: str, shape: int, size: float = 5) -> str:
    if shape == 0:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size}" fill="{colour}"/>'
    corners = {
        1: [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
        2: [(0, -1.2), (1.1, 0.9), (-1.1, 0.9)],
        3: [(0, -1.2), (1.2, 0), (0, 1.2), (-1.2, 0)],
    }[shape]
    points = " ".join(f"{x + size * dx:.1f},{y + size * dy:.1f}" for dx, dy in corners)
    return f'<polygon points="{points}" fill="{colour}"/>'


def _series(entries: Iterable[Mapping[str, Any]], which: int) -> Iterable[Series]:
    for entry in entries:
        # A graph's line is what it did at each setting; what has no settings is a point for each thing it can do.
        is_graph = len(entry["tried"]) > len(entry["shown"])
        if is_graph:
            yield Series(entry["title"], tuple(_places(entry["tried"], which)))
        else:
            for point in entry["shown"]:
                places = tuple(_places([point], which))
                if places:
                    alone = len(entry["shown"]) == 1
                    yield Series(entry["title"] if alone else f"{entry['title']}, {point['variant']}", places)


def _places(points: Iterable[Mapping[str, Any]], which: int) -> Iterable[tuple[float, float]]:
    for point in points:
        if point["recall"] and _CALLERS in point["callers"]:
            yield point["callers"][_CALLERS]["queries_per_s"], point["recall"][which]


def _panel_title(result: Mapping[str, Any]) -> str:
    return {"iso": "identities spread evenly", "aniso": "identities spread unevenly"}[result["distribution"]]


if __name__ == "__main__":
    for picture_path in write_pictures(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])):
        print(picture_path)
