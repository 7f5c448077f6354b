"""A loaded model, ready to work: networks, decoders, pipeline and admission together."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from embedder.admission import Admission
from embedder.align import CROP_SIZE
from embedder.attributes import AttributeReader, make_reader
from embedder.board import StageRunner
from embedder.decoding.job import DecodeJob, is_large
from embedder.decoding.pool import Decoder, DecoderPool, DirectDecoder
from embedder.detect import Detector, DetectorSpec
from embedder.embed import Recognizer
from embedder.faces import FaceChoice, Selection
from embedder.find import CLOSE_SIDE, LONG_SIDE, SMALL_SIDE
from embedder.models.load import LoadedPack, load_pack
from embedder.pipeline import Pipeline, PipelineLimits
from embedder.sessions import PLANNED_BATCHES, Provider, open_network, planned_size, provider_of
from embedder.settings import EmbedderSettings
from embedder.steps import Stage
from runtime.errors import StartupError, TwinError
from runtime.images.decode import ImageLimits


@dataclass(frozen=True, slots=True)
class Model:
    """A model that has proved itself: it embedded a face before anybody could call it."""

    pack: LoadedPack
    pipeline: Pipeline
    provider: Provider
    decoder: Decoder

    @property
    def execution_provider(self) -> str:
        """What runs the networks."""
        return self.provider.name


@dataclass(frozen=True, slots=True)
class Engine:
    """What the servicers work with."""

    model: Model
    admission: Admission


def load_model(settings: EmbedderSettings, *, isolated: bool = False) -> Model:
    """Loads, checks and warms the pack that the settings name; takes about a second.

    isolated: photos are decoded in processes of their own. Raises StartupError with one line that says what to do.
    """
    pack = load_pack(
        settings.models_dir.expanduser(), settings.model_pack, flip_averaging=settings.embedder_flip_averaging
    )
    provider = _provider(settings)
    decoder: Decoder = (
        DecoderPool(
            settings.decoder_count,
            max_image_bytes=settings.max_image_bytes,
            timeout_s=settings.embedder_decode_timeout_s,
        )
        if isolated
        else DirectDecoder()
    )
    try:
        pipeline = _pipeline(settings, pack, provider, decoder)
        _warm(pipeline, provider)
        _prove_on_photos(pipeline, pack.photos)
    except (ArithmeticError, TwinError) as error:
        decoder.close()
        raise StartupError(
            f"the model pack {pack.manifest.name} does not work ({error}); run: twin models verify {pack.manifest.name}"
        ) from error
    except BaseException:
        decoder.close()
        raise
    return Model(pack, pipeline, provider, decoder)


def stage_runners(model: Model, thread_count: int) -> Mapping[Stage, StageRunner]:
    """Says how the stages of a model run on so many threads.

    A processor has a thread in each of its cores; a device takes one batch while the next is put together.
    """
    at_once = 2 if model.provider.planned else thread_count
    max_batch = model.provider.max_batch
    # A look at a whole photo keeps a core busy by itself; on a device, pictures of one shape are looked at together.
    detect_batch = max_batch if model.provider.square else 1
    limits = {Stage.DECODE: (1, thread_count), Stage.DETECT: (detect_batch, at_once)}
    return {
        stage: StageRunner(
            handler,
            *limits.get(stage, (max_batch, at_once)),
            shape_of=_shape_of,
            is_large=_is_large,
            when_alone=model.pipeline.handlers_when_alone.get(stage),
        )
        for stage, handler in model.pipeline.handlers.items()
    }


def max_begun(model: Model, thread_count: int) -> int:
    """Returns how many photos may be in memory at once: two for each thread, and as many as fill two batches."""
    return max(2 * thread_count, 2 * model.provider.max_batch if model.provider.square else 0)


def _shape_of(item: object) -> object:
    return item.shape if isinstance(item, np.ndarray) else None


def _is_large(item: object) -> bool:
    return isinstance(item, DecodeJob) and is_large(item)


def _pipeline(settings: EmbedderSettings, pack: LoadedPack, provider: Provider, decoder: Decoder) -> Pipeline:
    folder = settings.models_dir.expanduser() / pack.manifest.name
    threads = settings.thread_count
    detector_provider = _provider(settings, half_precision=settings.embedder_detector_half_precision)
    spec = _with_threshold(pack.detector_spec, settings.detection_threshold)

    def open_detector(thread_count: int) -> Detector:
        what = str(folder / pack.manifest.detector.file)
        return Detector(
            open_network(pack.detector_graph, detector_provider, what=what, thread_count=thread_count), spec
        )

    recognizer_network = open_network(pack.recognizer_graph, provider, what=str(folder / pack.manifest.recognizer.file))
    limits = PipelineLimits(
        ImageLimits(settings.max_image_bytes, settings.max_image_pixels, settings.max_decoded_bytes),
        max_faces=settings.max_faces,
        quality=settings.advice_limits,
    )
    return Pipeline(
        decoder,
        open_detector(1),
        Recognizer(recognizer_network, pack.recognizer_spec),
        limits,
        attributes=_open_attributes(pack, provider) if settings.embedder_attributes else None,
        square=provider.square,
        detector_when_alone=open_detector(threads) if threads > 1 and not provider.planned else None,
    )


def _provider(settings: EmbedderSettings, *, half_precision: bool = False) -> Provider:
    return provider_of(
        settings.embedder_provider,
        gpu_memory_mib=settings.embedder_gpu_memory_mib,
        max_batch=settings.embedder_max_batch,
        half_precision=half_precision,
    )


def _open_attributes(pack: LoadedPack, provider: Provider) -> AttributeReader:
    if pack.attributes is None:
        raise StartupError(
            f"the model pack {pack.manifest.name} has no networks for age and gender; unset TWIN_EMBEDDER_ATTRIBUTES"
        )
    return make_reader(pack.attributes, lambda graph, what: open_network(graph, provider, what=what))


def _with_threshold(spec: DetectorSpec, score: float | None) -> DetectorSpec:
    """Puts a setting in the place of the manifest's least score."""
    if score is None:
        return spec
    thresholds = replace(spec.thresholds, score=score, sure=max(score, spec.thresholds.sure))
    return replace(spec, thresholds=thresholds)


