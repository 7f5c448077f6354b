"""The pictures of the search benchmark."""

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from benchmarks.chart import Panel, Series, picture, write_pictures

_SVG = "{http://www.w3.org/2000/svg}"


def _point(recall: tuple[float, float] | None, rate: float) -> dict[str, Any]:
    return {"variant": "fast", "recall": recall, "callers": {"64": {"queries_per_s": rate}}}


def _result(distribution: str) -> dict[str, Any]:
    ours, echo = [_point((1.0, 0.995), 3000)], [_point(None, 4000)]
    graph = [_point((0.9, 0.8), 900), _point((0.95, 0.9), 300), _point((0.4, 0.3), 5000)]
    entries = [
        {"title": "ours & <others>", "tried": ours, "shown": ours},
        {"title": "graph", "tried": graph, "shown": graph[:1]},
        {"title": "echo", "tried": echo, "shown": echo},
    ]
    return {"faces": 1000, "distribution": distribution, "entries": entries}


def test_a_picture_for_seen_and_one_for_unseen_with_a_panel_for_each_gallery(tmp_path: Path) -> None:
    paths = write_pictures([_result("iso"), _result("aniso")], tmp_path)
    assert [path.name for path in paths] == ["recall-seen-1000.svg", "recall-unseen-1000.svg"]
    root = ElementTree.parse(paths[1]).getroot()
    texts = [text.text for text in root.iter(f"{_SVG}text")]
    assert {"ours & <others>", "graph", "identities spread evenly", "identities spread unevenly"} <= set(texts)
    # An echo finds nothing, and so has no place in it.
    assert "echo" not in texts
    assert len(list(root.iter(f"{_SVG}polyline"))) == 2


def test_more_queries_lie_to_the_right_and_more_recall_lies_above() -> None:
    root = ElementTree.fromstring(
        picture("title", [Panel("p", (Series("s", ((100, 0.9), (1000, 0.99), (5000, 1.0))),))])
    )
    (line,) = root.iter(f"{_SVG}polyline")
    places = [tuple(map(float, place.split(","))) for place in line.attrib["points"].split()]
    assert places == sorted(places)
    assert [y for _, y in places] == sorted((y for _, y in places), reverse=True)


def test_every_mark_lies_within_its_picture_and_what_is_too_bad_is_left_out(tmp_path: Path) -> None:
    text = write_pictures([_result("iso")], tmp_path)[0].read_text()
    root = ElementTree.fromstring(text)
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for circle in root.iter(f"{_SVG}circle"):
        assert 0 < float(circle.attrib["cx"]) < width and 0 < float(circle.attrib["cy"]) < height
    (line,) = root.iter(f"{_SVG}polyline")
    assert len(line.attrib["points"].split()) == 2


def test_pictures_bring_nothing_from_elsewhere_and_know_the_dark(tmp_path: Path) -> None:
    text = write_pictures([_result("iso")], tmp_path)[0].read_text()
    assert re.findall(r"https?://[^\s\"]+", text) == ["http://www.w3.org/2000/svg"]
    assert "prefers-color-scheme: dark" in text
    assert "@import" not in text and "<script" not in text


def test_pictures_are_made_of_what_the_benchmark_writes_as_json(tmp_path: Path) -> None:
    results = json.loads(json.dumps([_result("iso")]))
    assert write_pictures(results, tmp_path)
