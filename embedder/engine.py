"""A loaded model, ready to work: networks, pipeline and admission together."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from embedder.admission import Admission
from embedder.align import CROP_SIZE
from embedder.detect import LONG_SIDE, Detector
from embedder.embed import Recognizer
from embedder.faces import FaceChoice, Selection
from embedder.models.load import LoadedPack, load_pack
from embedder.pipeline import Pipeline
from embedder.sessions import CPU, CUDA, OnnxNetwork
from embedder.settings import EmbedderSettings
from runtime.errors import StartupError, TwinError
from runtime.images.decode import ImageLimits

_PROVIDERS: Final = {"cpu": CPU, "cuda": CUDA}


@dataclass(frozen=True, slots=True)
class Model:
    """A model that has proved itself: it embedded a face before anybody could call it."""

    pack: LoadedPack
    pipeline: Pipeline
    execution_provider: str


@dataclass(frozen=True, slots=True)
class Engine:
    """What the servicers work with."""

    model: Model
    admission: Admission


def load_model(settings: EmbedderSettings) -> Model:
    """Loads, checks and warms the pack that the settings name; takes about a second.

    Raises StartupError with one line that says what to do.
    """
    pack = load_pack(settings.models_dir.expanduser(), settings.model_pack)
    provider = _PROVIDERS[settings.embedder_provider]
    folder = settings.models_dir.expanduser() / pack.manifest.name
    detector_network = OnnxNetwork(pack.detector_graph, provider, what=str(folder / pack.manifest.detector.file))
    recognizer_network = OnnxNetwork(pack.recognizer_graph, provider, what=str(folder / pack.manifest.recognizer.file))
    detector = Detector(detector_network, pack.detector_spec, score_threshold=settings.detection_threshold)
    recognizer = Recognizer(recognizer_network, pack.recognizer_spec)
    limits = ImageLimits(settings.max_image_bytes, settings.max_image_pixels)
    pipeline = Pipeline(detector, recognizer, limits, max_faces=settings.max_faces)
    try:
        _warm(detector, recognizer)
        _prove_on_photos(pipeline, pack.photos)
    except (ArithmeticError, TwinError) as error:
        raise StartupError(
            f"the model pack {pack.manifest.name} does not work ({error}); run: twin models verify {pack.manifest.name}"
        ) from error
    return Model(pack, pipeline, detector_network.provider)


def _warm(detector: Detector, recognizer: Recognizer) -> None:
    """Runs each network on input of the real shapes, so that the first caller does not wait for its memory plan."""
    noise = np.random.default_rng(0).integers(0, 256, (LONG_SIDE * 3 // 4, LONG_SIDE, 3), np.uint8)
    detector.detect(noise)
    recognizer.embed([noise[:CROP_SIZE, :CROP_SIZE]])


def _prove_on_photos(pipeline: Pipeline, photos: tuple[Path, ...]) -> None:
    """Embeds the face of the smallest photo that came with the pack; packs without photos have only been warmed."""
    for photo in sorted(photos, key=lambda path: path.stat().st_size)[:1]:
        pipeline.run(photo.read_bytes(), Selection(FaceChoice.PRIMARY), lambda: None)
