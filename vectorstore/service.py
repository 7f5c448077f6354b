"""The vector store as a service: what it is made of, started and stopped in order."""

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta

import grpc
from twin.vectorstore.v1 import vectorstore_pb2, vectorstore_pb2_grpc

from runtime.errors import DependencyUnavailable, StartupError
from runtime.logs import get_logger
from runtime.server import ServiceContext
from vectorstore.adding import PhotoAdder
from vectorstore.database import Database
from vectorstore.deleting import PhotoDeleter
from vectorstore.deletion_journal import DeletionJournal
from vectorstore.embedded import EmbeddedPostgres
from vectorstore.follower import Follower
from vectorstore.galleries import Galleries
from vectorstore.index.choose import IndexMaker
from vectorstore.index.cuda_device import watch_devices
from vectorstore.lag import LagWatch
from vectorstore.maintenance import Maintenance
from vectorstore.metrics import LOAD_SECONDS, STARTED_FROM_SNAPSHOT
from vectorstore.postgres_errors import is_unavailable
from vectorstore.prepare import prepare_database
from vectorstore.projection import Projection
from vectorstore.pruning import Pruner
from vectorstore.removals import Removals
from vectorstore.searching import Searcher
from vectorstore.servicer import VectorStoreServicer
from vectorstore.settings import VectorStoreSettings
from vectorstore.snapshot_schedule import SnapshotSchedule
from vectorstore.snapshots import Snapshots

_log = get_logger(__name__)


class VectorStore:
    """PostgreSQL, its projection in memory, and the service in front of both."""

    name = "vectorstore"
    grpc_services: Sequence[str] = (vectorstore_pb2.DESCRIPTOR.services_by_name["VectorStoreService"].full_name,)

    def __init__(self, settings: VectorStoreSettings) -> None:
        self._settings = settings
        make_index = IndexMaker(
            settings.index,
            settings.data_path("vectorstore") / "rows",
            settings.search_threads,
            milvus_uri=settings.milvus_uri.get_secret_value(),
            milvus_token=settings.milvus_token.get_secret_value(),
        )
        self._make_index = make_index
        self._embedded: EmbeddedPostgres | None = None
        self._database = Database()
        projection = self._projection = Projection()
        self._follower = Follower(self._database, projection, make_index)
        self._maintenance = Maintenance(projection)
        self._searcher = Searcher(settings.search_threads, settings.search_queue_size)
        self._adder = PhotoAdder(self._database, self._follower)
        journal_path = settings.deletion_journal or settings.data_path("deletions.journal")
        self._journal = DeletionJournal(
            self._database, journal_path.expanduser(), timedelta(days=settings.deletion_journal_days)
        )
        self._deleter = PhotoDeleter(self._database, self._follower, self._journal)
        self._snapshots = Snapshots(
            settings.data_path("vectorstore"), self._database, self._follower, projection, make_index
        )
        self._snapshot_schedule = SnapshotSchedule(
            self._snapshots,
            self._database,
            self._follower,
            projection,
            interval_s=settings.snapshot_interval_s,
            least_changes=settings.snapshot_least_changes,
        )
        self._is_loaded = False
        self._servicer = VectorStoreServicer(
            database=self._database,
            projection=projection,
            follower=self._follower,
            searcher=self._searcher,
            adder=self._adder,
            deleter=self._deleter,
            removals=Removals(self._database),
            galleries=Galleries(self._database, self._follower, self._journal),
            snapshots=self._snapshots,
        )

    def register(self, server: grpc.aio.Server) -> None:
        """See Service."""
        vectorstore_pb2_grpc.add_VectorStoreServiceServicer_to_server(self._servicer, server)

    async def bind(self, context: ServiceContext) -> dict[str, str]:
        """See Service."""
        return {}

    async def start(self, context: ServiceContext) -> None:
        """See Service. SERVING once the index has caught up with PostgreSQL."""
        if self._settings.database_url is not None:
            url = self._settings.database_url.get_secret_value()
        else:
            self._embedded = EmbeddedPostgres(self._settings.data_path("postgres"))
            url = await self._embedded.start()
            context.tasks.spawn(self._embedded.keep_running(), "embedded PostgreSQL")
        pooled = self._settings.database_pooled
        await prepare_database(url, pooled=pooled)
        await self._database.open(url, pooled=pooled)
        await self._load()
        context.tasks.spawn(self._database.watch(), "database watch")
        context.tasks.spawn(self._follower.follow(), "change log follower")
        lag = LagWatch(self._database, self._follower, context.readiness)
        context.tasks.spawn(lag.watch(), "lag watch")
        context.tasks.spawn(self._maintenance.run(), "index maintenance")
        context.tasks.spawn(watch_devices(), "CUDA devices")
        context.tasks.spawn(self._snapshot_schedule.run(), "snapshot schedule")
        context.tasks.spawn(self._adder.run(), "photo adder")
        context.tasks.spawn(self._deleter.run(), "photo deleter")
        context.tasks.spawn(self._journal.follow(), "deletion journal")
        pruner = Pruner(self._database, timedelta(hours=self._settings.change_log_retention_hours))
        context.tasks.spawn(pruner.run(), "change log pruner")
        context.tasks.spawn(self._deleter.expire(self._settings.expiry_interval_s), "consent expiry")

    async def stop(self) -> None:
        """See Service."""
        if self._is_loaded:
            await self._snapshot_schedule.finish(self._settings.snapshot_stop_patience_s)
        self._searcher.close()
        self._maintenance.close()
        self._make_index.close()
        await self._database.close()
        if self._embedded is not None:
            await self._embedded.stop()

    async def _load(self) -> None:
        start_s = time.monotonic()
        try:
            await self._journal.open()
            from_snapshot = await self._snapshots.load()
            if not from_snapshot:
                await self._follower.load()
        except DependencyUnavailable as error:
            raise StartupError(f"{error} while the index was built") from None
        except Exception as error:
            if not is_unavailable(error):
                raise
            raise StartupError(f"PostgreSQL went away while the index was built ({type(error).__name__})") from None
        self._is_loaded = True
        kept = [view.gallery.gallery_id for view in self._projection.views()]
        await asyncio.to_thread(self._make_index.keep_only, kept)
        seconds = time.monotonic() - start_s
        LOAD_SECONDS.set(seconds)
        STARTED_FROM_SNAPSHOT.set(from_snapshot)
        _log.info(
            "index loaded",
            from_snapshot=from_snapshot,
            revision=self._follower.applied_revision,
            seconds=round(seconds, 2),
        )
