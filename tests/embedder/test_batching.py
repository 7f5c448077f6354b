"""What a GPU's provider makes of many photos at once, on the processor: real batches of planned sizes, two at a time.

The pictures are square and the sizes planned as on a GPU; only what runs the networks differs.
"""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from embedder.board import StageRunner
from embedder.caller import Caller
from embedder.engine import Model, load_model, max_begun, stage_runners
from embedder.faces import AnalyzedImage, FaceChoice, Floats, Selection
from embedder.scheduler import Scheduler
from embedder.sessions import CPU, PLANNED_BATCHES, OnnxNetwork, Provider
from embedder.settings import EmbedderSettings
from embedder.steps import Handler, Stage

PHOTO_COUNT: Final = 16
THREADS: Final = 4
PLANNED: Final = Provider(CPU.name, 32, square=True, planned=True)


@dataclass
class Watch:
    """What the stages were asked, and how many batches of each ran at once."""

    asked: list[tuple[Stage, int]] = field(default_factory=list)
    most_at_once: Counter[Stage] = field(default_factory=Counter)
    running: Counter[Stage] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)
    all_decoded: threading.Event = field(default_factory=threading.Event)

    def sizes(self, stage: Stage) -> list[int]:
        return [count for asked, count in self.asked if asked is stage]

    def watched(self, runners: Mapping[Stage, StageRunner]) -> dict[Stage, StageRunner]:
        return {
            stage: replace(runner, handler=self._watched(stage, runner.handler)) for stage, runner in runners.items()
        }

    def _watched(self, stage: Stage, handler: Handler) -> Handler:
        def watched(items: list[Any]) -> list[Any]:
            with self.lock:
                self.running[stage] += 1
                self.most_at_once[stage] = max(self.most_at_once[stage], self.running[stage])
            try:
                # The looks wait until every photo is there: then those of many wait together, whatever the machine.
                if stage is not Stage.DECODE:
                    assert self.all_decoded.wait(60)
                return handler(items)
            finally:
                with self.lock:
                    self.running[stage] -= 1
                    self.asked.append((stage, len(items)))
                    if len(self.sizes(Stage.DECODE)) == PHOTO_COUNT:
                        self.all_decoded.set()

        return watched


@pytest.fixture(scope="module")
def given() -> list[tuple[int, ...]]:
    """The shapes that the networks of planned_model were given, as they are filled up."""
    return []


@pytest.fixture(scope="module")
def planned_model(settings: EmbedderSettings, given: list[tuple[int, ...]]) -> Iterator[Model]:
    """A model as a GPU's provider would have it."""

    class Noting(OnnxNetwork):
        def run(self, batch: Floats) -> list[Floats]:
            given.append(batch.shape)
            return super().run(batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("embedder.engine.provider_of", lambda *_, **__: PLANNED)
        patch.setattr("embedder.sessions.OnnxNetwork", Noting)
        yield load_model(settings)


@pytest.fixture(scope="module")
def photos(
    real_photos: list[Path], solvay_photo: Path, six_faces_photo: Path, newton_photo: Path, astronaut_photo: Path
) -> list[bytes]:
    """Sixteen: a crowd, a group, portraits, and some where one look does not suffice."""
    own = [solvay_photo, six_faces_photo, newton_photo, astronaut_photo]
    return [path.read_bytes() for path in [*own, *real_photos[:: len(real_photos) // 12]]][:PHOTO_COUNT]


@pytest.mark.parametrize("choice", [FaceChoice.ALL, FaceChoice.PRIMARY_ONLY])
def test_photos_of_many_callers_share_batches_and_keep_their_own_faces(
    planned_model: Model, given: list[tuple[int, ...]], photos: list[bytes], choice: FaceChoice
) -> None:
    assert len(photos) == PHOTO_COUNT
    alone = [planned_model.pipeline.run(data, Selection(choice)) for data in photos]
    given.clear()
    watch = Watch()
    together = in_one_scheduler(planned_model, watch, photos, choice)
    for stage in (Stage.DETECT, Stage.EMBED):
        assert max(watch.sizes(stage)) > 1, f"{stage.name} never ran two photos' work together"
        assert max(watch.sizes(stage)) <= PLANNED.max_batch
        assert 1 <= watch.most_at_once[stage] <= 2
    assert {shape[0] for shape in given} <= set(PLANNED_BATCHES)
    # Pictures of three sides at most, and crops: so few plans.
    assert len({shape[1:] for shape in given}) <= 4
    for ours, expected in zip(together, alone, strict=True):
        assert_same_faces(ours, expected)


def in_one_scheduler(model: Model, watch: Watch, photos: list[bytes], choice: FaceChoice) -> list[AnalyzedImage]:
    deaths: list[BaseException] = []
    scheduler = Scheduler(
        watch.watched(stage_runners(model, THREADS)),
        thread_count=THREADS,
        queue_limit=PHOTO_COUNT,
        max_begun=max_begun(model, THREADS),
        on_death=deaths.append,
    )
    try:
        waiting = [
            scheduler.submit(model.pipeline.steps(data, Selection(choice)), Caller(None, f"{number}"), refusable=True)
            for number, data in enumerate(photos)
        ]
        answers = [photo.future.result(120) for photo in waiting]
    finally:
        scheduler.close(30)
    assert not deaths
    return answers


def assert_same_faces(ours: AnalyzedImage, expected: AnalyzedImage) -> None:
    assert (ours.width, ours.height, len(ours.faces)) == (expected.width, expected.height, len(expected.faces))
    for face, wanted in zip(ours.faces, expected.faces, strict=True):
        assert (face.index, face.primary) == (wanted.index, wanted.primary)
        assert abs(face.detection_score - wanted.detection_score) < 1e-5
        assert np.abs(face.landmarks - wanted.landmarks).max() < 1e-5 * max(ours.width, ours.height)
        assert (face.vector is None) == (wanted.vector is None)
        if face.vector is not None and wanted.vector is not None:
            assert np.abs(face.vector - wanted.vector).max() < 1e-5
