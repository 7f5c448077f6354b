"""Keeps every gallery's index in shape, in the background: codes, recall, compaction, one piece of work at a time."""

import asyncio
import concurrent.futures
import os
import time
from typing import Final

import faiss

from runtime.logs import get_logger
from vectorstore.gallery_view import GalleryView
from vectorstore.metrics import UPKEEP_FAILURES, UPKEEP_SECONDS
from vectorstore.projection import Projection

_LOOK_INTERVAL_S: Final = 0.25
# After a failure: what went wrong, such as a full disk, does not go away at once.
_RETRY_S: Final = 30.0

_log = get_logger(__name__)


def _some_cores() -> None:
    # One core is left to searches, where there is more than one.
    faiss.omp_set_num_threads(max(1, (os.cpu_count() or 1) - 1))


class Maintenance:
    """Looks at the galleries in turn. A failure leaves a gallery as it was: right, if slower, and it is tried again."""

    def __init__(self, projection: Projection) -> None:
        self._projection = projection
        self._thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="upkeep", initializer=_some_cores)
        self._not_before_s: dict[int, float] = {}

    async def run(self) -> None:
        """Works for ever."""
        while True:
            if not await self.work_once():
                await asyncio.sleep(_LOOK_INTERVAL_S)

    async def work_once(self) -> bool:
        """Does at most one piece of work for each gallery; returns whether there was any."""
        worked = False
        for view in self._projection.views():
            if time.monotonic() >= self._not_before_s.get(view.gallery.gallery_id, 0.0):
                worked |= await self._work_on(view)
        return worked

    async def _work_on(self, view: GalleryView) -> bool:
        start_s = time.monotonic()
        try:
            worked = await asyncio.get_running_loop().run_in_executor(self._thread, view.upkeep)
        except Exception as error:
            UPKEEP_FAILURES.inc()
            self._not_before_s[view.gallery.gallery_id] = time.monotonic() + _RETRY_S
            _log.error("a gallery's index could not be kept up", gallery=view.gallery.name, error=type(error).__name__)
            return False
        if worked:
            seconds = time.monotonic() - start_s
            UPKEEP_SECONDS.observe(seconds)
            # In a thread: it waits for the gallery's lock.
            facts = await asyncio.to_thread(view.facts)
            _log.info(
                "index kept up",
                gallery=view.gallery.name,
                kind=facts.kind,
                faces=facts.face_count,
                tombstones=facts.tombstone_count,
                seconds=round(seconds, 2),
            )
        return worked

    def close(self) -> None:
        """Lets the thread end; what it works on is dropped with the process."""
        self._thread.shutdown(wait=False, cancel_futures=True)
