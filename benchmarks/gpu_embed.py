"""Embedding on a GPU: photos per second for each size of batch, beside what its networks alone reach in the same run.

    python benchmarks/gpu_embed.py [--provider cuda|tensorrt|cpu] [--batches 1,2,4,...] [--photos N] [--threads N]

"from decoded pixels": the scheduler and the networks, with photos that lie decoded in memory. "from JPEG bytes": with
the service's own decoders, in processes of their own. "networks alone": the batches that these photos lead to, filled
across photos up to max_batch, in as many threads as the scheduler runs batches in; by a plain run, which copies each
batch to the device and its outputs back, and by IO binding, with inputs and outputs that stay on the device. × is the
share of what the plain run reaches. p50 and p99 are a photo's, and for networks alone a batch's.

The exit code is 1 when the provider is not there, and when a vector's cosine with the processor's on equal landmarks is
under 0.999. With --provider cpu the script shows that it works, and says nothing about a GPU.
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice

import numpy as np
import onnxruntime

from benchmarks.embed_ours import Session, recorded, replayed
from benchmarks.photos import LIMITS, crowd_photo, one_face_photos
from benchmarks.table import Contest
from embedder.align import align
from embedder.engine import Model, load_model, max_begun, stage_runners
from embedder.faces import FaceChoice, Floats, Pixels, Selection
from embedder.networks import Network
from embedder.sessions import CPU, PLANNED_BATCHES, OnnxNetwork, planned_size
from embedder.settings import EmbedderSettings
from embedder.steps import Stage
from runtime.images.decode import decode
from runtime.server import one_line_exit

LEAST_COSINE = 0.999
CHOICES = (("every face", FaceChoice.ALL), ("the primary alone", FaceChoice.PRIMARY_ONLY))
PLAIN, BOUND = "networks alone, plain run", "networks alone, IO binding"
_ROUNDS = 4  # Full batches that the photos of one measurement make, at least.


@dataclass(frozen=True, slots=True)
class Material:
    """What all sizes of batch are measured with. expected: the processor's vectors of the crops, (n, dimension)."""

    photos: list[bytes]
    pixels: dict[bytes, Pixels]
    crops: list[Pixels]
    expected: Floats


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--provider", default="cuda", choices=["cuda", "tensorrt", "cpu"])
    parser.add_argument("--batches", type=_sizes, default=list(PLANNED_BATCHES), metavar="1,2,4,...")
    parser.add_argument("--photos", type=int, default=32, help="different photos, taken as often as batches need them")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as there are cores")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args(arguments)
    return one_line_exit("gpu-embed", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    # The processor's model makes the photos and the vectors to compare with, and is gone before anything is timed.
    material = _material(load_model(EmbedderSettings(embedder_provider="cpu")), options.photos)
    print(f"{device()}; ONNX Runtime {onnxruntime.__version__}; provider {options.provider}")
    if options.provider == "cpu":
        print("nothing here says anything about a GPU: the provider is the processor")
    cosines = []
    for batch in options.batches:
        settings = EmbedderSettings(
            embedder_provider=options.provider, embedder_max_batch=batch, embedder_threads=options.threads
        )
        cosines.append(_try_batch(settings, material, options.repeats))
        print(
            f"  lowest cosine with the processor's vectors, {len(material.crops)} faces: {cosines[-1]:.6f}", flush=True
        )
    # min() would pass over a NaN.
    if all(cosine >= LEAST_COSINE for cosine in cosines):
        return 0
    print(f"FAILED: a cosine is under {LEAST_COSINE}")
    return 1


def _try_batch(settings: EmbedderSettings, material: Material, repeats: int) -> float:
    """Measures one size of batch with a model of its own, whose memory is free again afterwards; returns the cosine."""
    before_mib = gpu_memory_mib()
    model = load_model(settings, isolated=True)
    with closing(model.decoder):
        cosine = lowest_cosine(model, material)
        _measure(settings, model, material, repeats, before_mib)
    return cosine


def _measure(
    settings: EmbedderSettings, model: Model, material: Material, repeats: int, before_mib: int | None
) -> None:
    batch, threads = model.provider.max_batch, settings.thread_count
    copies = -(-_ROUNDS * batch // len(material.photos)) if model.provider.square else 1
    photos = material.photos * copies
    in_flight = max_begun(model, threads)
    at_once = stage_runners(model, threads)[Stage.EMBED].max_running
    with (
        Session(
            settings,
            model=model,
            decode=lambda jobs: [material.pixels[job.data] for job in jobs],
            in_flight=in_flight,
        ) as from_pixels,
        Session(settings, model=model, in_flight=in_flight) as from_jpeg,
    ):
        for _, choice in CHOICES:
            from_jpeg.run(photos, choice)
        used_mib = gpu_memory_mib()
        for label, choice in CHOICES:
            title = f"max_batch {batch}, {len(photos)} photos of one face, {label}; {threads} threads"
            contest = Contest(title, photos, base=PLAIN)
            contest.add("from decoded pixels", partial(from_pixels.run, choice=choice))
            contest.add("from JPEG bytes", partial(from_jpeg.run, choice=choice))
            batches = full_batches(model, material.photos, choice, threads=threads, copies=copies)
            contest.add(PLAIN, replayed([partial(network.run, rows) for network, rows in batches], at_once))
            contest.add(BOUND, replayed(_bound(model, batches), at_once))
            contest.run(repeats)
            contest.report()
    if before_mib is None or used_mib is None:
        print("  GPU memory: unknown, no nvidia-smi here")
    else:
        print(f"  GPU memory: {used_mib} MiB, {used_mib - before_mib} MiB of it since before the model was loaded")


def full_batches(
    model: Model, photos: list[bytes], choice: FaceChoice, *, threads: int, copies: int
) -> list[tuple[Network, Floats]]:
    """Returns what the networks are given for copies of the photos when every batch is as full as can be."""
    runners = stage_runners(model, threads)
    specs = ((Stage.DETECT, model.pack.detector_spec), (Stage.EMBED, model.pack.recognizer_spec))
    batches: list[tuple[Network, Floats]] = []
    for (network, calls), (stage, spec) in zip(recorded(model, photos, choice), specs, strict=True):
        limit = 1 if spec.fixed_batch else runners[stage].max_batch
        by_shape: dict[tuple[int, ...], list[Floats]] = {}
        for call in calls:
            for row in call:
                by_shape.setdefault(row.shape, []).append(row)
        for rows in by_shape.values():
            full, rest = divmod(len(rows) * copies, limit)
            # What the pixels show makes no difference to a network's time: one batch stands for all of its shape.
            batch = np.stack(list(islice(cycle(rows), limit if full else rest)))
            batches += [(network, batch)] * full
            if rest:
                batches.append((network, batch[:rest]))
    return batches


def _bound(model: Model, batches: list[tuple[Network, Floats]]) -> list[Callable[[], object]]:
    """Puts each batch on the device once; returns calls that run the networks there and leave the outputs there."""
    device_type = "cpu" if model.provider.name == CPU.name else "cuda"
    calls: dict[int, Callable[[], object]] = {}
    for network, batch in batches:
        if id(batch) not in calls:
            inner = getattr(network, "_run", network.run).__self__
            assert isinstance(inner, OnnxNetwork)
            size = planned_size(len(batch)) if model.provider.planned and not inner.batch_limit else len(batch)
            # As the planned sizes fill it; the copy is contiguous.
            filled = np.concatenate([batch, np.zeros((size - len(batch), *batch.shape[1:]), np.float32)])
            value = onnxruntime.OrtValue.ortvalue_from_numpy(filled, device_type)
            calls[id(batch)] = partial(_run_bound, inner, value, device_type)
    return [calls[id(batch)] for _, batch in batches]


def _run_bound(network: OnnxNetwork, value: onnxruntime.OrtValue, device_type: str) -> None:
    session = network._session
    # Of its own: two threads run at once, and each needs outputs.
    binding = session.io_binding()
    binding.bind_ortvalue_input(network._input_name, value)
    for output in session.get_outputs():
        binding.bind_output(output.name, device_type)
    session.run_with_iobinding(binding)
    binding.synchronize_outputs()


def lowest_cosine(model: Model, material: Material) -> float:
    """Embeds the crops in batches of the provider's size; returns the lowest cosine with the processor's vectors."""
    size = model.provider.max_batch
    vectors = np.concatenate(
        [
            model.pipeline.recognizer.embed(material.crops[start : start + size])
            for start in range(0, len(material.crops), size)
        ]
    )
    return float((vectors * material.expected).sum(axis=1).min())


def _material(model: Model, count: int) -> Material:
    """Makes the photos, and the crops of their faces and of a crowd's, all at the processor's landmarks."""
    photos = one_face_photos(model, count)
    crops = []
    for data in [*photos, crowd_photo(model)]:
        image = decode(data, LIMITS)
        faces = model.pipeline.run(data, Selection(FaceChoice.DETECT_ONLY)).faces
        crops += [align(image, face.landmarks) for face in faces]
    expected = np.concatenate([model.pipeline.recognizer.embed([crop]) for crop in crops])
    return Material(photos, {data: decode(data, LIMITS) for data in photos}, crops, expected)


def device() -> str:
    """Names the GPU, its memory and its driver; or the processor, where there is no nvidia-smi."""
    return _ask_gpu("name,memory.total,driver_version") or f"no GPU seen by nvidia-smi; {platform.machine()}"


def gpu_memory_mib() -> int | None:
    """Returns what all processes use of the first visible GPU, or None where there is no nvidia-smi."""
    answer = _ask_gpu("memory.used")
    return int(answer.split()[0]) if answer else None


def _ask_gpu(query: str) -> str | None:
    if shutil.which("nvidia-smi") is None:
        return None
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0] or "0"
    command = ["nvidia-smi", f"--id={first}", f"--query-gpu={query}", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return done.stdout.strip() or None if done.returncode == 0 else None


def _sizes(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