def _warm(pipeline: Pipeline, provider: Provider) -> None:
    """Runs each network on input of the real shapes, so that the first caller does not wait for its memory plan.

    A provider that plans does so for every size of batch: on a device that takes a while, once.
    """
    noise = np.random.default_rng(0).integers(0, 256, (LONG_SIDE, LONG_SIDE, 3), np.uint8)
    sizes = [1]
    shapes: tuple[tuple[int, int], ...] = ((LONG_SIDE,) * 2, (LONG_SIDE * 3 // 4, LONG_SIDE), (CLOSE_SIDE,) * 2)
    if provider.planned:
        sizes = [size for size in PLANNED_BATCHES if size <= planned_size(provider.max_batch)]
        shapes = tuple((side, side) for side in (LONG_SIDE, SMALL_SIDE, CLOSE_SIDE))
    fixed = pipeline.detector.fixed_size
    for size in sizes:
        for height, width in shapes if fixed is None else (fixed,):
            for detector in (pipeline.detector, pipeline.detector_when_alone):
                detector.detect([np.resize(noise, (height, width, 3))] * size)
        pipeline.recognizer.embed([noise[:CROP_SIZE, :CROP_SIZE]] * size)


def _prove_on_photos(pipeline: Pipeline, photos: tuple[Path, ...]) -> None:
    """Embeds the face of the smallest photo that came with the pack; packs without photos have only been warmed."""
    for photo in sorted(photos, key=lambda path: path.stat().st_size)[:1]:
        pipeline.run(photo.read_bytes(), Selection(FaceChoice.PRIMARY))
