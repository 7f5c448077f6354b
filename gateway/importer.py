"""Importing a folder of the photo store: its photos are enrolled where they lie, and stay their owner's.

The folder is walked into jobs that PostgreSQL keeps, and every gateway that is asked for the same import works on them.
A photo's id follows from the gallery and its content, so that what is done twice is there once.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from google.rpc import status_pb2

from gateway.admission import Admission
from gateway.deadlines import TimeLeft
from gateway.embedder_client import Embedder
from gateway.import_database import DEPENDENCY, ImportDatabase, mapped_errors
from gateway.import_file import FileImporter
from gateway.import_ledger import ImportLedger
from gateway.import_line import EnrolLine
from gateway.import_queue import ImportQueue
from gateway.import_records import RunState
from gateway.import_share import ImportShare
from gateway.import_walk import ImportWalk
from gateway.orders import ImportOrder
from gateway.photo_store import KEPT_PREFIX, PhotoStore
from gateway.records import ExternalAction
from gateway.vectorstore_client import VectorStore
from runtime.errors import DependencyUnavailable, InvalidField
from runtime.logs import get_logger

PROGRESS_INTERVAL_S: Final = 0.2
MAX_IMPORTS: Final = 2
# An import in which nothing happens for this long has its jobs looked after.
_STALLED_S: Final = 30.0
_STOP_PATIENCE_S: Final = 10.0
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """A photo that was not added. name is its path in the store."""

    name: str
    status: status_pb2.Status


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import is; failures are those since the last time. is_listed: seen_count will not grow any more."""

    seen_count: int
    added_count: int
    unchanged_count: int
    failed_count: int
    is_listed: bool
    failures: tuple[Failure, ...]


class Importer:
    """Imports folders, few at a time."""

    def __init__(
        self,
        embedder: Embedder,
        vectors: VectorStore,
        store: PhotoStore,
        database: ImportDatabase,
        *,
        max_image_bytes: int,
        store_timeout_s: float,
        import_timeout_s: float,
        takeover_s: float,
    ) -> None:
        """takeover_s: how long another gateway is silent before its jobs are taken over."""
        self._embedder = embedder
        self._vectors = vectors
        self._store = store
        self._store_timeout_s = store_timeout_s
        self._database = database
        self._walk = ImportWalk(store)
        self._files = FileImporter(vectors, store, max_image_bytes=max_image_bytes, store_timeout_s=store_timeout_s)
        self._import_timeout_s = import_timeout_s
        self._takeover_s = takeover_s
        self._admission = Admission(MAX_IMPORTS)

    async def import_folder(self, order: ImportOrder, time_left: TimeLeft) -> AsyncGenerator[Progress, None]:
        """Imports a folder and yields its progress at least once a second, the last time when it is done.

        An import of the same folder that was cut off goes on; one that runs elsewhere is joined. Each call is told of
        every failure. Raises InvalidField for a folder that leads out of the store, NotFound, Overloaded, and a peer's
        failure that concerns more than one photo.
        """
        if order.store and order.store != self._store.name:
            raise InvalidField("store", f"photos are kept in the store {self._store.name!r} here")
        if f"{order.folder.strip('/')}/".startswith(KEPT_PREFIX):
            raise InvalidField("folder", "holds the originals that were uploaded; they are in their galleries already")
        with self._admission.enter():
            pool = await self._database.open()
            ledger = ImportLedger(pool)
            gallery = await self._vectors.get_gallery(order.gallery, time_left(self._store_timeout_s))
            await self._vectors.record_audit(
                ExternalAction.IMPORT_PHOTOS, time_left(self._store_timeout_s), gallery=order.gallery
            )
            run = await ledger.begin(order, self._store.name, gallery.create_time_s)
            line = EnrolLine(self._embedder)
            share = ImportShare(run, ledger, self._walk, self._files, line, time_left)
            calling = asyncio.create_task(line.run(time_left(self._import_timeout_s)), name="import-line")
            working = asyncio.create_task(
                ImportQueue(pool, is_pool=True).work(run.import_id, share.do, share.stop, self._takeover_s),
                name="import-worker",
            )
            try:
                async with aclosing(self._watch(share, working)) as states:
                    async for progress in states:
                        yield progress
            finally:
                # Told rather than cancelled: the job of a worker that is cancelled would be lost.
                share.stop.set()
                await asyncio.wait({working}, timeout=_STOP_PATIENCE_S)
                calling.cancel()
                await asyncio.gather(calling, return_exceptions=True)

    async def _watch(self, share: ImportShare, working: "asyncio.Task[None]") -> AsyncGenerator[Progress, None]:
        told_failures = 0
        last: RunState | None = None
        last_change_s = time.monotonic()
        while True:
            state = await share.ledger.state(share.run, told_failures)
            if state != last:
                last, last_change_s = state, time.monotonic()
            elif time.monotonic() - last_change_s > self._takeover_s + _STALLED_S:
                _log.warning("an import has come to a halt; its jobs are looked after", import_id=share.run.import_id)
                await share.ledger.mend(share.run)
                last_change_s = time.monotonic()
            if state.failures:
                told_failures = state.failures[-1].number
            yield _progress(state)
            if state.failures:
                continue  # There may be more of them.
            if state.is_over:
                return
            if share.failure is not None:
                raise share.failure
            if working.done():
                with mapped_errors():
                    working.result()
                raise DependencyUnavailable(DEPENDENCY)
            stopped = asyncio.ensure_future(share.stop.wait())
            try:
                await asyncio.wait({working, stopped}, timeout=PROGRESS_INTERVAL_S, return_when=asyncio.FIRST_COMPLETED)
            finally:
                stopped.cancel()


def _progress(state: RunState) -> Progress:
    failures = tuple(Failure(file.path, status_pb2.Status.FromString(file.error)) for file in state.failures)
    return Progress(
        state.seen_count, state.added_count, state.unchanged_count, state.failed_count, state.is_walked, failures
    )
