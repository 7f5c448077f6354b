"""The gateway as a service: builds its parts, opens its HTTP port, waits for its peers."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import grpc.aio
from aiohttp import web
from twin.gateway.v1 import gateway_pb2_grpc

from gateway.admission import Admission
from gateway.auth import Authorizer, read_admin_key
from gateway.checks import Limits
from gateway.compare import Comparer
from gateway.consent_texts import load_consent_texts
from gateway.drive_store import DriveStore
from gateway.embedder_client import Embedder
from gateway.export import Exporter
from gateway.export_http import ExportRoute
from gateway.galleries import GalleryList
from gateway.grpc_web import GrpcWebProxy
from gateway.http_app import HttpParts, make_http_app
from gateway.import_database import ImportDatabase
from gateway.importer import Importer
from gateway.keep import Keeper, KeepLimits
from gateway.local_store import LocalStore
from gateway.page import find_web_dir
from gateway.photo_cache import PhotoCache
from gateway.photo_store import PhotoStore
from gateway.photo_urls import PhotoUrls
from gateway.photos_http import PhotoRoute
from gateway.reconcile import Reconciler
from gateway.remove import Remover
from gateway.renditions import Renditions
from gateway.search import Searcher
from gateway.servicer import Journeys, TwinServicer
from gateway.settings import GatewaySettings
from gateway.start import wait_for_peers
from gateway.store_watch import StoreWatch
from gateway.sweep import Sweeper
from gateway.vectorstore_client import VectorStore
from runtime.channels import open_channel
from runtime.errors import StartupError
from runtime.images.decode import ImageLimits
from runtime.keys import load_or_create_key
from runtime.server import ServiceContext
from runtime.settings import split_address
from runtime.telemetry import start_http

# A photo of 50 megapixels takes several hundred megabytes while it is worked on, whoever asked for it.
_PICTURE_WORKERS: Final = 2


def open_photo_store(settings: GatewaySettings) -> PhotoStore:
    """Returns the store that the settings name; raises StartupError."""
    if settings.photo_store == "drive":
        return DriveStore(settings)
    folder = settings.data_path("photos")
    try:
        return LocalStore(folder)
    except OSError as error:
        raise StartupError(f"cannot keep photos in {folder}: {error.strerror}; set TWIN_DATA_DIR") from error


class GatewayService:
    """A runtime.server.Service."""

    name = "gateway"
    grpc_services: Sequence[str] = ("twin.gateway.v1.TwinService",)

    def __init__(self, settings: GatewaySettings, *, store: PhotoStore | None = None) -> None:
        self._settings = settings
        self._channels: list[grpc.aio.Channel] = []
        self._runner: web.AppRunner | None = None
        self._embedder = Embedder(self._open(settings.embedder_address))
        self._vectors = VectorStore(self._open(settings.vectorstore_address))
        self._consent = load_consent_texts()
        self._store = store if store is not None else open_photo_store(settings)
        admin_key = settings.admin_key.get_secret_value() if settings.admin_key is not None else None
        self._authorizer = Authorizer(read_admin_key(admin_key, settings.data_path("admin.key")))
        self._urls = PhotoUrls(load_or_create_key(settings.data_path("gateway", "url.key")), settings.photo_url_ttl_s)
        self._threads = ThreadPoolExecutor(_PICTURE_WORKERS, thread_name_prefix="pictures")
        self._renditions = Renditions(
            self._store,
            PhotoCache(settings.data_path("gateway", "pictures"), settings.photo_cache_bytes),
            self._threads,
            max_pixels=settings.max_image_pixels,
            max_png_bytes=settings.max_image_bytes,
        )
        self._remover = Remover(
            self._vectors,
            self._store,
            self._renditions,
            store_timeout_s=settings.store_timeout_s,
            retry_s=settings.removal_retry_s,
        )

        database_url = settings.database_url.get_secret_value() if settings.database_url is not None else None
        self._import_database = ImportDatabase(
            database_url, settings.data_path("postgres"), pooled=settings.database_pooled
        )
        self._exporter = Exporter(
            self._vectors, self._store, self._consent.texts, store_timeout_s=settings.store_timeout_s
        )

    def register(self, server: grpc.aio.Server) -> None:
        """Adds TwinService."""
        settings = self._settings
        keeper = Keeper(
            self._embedder,
            self._vectors,
            self._store,
            self._threads,
            KeepLimits(
                image=ImageLimits(settings.max_image_bytes, settings.max_image_pixels),
                max_png_bytes=settings.max_image_bytes,
                store_timeout_s=settings.store_timeout_s,
                enroll_timeout_s=settings.enroll_timeout_s,
            ),
        )
        journeys = Journeys(
            embedder=self._embedder,
            vectors=self._vectors,
            galleries=GalleryList(self._vectors, settings.public_galleries),
            searcher=Searcher(
                self._embedder,
                self._vectors,
                keeper,
                embed_timeout_s=settings.embed_timeout_s,
                store_timeout_s=settings.store_timeout_s,
            ),
            comparer=Comparer(self._embedder, embed_timeout_s=settings.embed_timeout_s),
            keeper=keeper,
            remover=self._remover,
            exporter=self._exporter,
            renditions=self._renditions,
            importer=Importer(
                self._embedder,
                self._vectors,
                self._store,
                self._import_database,
                max_image_bytes=settings.max_image_bytes,
                store_timeout_s=settings.store_timeout_s,
                import_timeout_s=settings.import_timeout_s,
                takeover_s=settings.import_takeover_s,
            ),
            reconciler=Reconciler(self._vectors, self._store, self._remover, store_timeout_s=settings.store_timeout_s),
        )
        servicer = TwinServicer(
            journeys,
            authorizer=self._authorizer,
            admission=Admission(settings.max_concurrent_calls),
            limits=Limits(settings.max_image_bytes, self._consent.versions),
            urls=self._urls,
            policy_version=self._consent.current_version,
            embed_timeout_s=settings.embed_timeout_s,
            store_timeout_s=settings.store_timeout_s,
        )
        gateway_pb2_grpc.add_TwinServiceServicer_to_server(servicer, server)

    async def bind(self, context: ServiceContext) -> dict[str, str]:
        """Opens the HTTP port: the page is served while the peers are still loading."""
        settings = self._settings
        app = make_http_app(
            HttpParts(
                grpc_web=GrpcWebProxy(
                    self._open(context.address),
                    max_message_bytes=settings.max_message_bytes,
                    max_deadline_s=settings.max_deadline_s,
                    admission=Admission(settings.max_concurrent_calls),
                ),
                photos=PhotoRoute(
                    self._vectors,
                    self._renditions,
                    self._urls,
                    context.readiness,
                    store_timeout_s=settings.store_timeout_s,
                ),
                exports=ExportRoute(self._exporter, context.readiness, Admission(settings.max_concurrent_calls)),
                consent=self._consent,
                web_dir=find_web_dir(settings.web_dir),
                bind_host=split_address(settings.gateway_http_bind)[0],
                allowed_hosts=settings.allowed_hosts,
                allowed_origins=settings.allowed_origins,
                readiness=context.readiness,
            )
        )
        self._runner, address = await start_http(app, settings.gateway_http_bind, "TWIN_GATEWAY_HTTP_BIND")
        return {"gateway_http": address}

    async def start(self, context: ServiceContext) -> None:
        """Waits for the peers, makes the default gallery, and begins to finish what was left unfinished."""
        settings = self._settings
        await wait_for_peers(self._embedder, self._vectors, context.readiness.mark_not_ready)
        sweeper = Sweeper(self._vectors, self._store, store_timeout_s=settings.store_timeout_s)
        context.tasks.spawn(self._remover.retry_forever(), "removals")
        context.tasks.spawn(sweeper.sweep_forever(settings.sweep_interval_s), "sweep")
        context.tasks.spawn(StoreWatch(self._store, context.readiness).watch_forever(), "store-watch")

    async def stop(self) -> None:
        """Closes the HTTP port and the channels."""
        if self._runner is not None:
            await self._runner.cleanup()
        await self._import_database.close()
        await self._renditions.close()
        await self._store.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        await asyncio.gather(*(channel.close() for channel in self._channels))

    def _open(self, target: str) -> grpc.aio.Channel:
        channel = open_channel(target, max_message_bytes=self._settings.max_message_bytes)
        self._channels.append(channel)
        return channel
