"""The jobs of imports: kept in PostgreSQL by pgqueuer, and shared by every gateway that works on the import.

A job whose worker's heartbeats stopped is taken over by another worker, so that work is done at least once; what a job
does may be done twice without harm.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, Final

from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.adapters.persistence.qb import (
    DBSettings,
    Durability,
    QueryBuilderEnvironment,
    QueryQueueBuilder,
    QuerySchedulerBuilder,
)
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.core.qm import QueueManager
from pgqueuer.domain.errors import RetryRequested
from pgqueuer.domain.models import Job
from pgqueuer.domain.types import Channel

# Taken at a time, and held at a time: twice the first at least, as pgqueuer asks. Their files share one bound on
# memory.
_BATCH_SIZE: Final = 2
MAX_JOBS: Final = 4
# Jobs that nobody tells of, such as those of a worker that died, are looked for this often.
_POLL: Final = timedelta(seconds=1)
# All of them, since what is left out would be read from the environment, under names as general as TRIGGER.
_NAMES: Final[dict[str, Any]] = {
    "prefix": "",
    "db_schema": None,
    "channel": "import_jobs",
    "function": "import_jobs_changed",
    "trigger": "import_jobs_changed",
    "queue_table": "import_jobs",
    "queue_table_log": "import_jobs_log",
    "statistics_table": "import_jobs_statistics",
    "schedules_table": "import_jobs_schedules",
    "queue_status_type": "import_job_status",
    "durability": Durability.durable,
    "widen_id": True,
}

# It logs each retry with its traceback; what matters of that is logged by whoever does the job.
logging.getLogger("pgqueuer").setLevel(logging.CRITICAL)


class JobPutBack(Exception):
    """A job is to be done again, after a delay."""

    def __init__(self, delay_s: float = 0.0) -> None:
        super().__init__()
        self.delay_s = delay_s


class ImportQueue:
    """The jobs in one database, by way of a pool or, within its transaction, of one connection."""

    def __init__(self, database: Any, *, is_pool: bool = False) -> None:
        settings = DBSettings(**_NAMES)
        self._settings = settings
        self._queries = Queries(
            AsyncpgPoolDriver(database) if is_pool else AsyncpgDriver(database),
            QueryBuilderEnvironment(settings),
            QueryQueueBuilder(settings),
            QuerySchedulerBuilder(settings),
        )

    async def install(self) -> None:
        """Makes the queue's tables where they lack."""
        if not await self._queries.schema_is_installed():
            await self._queries.install(create_schema=False)

    async def upgrade(self) -> None:
        """Brings tables of an earlier version of the library up to this one."""
        # Its lock is a session's, which a pooler does not keep: it is not taken without need.
        if (await self._queries.plan_upgrade()).statements:
            await self._queries.upgrade()

    async def put(self, import_id: int, jobs: Sequence[dict[str, Any]]) -> None:
        """Queues jobs; one that is queued or being done is not queued again."""
        payloads = [json.dumps(job, sort_keys=True) for job in jobs]
        await self._queries.enqueue(
            [_entrypoint(import_id)] * len(jobs),
            [payload.encode() for payload in payloads],
            [0] * len(jobs),
            dedupe_key=[f"{import_id} {payload}" for payload in payloads],
            on_conflict="skip",
        )

    async def clear(self, import_id: int) -> None:
        """Forgets the jobs of an import, done or not."""
        await self._queries.clear_queue(_entrypoint(import_id))
        await self._queries.clear_queue_log(_entrypoint(import_id))

    async def work(
        self, import_id: int, do: Callable[[dict[str, Any]], Awaitable[None]], stop: asyncio.Event, takeover_s: float
    ) -> None:
        """Does jobs until told to stop; never to be cancelled, since the library deletes jobs that are.

        do: raises JobPutBack for a job that is to be done again; it is cancelled at the stop, and its job put back.
        takeover_s: how long a worker is silent before its jobs are taken over.
        """
        manager = QueueManager(self._queries, Channel(self._settings.channel))

        @manager.entrypoint(_entrypoint(import_id), on_failure="hold", accepts_context=False)
        async def perform(job: Job) -> None:
            delay_s = await _delay_of(do(json.loads(job.payload or b"{}")), stop)
            if delay_s is not None:
                raise RetryRequested(timedelta(seconds=delay_s))

        async def shut_down() -> None:
            await stop.wait()
            manager.shutdown.set()

        stopper = asyncio.create_task(shut_down())
        try:
            await manager.run(
                dequeue_timeout=_POLL,
                batch_size=_BATCH_SIZE,
                max_concurrent_tasks=MAX_JOBS,
                heartbeat_timeout=timedelta(seconds=takeover_s),
                log_aggregation_interval=timedelta(0),
            )
        finally:
            stopper.cancel()


async def _delay_of(work: Awaitable[None], stop: asyncio.Event) -> float | None:
    """Does a job unless told to stop; returns None when it is done, or after how long it is to be done again."""
    task = asyncio.ensure_future(work)
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not task.done():
        task.cancel()
        await asyncio.wait({task})
    if task.cancelled():
        return 0.0
    error = task.exception()
    if error is None:
        return None
    return error.delay_s if isinstance(error, JobPutBack) else 1.0


def _entrypoint(import_id: int) -> str:
    return f"import-{import_id}"
