"""How the search benchmark chooses, and what it says of it."""

import json

import pytest

from benchmarks.load import Load
from benchmarks.search_markdown import tables
from benchmarks.search_results import Entry, Point, choose, comparisons, table


def _point(variant: str, recall: tuple[float, float] | None, p50_ms: float = 1.0, rate: float = 100.0) -> Point:
    loads = [Load("one by one", 1, 1000 / p50_ms, p50_ms, 2 * p50_ms), Load("batches", 64, rate, 5.0, 9.0)]
    return Point(variant, recall, loads)


def _entry(name: str, *shown: Point, tried: list[Point] | None = None) -> Entry:
    return Entry(name, f"the {name}", 1.5, {"memory": 1152.0}, 1200.0, tried or list(shown), list(shown))


def test_a_graph_is_shown_at_its_fastest_setting_with_good_recall_of_both_sorts() -> None:
    tried = [_point("64", (0.99, 0.90)), _point("128", (0.992, 0.991)), _point("256", (1.0, 1.0))]
    assert choose(tried).variant == "128"


def test_a_graph_that_never_reaches_it_is_shown_at_its_best_recall() -> None:
    tried = [_point("64", (0.99, 0.90)), _point("128", (0.97, 0.93)), _point("256", (0.98, 0.93))]
    assert choose(tried).variant == "128"


def test_many_callers_are_shown_as_they_are_served_best_by_medians() -> None:
    point = Point("x", None, [Load("batches", 64, rate, 1, 1) for rate in (1, 2, 900)])
    point.loads += [Load("threads", 64, rate, 1, 1) for rate in (3, 4, 5)]
    best = point.best(64)
    assert best is not None and (best.way, best.queries_per_s) == ("threads", 4)
    assert point.best(16) is None


def test_the_comparison_names_the_fastest_graph_of_those_with_good_recall() -> None:
    tried = [_point("64", (0.9, 0.9)), _point("128", (0.99, 0.99))]
    entries = [
        _entry("flat", _point("exact", (1.0, 1.0), p50_ms=15.0, rate=140)),
        _entry("ours", _point("fast", (1.0, 1.0), p50_ms=0.5, rate=3500), _point("exact", (1.0, 1.0), rate=1000)),
        _entry("slow", _point("128", (0.99, 0.99), p50_ms=6.0), tried=tried),
        _entry("quick", _point("128", (0.99, 0.99), p50_ms=3.0, rate=350), tried=tried),
        _entry("wrong", _point("128", (0.98, 0.99), p50_ms=0.1), tried=tried),
    ]
    text = "\n".join(comparisons(entries))
    assert "flat over ours: 30.00" in text
    assert "ours over flat: 25.00" in text
    assert "best graph over ours: 6.00 (the quick, 128: the fastest that reaches 0.99)" in text
    assert "ours over that graph: 10.00" in text
    assert "exact in-process, 64 callers' rate over flat asked one by one: 15.0" in text
    assert "building, that graph over ours: 1.0" in text


def test_the_comparison_takes_the_graph_of_the_best_recall_where_none_is_good() -> None:
    tried = [_point("64", (0.8, 0.8)), _point("128", (0.9, 0.9))]
    entries = [
        _entry("ours", _point("fast", (1.0, 1.0))),
        _entry("quick", _point("128", (0.93, 0.92), p50_ms=2.0), tried=tried),
        _entry("best", _point("128", (0.95, 0.94), p50_ms=7.0), tried=tried),
    ]
    (line,) = [line for line in comparisons(entries) if "best graph" in line]
    assert "7.00 (the best, 128: none reaches 0.99" in line


def test_the_service_is_compared_with_the_echo_and_with_the_index_itself() -> None:
    entries = [
        _entry("ours", _point("fast", (1.0, 1.0), p50_ms=0.5)),
        _entry("service", _point("fast", (1.0, 1.0), p50_ms=1.5, rate=2000)),
        _entry("echo", _point("echo", None, rate=4000)),
    ]
    text = "\n".join(comparisons(entries))
    assert "through gRPC over in-process: 1.00 ms" in text
    assert "share of the echo's: 0.50" in text


def test_table_and_json_have_a_line_for_everybody_also_where_little_was_measured() -> None:
    entries = [_entry("flat", _point("exact", (1.0, 1.0))), _entry("echo", Point("echo", None))]
    flat, echo = table(entries)[2:]
    assert "the flat, exact" in flat and "1,152" in flat
    assert "the echo, echo" in echo
    shown = json.loads(json.dumps([entry.as_json() for entry in entries]))[0]["shown"]
    assert shown[0]["callers"]["64"]["queries_per_s"] == pytest.approx(100)


def test_the_documents_table_has_a_row_for_everybody_and_the_ratios_below() -> None:
    entries = [
        _entry("flat", _point("exact", (1.0, 1.0), p50_ms=15.0)),
        _entry("ours", _point("fast", (0.999, 0.994), p50_ms=0.5)),
        _entry("echo", Point("echo", None)),
    ]
    result = {
        "faces": 100_000,
        "distribution": "iso",
        "threads": 2,
        "entries": [entry.as_json() for entry in entries],
        "comparisons": comparisons(entries),
    }
    text = tables([json.loads(json.dumps(result))])
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1
    assert "| the ours, fast | 0.999 / 0.994 | 0.50 / 1.00 |" in text
    assert "| the echo, echo | – / – | – / – |" in text
    assert "- one caller's p50, flat over ours: 30.00" in text
