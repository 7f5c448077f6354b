"""The benchmark of starts, once, with a gallery of no size."""

import pytest

from benchmarks import start


def test_every_way_to_start_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert start.main(["--faces", "600", "--repeats", "1"]) == 0
    table = capsys.readouterr().out
    for name in ("COPY", "fetch", "start from PostgreSQL", "start from the snapshot on disk", "written in"):
        assert name in table
