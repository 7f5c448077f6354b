"""The search benchmark's results as tables for the documents.

python -m benchmarks.search_markdown RESULTS.json
"""

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_HEAD = (
    "| | recall@10 seen / unseen | p50 / p99 ms, one caller | queries/s at 1 / 16 / 64 callers | bytes a vector "
    "| build s | adds / removes a second | cold start s |"
)


def tables(results: Iterable[Mapping[str, Any]]) -> str:
    """Returns a table for each gallery, with the ratios below it."""
    return "\n".join(line for result in results for line in _table(result))


def _table(result: Mapping[str, Any]) -> Iterable[str]:
    yield f"{result['faces']:,} faces, `{result['distribution']}`, {result['threads']} threads:"
    yield ""
    yield _HEAD
    yield "|" + " --- |" * (_HEAD.count("|") - 1)
    for entry in result["entries"]:
        for point in entry["shown"]:
            yield _row(entry, point)
    yield ""
    for line in result["comparisons"]:
        yield f"- {line}"
    yield ""


def _row(entry: Mapping[str, Any], point: Mapping[str, Any]) -> str:
    one = point["callers"].get("1")
    rates = [point["callers"].get(callers, {}).get("queries_per_s") for callers in ("1", "16", "64")]
    cells = [
        f"{entry['title']}, {point['variant']}",
        " / ".join(_number(value, 3) for value in point["recall"] or (None, None)),
        f"{_number(one and one['p50_ms'], 2)} / {_number(one and one['p99_ms'], 2)}",
        " / ".join(_number(rate, 0) for rate in rates),
        _number(entry["bytes_each"].get("memory"), 0),
        _number(entry["build_s"], 1),
        f"{_number(entry['adds_per_s'], 0)} / {_number(entry['removes_per_s'], 0)}",
        _number(entry["cold_start_s"], 2),
    ]
    return f"| {' | '.join(cells)} |"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


if __name__ == "__main__":
    print(tables(json.loads(Path(sys.argv[1]).read_text())))
