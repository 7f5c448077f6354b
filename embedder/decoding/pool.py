"""Decoders for the pipeline: in this process, or in processes that can be spared."""

import threading
from contextlib import nullcontext, suppress
from typing import Final, Protocol

from embedder import metrics
from embedder.decoding.job import DecodeJob, is_large, perform
from embedder.decoding.process import DecoderProcess
from embedder.decoding.wire import BrokenDecoder
from embedder.faces import Pixels
from runtime.errors import NotReady, StartupError, UnreadableImage

DEFAULT_TIMEOUT_S: Final = 10.0


class Decoder(Protocol):
    """Does decode jobs; several threads may ask at once."""

    def run(self, job: DecodeJob) -> Pixels:
        """Returns what the job asks for; raises UnreadableImage."""

    def close(self) -> None:
        """Lets go of everything."""


class DirectDecoder:
    """Decodes in the calling thread, for tools that read photos of their own: a crash is the whole process's."""

    def run(self, job: DecodeJob) -> Pixels:
        """Returns what the job asks for; raises UnreadableImage."""
        return perform(job)

    def close(self) -> None:
        """Has nothing to let go of."""


class DecoderPool:
    """Decodes in a fixed number of processes. One that crashes or hangs is replaced, and costs its own image alone."""

    def __init__(self, process_count: int, *, max_image_bytes: int, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        """Starts the processes and waits until all are ready; raises StartupError when one is not."""
        self._max_image_bytes = max_image_bytes
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._one_large = threading.Lock()
        self._closed = False
        self._all: set[DecoderProcess] = set()
        # An empty place means that its process broke; who takes the place starts another.
        self._free: list[DecoderProcess | None] = []
        self._freed = threading.Condition()
        try:
            processes = [self._start() for _ in range(process_count)]
            for process in processes:
                process.wait_until_ready()
                self._put(process)
        except (OSError, BrokenDecoder) as error:
            self.close()
            raise StartupError("a process for decoding photos could not be started; is memory short?") from error

    @property
    def pids(self) -> list[int]:
        """The ids of the processes that live."""
        with self._lock:
            return [process.pid for process in self._all]

    def run(self, job: DecodeJob) -> Pixels:
        """Returns what the job asks for, once a process is free.

        Raises UnreadableImage, also for an image that the decoder died of or did not finish in time.
        """
        # The board lets one large job through as well, where others pass it; this is for those who come without one.
        with self._one_large if is_large(job) else nullcontext():
            return self._run(job)

    def close(self) -> None:
        """Ends the processes, also while they work: then whoever waits for one lets go of it."""
        with self._lock:
            self._closed = True
            processes = list(self._all)
        for process in processes:
            process.kill()
        with self._freed:
            idle, self._free = self._free, [None] * len(self._free)
        for place in idle:
            self._drop(place)

    def _run(self, job: DecodeJob) -> Pixels:
        place = self._take()
        try:
            place = self._living(place)
            return self._run_in(place, job)
        finally:
            self._put(place if place is not None and place.is_alive else None)

    def _take(self) -> DecoderProcess | None:
        """Waits for a place: the process that worked last, whose memory is warm, before an empty place."""
        with self._freed:
            self._freed.wait_for(lambda: self._free)
            filled = [number for number, place in enumerate(self._free) if place is not None]
            return self._free.pop(filled[-1] if filled else 0)

    def _put(self, place: DecoderProcess | None) -> None:
        with self._freed:
            self._free.append(place)
            self._freed.notify()

    def _living(self, place: DecoderProcess | None) -> DecoderProcess:
        """Returns the place's process, or another where it ended while nobody used it."""
        if place is not None and place.is_alive:
            return place
        self._drop(place)
        fresh: DecoderProcess | None = None
        try:
            fresh = self._start()
            fresh.wait_until_ready()
        except Exception as error:  # Memory or processes are short, in whatever way the system says so.
            self._drop(fresh)
            raise NotReady("photos cannot be decoded just now") from error
        return fresh

    def _run_in(self, process: DecoderProcess, job: DecodeJob) -> Pixels:
        try:
            return process.run(job, self._timeout_s)
        except UnreadableImage:
            raise
        except Exception as error:  # It died, hung, or said something that nobody thought of.
            self._drop(process)
            if self._closed:
                raise NotReady("the service is shutting down") from error
            metrics.DECODERS_LOST.inc()
            kind = job.header.kind
            raise UnreadableImage(f"the {kind.upper()} breaks its decoder", detected_type=kind) from error

    def _start(self) -> DecoderProcess:
        process = DecoderProcess(self._max_image_bytes)
        with self._lock:
            if not self._closed:
                self._all.add(process)
                return process
        process.close()
        raise BrokenDecoder

    def _drop(self, process: DecoderProcess | None) -> None:
        if process is None:
            return
        with self._lock:
            known = process in self._all
            self._all.discard(process)
        if known:
            with suppress(OSError):
                process.close()
