"""The workers: whose fault an error is, whose time is charged, and when a photo has the machine to itself."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from embedder.board import StageRunner
from embedder.caller import Caller
from embedder.engine import Model, stage_runners
from embedder.faces import FaceChoice, Selection
from embedder.scheduler import Scheduler
from embedder.steps import Ask, Stage, Steps

NOBODY_WAITS_S = 30


class Line:
    """A scheduler that the test made, closed at its end."""

    def __init__(self) -> None:
        self.schedulers: list[Scheduler] = []

    def __call__(self, runners: dict[Stage, StageRunner], *, threads: int = 1, max_begun: int = 64) -> Scheduler:
        scheduler = Scheduler(
            runners, thread_count=threads, queue_limit=10_000, max_begun=max_begun, on_death=lambda death: None
        )
        self.schedulers.append(scheduler)
        return scheduler


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line()
    yield line
    for scheduler in line.schedulers:
        scheduler.close(NOBODY_WAITS_S)


def asking(stage: Stage, *values: Any) -> Steps[list[Any]]:
    results = yield Ask(stage, list(values))
    return results


def blocked(line: Line, handler: Callable[[list[Any]], list[Any]], max_batch: int) -> tuple[Scheduler, threading.Event]:
    """One thread, which waits in DECODE until the event, so that what is submitted meanwhile meets in one batch."""
    opened = threading.Event()

    def wait(items: list[Any]) -> list[Any]:
        assert opened.wait(NOBODY_WAITS_S)
        return items

    scheduler = line(
        {Stage.DECODE: StageRunner(wait, 1, 1), Stage.EMBED: StageRunner(handler, max_batch, 1)}, threads=1
    )
    return scheduler, opened


def test_one_bad_item_of_a_batch_fails_its_own_photo_alone(line: Line) -> None:
    batches: list[int] = []

    def embed(items: list[int]) -> list[int]:
        batches.append(len(items))
        if 3 in items:
            raise ArithmeticError("three")
        return [10 * item for item in items]

    scheduler, opened = blocked(line, embed, max_batch=8)

    def photo(number: int) -> Steps[int]:
        yield Ask(Stage.DECODE, [number])
        [answer] = yield Ask(Stage.EMBED, [number])
        result: int = answer
        return result

    futures = [scheduler.submit(photo(n), Caller(None, n), refusable=False).future for n in range(5)]
    opened.set()
    outcomes = [future.exception(NOBODY_WAITS_S) or future.result() for future in futures]
    assert outcomes[:3] == [0, 10, 20] and outcomes[4] == 40
    assert isinstance(outcomes[3], ArithmeticError)


def test_callers_share_the_time_and_not_the_photos(line: Line) -> None:
    """One asks for ten times as long as the other; while both wait, each is served about as long."""
    served: dict[str, float] = {"quick": 0.0, "slow": 0.0}
    both_wait = threading.Event()

    def decode(items: list[tuple[str, float]]) -> list[None]:
        [(name, seconds)] = items
        started = time.perf_counter()
        time.sleep(seconds)
        if not both_wait.is_set():
            served[name] += time.perf_counter() - started
        return [None]

    scheduler = line({Stage.DECODE: StageRunner(decode, 1, 1)}, max_begun=4)
    jobs = {"slow": (60, 0.02), "quick": (200, 0.002)}
    futures = {
        name: [
            scheduler.submit(asking(Stage.DECODE, (name, seconds)), Caller(None, name), refusable=False).future
            for _ in range(count)
        ]
        for name, (count, seconds) in jobs.items()
    }
    futures["quick"][-1].result(NOBODY_WAITS_S)
    both_wait.set()
    assert not futures["slow"][-1].done()
    # By photos in turn it would be ten to one; charged by time it is one to one, but for the first guesses.
    assert served["slow"] < 3 * served["quick"]
    for waiting in futures["slow"]:
        waiting.cancel()


def test_photo_alone_has_the_whole_machine_and_company_does_not(line: Line) -> None:
    used: list[str] = []
    gate = threading.Event()

    def work(name: str) -> Callable[[list[Any]], list[Any]]:
        def run(items: list[Any]) -> list[Any]:
            used.append(name)
            if name == "alone":
                gate.wait(NOBODY_WAITS_S)
            return items

        return run

    runner = StageRunner(work("shared"), 1, 2, when_alone=work("alone"))
    scheduler = line({Stage.DETECT: runner}, threads=2)
    first = scheduler.submit(asking(Stage.DETECT, 1), Caller(None), refusable=False).future
    while not used:
        time.sleep(0.001)
    second = scheduler.submit(asking(Stage.DETECT, 2), Caller(None), refusable=False).future
    assert second.result(NOBODY_WAITS_S) == [2]
    gate.set()
    assert first.result(NOBODY_WAITS_S) == [1]
    assert used == ["alone", "shared"]


def test_detector_of_the_whole_machine_sees_the_same(model: Model, six_faces_photo: Any) -> None:
    runners = stage_runners(model, 2)
    assert runners[Stage.DETECT].when_alone is not None
    pipeline = model.pipeline
    expected = pipeline.run(six_faces_photo.read_bytes(), Selection(FaceChoice.ALL))
    alone = {**pipeline.handlers, **pipeline.handlers_when_alone}
    canvas = np.random.default_rng(1).integers(0, 256, (640, 640, 3), np.uint8)
    assert pipeline.detector_when_alone is not pipeline.detector
    for one, other in zip(alone[Stage.DETECT]([canvas]), pipeline.handlers[Stage.DETECT]([canvas]), strict=True):
        assert np.allclose(one.boxes, other.boxes, atol=1e-3) and np.allclose(one.scores, other.scores, atol=1e-5)
    assert len(expected.faces) == 6
