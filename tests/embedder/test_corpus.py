"""What a real embedder makes of the corpus of good, odd and hostile files: the right answer, in little memory.

``python -m tests.support.corpus --try`` prints the slowest and the greediest of the same run.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from tests.support.corpus import KNOWN_OUTCOMES, damage, generate, jpeg_oddities, metadata
from tests.support.corpus.people import load_people
from tests.support.corpus.trial import Answer, serving_embedder

MAX_GROWTH_BYTES = 300 * 2**20
MAX_STATUS_BYTES = 4_000
FAULTS = frozenset({grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN})

# One run over hundreds of files, a few of them made to be slow.
pytestmark = pytest.mark.timeout(900)


@dataclass(frozen=True, slots=True)
class Trial:
    """The answers, and a good photo's vector before the first file and after the last."""

    answers: list[Answer]
    is_serving: bool
    vectors: tuple[bytes, bytes]


@pytest.fixture(scope="module")
def photos(models_dir: Path) -> Path:
    return models_dir / "starter" / "photos"


@pytest.fixture(scope="module")
def trial(models_dir: Path, photos: Path) -> Iterator[Trial]:
    good = (photos / "gauss.png").read_bytes()
    with serving_embedder(models_dir) as subject:
        before = subject.vector(good)
        answers = list(subject.answers(generate(photos)))
        yield Trial(answers, subject.is_serving(), (before, subject.vector(good)))


def said_of(trial: Trial, is_meant: Callable[[Answer], bool]) -> list[str]:
    """Tells of the answers that are meant; a test that expects none shows them all at once."""
    return [str(answer) for answer in trial.answers if is_meant(answer)]


def test_corpus_is_large_and_of_many_kinds(trial: Trial) -> None:
    files = [answer.file for answer in trial.answers]
    assert len(files) >= 130
    assert len({file.kind for file in files}) >= 26
    assert len({file.name for file in files}) == len(files)
    for file in files:
        assert file.outcomes and file.outcomes <= KNOWN_OUTCOMES, file.name


def test_corpus_is_the_same_every_time(photos: Path) -> None:
    first, second = load_people(photos), load_people(photos)
    for make in (damage.flipped, damage.flipped_headers, jpeg_oddities.odd_restarts, metadata.huge_exif):
        assert list(make(first)) == list(make(second))


def test_every_file_has_its_answer(trial: Trial) -> None:
    assert said_of(trial, lambda answer: not answer.is_right) == []


def test_no_file_is_a_fault_of_the_service(trial: Trial) -> None:
    assert said_of(trial, lambda answer: answer.code in FAULTS) == []


def test_every_refusal_is_short(trial: Trial) -> None:
    assert said_of(trial, lambda answer: answer.status_bytes >= MAX_STATUS_BYTES) == []


def test_no_file_takes_much_memory(trial: Trial) -> None:
    assert said_of(trial, lambda answer: answer.peak_growth_bytes > MAX_GROWTH_BYTES) == []


def test_embedder_works_on_as_before(trial: Trial) -> None:
    assert trial.is_serving
    before, after = trial.vectors
    assert before == after
