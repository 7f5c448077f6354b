"""The short form of a long soak: a mix of good, odd and hostile files, every answer checked."""

import asyncio
from pathlib import Path

import pytest

from tests.chaos.soak import SoakReport, mix_of, show, soak, soak_files
from tests.support.embedder_process import running_embedder

REQUESTS = 1_500
MEAN_MS = 6.0
SEED = 3
MAX_PEAK_BYTES = 2_500 * 2**20
"""Each process's own highest mark, added up: no four of them stand at once."""

pytestmark = pytest.mark.chaos


@pytest.fixture(scope="module")
def report(models_dir: Path) -> SoakReport:
    requests = mix_of(soak_files(models_dir / "starter" / "photos"), MEAN_MS).drawn(REQUESTS, SEED)
    with running_embedder(models_dir) as embedder:
        report = asyncio.run(soak(embedder, requests))
    show(report, requests)
    return report


def test_every_request_has_its_answer(report: SoakReport) -> None:
    assert not report.wrong
    assert report.answered == report.images == REQUESTS
    assert report.refused == 0
    assert len(report.by_kind) > 30


def test_no_decoder_is_lost(report: SoakReport) -> None:
    assert report.decoders_lost == 0


def test_health_answers_all_along(report: SoakReport) -> None:
    assert report.is_running
    assert report.health.seconds and not report.health.failures


def test_memory_stays_within_what_the_largest_files_need(report: SoakReport) -> None:
    assert report.peak_bytes < MAX_PEAK_BYTES
