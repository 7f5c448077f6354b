"""One gateway's share of an import: it does jobs, and stops at a failure that every other photo would meet too."""

import asyncio
from typing import Any, Final

from gateway.deadlines import TimeLeft
from gateway.import_file import FileImporter
from gateway.import_ledger import ImportLedger
from gateway.import_line import EnrolLine, ImportStopped
from gateway.import_queue import JobPutBack
from gateway.import_records import ImportRun, OpenFile, Settled
from gateway.import_walk import ImportWalk
from gateway.metrics import IMPORTED
from runtime.errors import TwinError

# Before what passes by itself is tried again, at first; each time it is twice as long.
FIRST_DELAY_S: Final = 0.5


class ImportShare:
    """Does the jobs of one run. stop is set when it is told to end, or has met a failure."""

    def __init__(
        self,
        run: ImportRun,
        ledger: ImportLedger,
        walk: ImportWalk,
        files: FileImporter,
        line: EnrolLine,
        time_left: TimeLeft,
    ) -> None:
        self.run = run
        self.ledger = ledger
        self.stop = asyncio.Event()
        self.failure: Exception | None = None
        self._walk = walk
        self._files = files
        self._line = line
        self._time_left = time_left

    async def do(self, job: dict[str, Any]) -> None:
        """Does one job; raises JobPutBack for one that is not done."""
        if job.get("run") != self.run.run:
            return  # Of a run that is over.
        try:
            if "page" in job:
                await self._do_page(job["page"])
            else:
                await self._walk.walk(self.run, self.ledger)
        except JobPutBack:
            raise
        except ImportStopped as stopped:
            self._fail(stopped.error)
        except Exception as error:
            # Whoever called for the import is told, and a bug is logged on the way.
            self._fail(error)

    async def _do_page(self, page: str) -> None:
        files = await self.ledger.open_files(self.run, page)
        settled: list[Settled] = []
        to_try_again: list[OpenFile] = []
        reasons: list[TwinError] = []

        async def settle(file: OpenFile) -> None:
            outcome = await self._files.settle(file, self.run, self.ledger, self._line, self._time_left)
            if isinstance(outcome, Settled):
                settled.append(outcome)
                IMPORTED.labels(outcome.outcome).inc()
            else:
                to_try_again.append(file)
                reasons.append(outcome)

        tasks = [asyncio.create_task(settle(file)) for file in files]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if settled:
                await self.ledger.settle(self.run, settled)
        if len(to_try_again) > 1 and not settled:
            raise ImportStopped(reasons[0])  # All of them: the store is away, rather than a photo of it.
        if to_try_again:
            await self.ledger.note_attempt(self.run, [file.listed.key for file in to_try_again])
            raise JobPutBack(FIRST_DELAY_S * 2 ** max(file.attempt_count for file in to_try_again))

    def _fail(self, error: Exception) -> None:
        self.failure = self.failure or error
        self.stop.set()
        raise JobPutBack
