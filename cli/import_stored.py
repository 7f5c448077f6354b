"""``twin import drive:FOLDER`` and ``store:FOLDER``: photos that lie in the gateway's own photo store.

The gateway does the work and PostgreSQL keeps its state; this end shows it. Several at once, of one gateway or of many,
share the import.
"""

import asyncio
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
import grpc.aio
from rich.console import Console
from rich.progress import Progress, TaskID
from twin.gateway.v1 import gateway_pb2

from cli.errors import PASSING
from cli.import_gallery import Gateway, import_into
from cli.import_progress import import_progress
from cli.import_report import ImportReport, Outcome
from cli.settings import ClientSettings
from runtime.status import retry_delay_s, status_from_rpc_error

# What a source begins with, and the store that it means: any one for "store:".
STORES: Final = {"drive:": "drive", "store:": ""}
# How long an import is taken up again while nothing of it moves.
_PATIENCE_S: Final = 300.0
_DELAY_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class StoredOptions:
    """What to import, and where to. source: "drive:FOLDER_ID" or "store:PATH"."""

    source: str
    gallery: str
    collection: str
    all_faces: bool
    report: Path


def is_stored(source: str) -> bool:
    """Tells whether a source is a folder of the gateway's photo store."""
    return source.startswith(tuple(STORES))


def import_stored(options: StoredOptions, settings: ClientSettings, console: Console) -> int:
    """Imports the folder, showing its progress; returns 0 when every photo is in the gallery, 1 when some were skipped.

    Raises CommandError when the import cannot begin, or does not move any more.
    """
    report = ImportReport(options.report, tells_faces=False)
    progress = import_progress(console)
    importing = _Import(options, settings, report, progress)
    try:
        asyncio.run(importing.run())
    finally:
        report.close()
        if importing.has_begun:
            progress.stop()
            report.tell(console)
    return 1 if report.counts[Outcome.SKIPPED] else 0


class _Import:
    """One import, over as many calls as it takes."""

    def __init__(
        self,
        options: StoredOptions,
        settings: ClientSettings,
        report: ImportReport,
        progress: Progress,
    ) -> None:
        self._options = options
        self._settings = settings
        self._report = report
        self._progress = progress
        self._task: TaskID | None = None
        self._done_count = -1
        # One that never began, for want of a service or of its database, is not waited for.
        self._moved_s = -math.inf

    @property
    def has_begun(self) -> bool:
        """True once the gateway told how far it is."""
        return self._task is not None

    async def run(self) -> None:
        async with import_into(self._options.gallery, self._settings) as stub:
            await self._import(stub)

    async def _import(self, stub: Gateway) -> None:
        while True:
            try:
                return await self._call(stub)
            except grpc.aio.AioRpcError as error:
                wait_s = max(_DELAY_S, retry_delay_s(status_from_rpc_error(error)) or 0)
                gives_up = time.monotonic() + wait_s - self._moved_s > _PATIENCE_S
                if error.code() not in PASSING or gives_up:
                    raise
                if self._task is not None:
                    self._progress.update(self._task, description="Waiting")
            await asyncio.sleep(wait_s)

    async def _call(self, stub: Gateway) -> None:
        options = self._options
        kind, _, folder = options.source.partition(":")
        request = gateway_pb2.ImportPhotosRequest(
            gallery=options.gallery,
            folder=folder,
            collection=options.collection,
            all_faces=options.all_faces,
            store=STORES[f"{kind}:"],
        )
        # Every call tells of all failures.
        self._report.begin_anew()
        async for state in stub.ImportPhotos(request, metadata=self._settings.admin_metadata()):
            self._show(state)

    def _show(self, state: gateway_pb2.ImportPhotosResponse) -> None:
        counts = self._report.counts
        counts[Outcome.ADDED], counts[Outcome.UNCHANGED] = state.added_count, state.unchanged_count
        for failure in state.failures:
            self._report.skipped_by(failure.name, failure.error)
        done_count = state.added_count + state.unchanged_count + state.failed_count
        if done_count != self._done_count:
            self._done_count, self._moved_s = done_count, time.monotonic()
        if self._task is None:
            self._progress.start()
            self._task = self._progress.add_task("")
        self._progress.update(
            self._task,
            description="Importing" if state.listed else "Looking and importing",
            completed=done_count,
            total=state.seen_count,
        )
