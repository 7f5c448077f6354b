"""One gateway's share of an import: it does jobs, and stops at a failure that every other photo would meet too."""

import asyncio
from typing import Any, Final

from gateway.deadlines import TimeLeft
from gateway.import_file import FileImporter, failed
from gateway.import_ledger import ImportLedger
from gateway.import_line import EnrolLine, ImportStopped
from gateway.import_queue import JobPutBack
from gateway.import_records import ImportRun, OpenFile, Settled
from gateway.import_walk import ImportWalk
from gateway.metrics import IMPORTED
from runtime.errors import TwinError

# Before what passes by itself is tried again, at first; each time it is twice as long.
FIRST_DELAY_S: Final = 0.5
_LONGEST_DELAY_S: Final = 30.0
# How often it is tried before the photo counts as failed: where other photos are imported, and where none is, since the
# store may be away.
MAX_ATTEMPTS: Final = 6
MAX_ATTEMPTS_IN_VAIN: Final = 60


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
        self._has_settled = False

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
        waiting: list[tuple[OpenFile, TwinError]] = []

        async def settle(file: OpenFile) -> None:
            outcome = await self._files.settle(file, self.run, self.ledger, self._line, self._time_left)
            if isinstance(outcome, Settled):
                settled.append(outcome)
                IMPORTED.labels(outcome.outcome).inc()
            else:
                waiting.append((file, outcome))

        tasks = [asyncio.create_task(settle(file)) for file in files]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if settled:
                self._has_settled = True
                await self.ledger.settle(self.run, settled)
        if waiting:
            await self._put_back(waiting)

    async def _put_back(self, waiting: list[tuple[OpenFile, TwinError]]) -> None:
        """Gives up what was tried often enough, and the job for what was not; raises ImportStopped and JobPutBack."""
        limit = MAX_ATTEMPTS if self._has_settled else MAX_ATTEMPTS_IN_VAIN
        given_up = [failed(file.listed.key, error) for file, error in waiting if file.attempt_count + 1 >= limit]
        await self.ledger.settle(self.run, given_up)
        left = [(file, error) for file, error in waiting if file.attempt_count + 1 < limit]
        if not left:
            return
        await self.ledger.note_attempt(self.run, [file.listed.key for file, _ in left])
        if len(left) > 1 and not self._has_settled:
            raise ImportStopped(left[0][1])
        delay_s = FIRST_DELAY_S * 2 ** min(MAX_ATTEMPTS, max(file.attempt_count for file, _ in left))
        raise JobPutBack(min(delay_s, _LONGEST_DELAY_S))

    def _fail(self, error: Exception) -> None:
        self.failure = self.failure or error
        self.stop.set()
        raise JobPutBack
