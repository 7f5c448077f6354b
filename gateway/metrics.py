"""What the gateway counts."""

from typing import Final

from prometheus_client import Counter, Gauge

SAVES: Final = Counter("twin_gateway_saves_total", "Photos that were to be kept, by outcome.", ("outcome",))
REMOVALS: Final = Counter("twin_gateway_originals_removed_total", "Originals of deleted photos removed from the store.")
PENDING_REMOVALS: Final = Gauge(
    "twin_gateway_removals_pending", "Deleted photos whose originals are still to be removed."
)
ORPHANS: Final = Counter("twin_gateway_orphans_removed_total", "Originals removed because no photo names them.")
EXPORTS: Final = Counter(
    "twin_gateway_exports_total",
    "Archives of what is held about a photo, by what they have of the original.",
    ("original",),
)
RENDITIONS: Final = Counter(
    "twin_gateway_renditions_total", "Pictures served, by where they came from.", ("from_cache",)
)
CACHE_BYTES: Final = Gauge("twin_gateway_photo_cache_bytes", "Size of the picture cache on disk.")
GRPC_WEB_CALLS: Final = Counter(
    "twin_gateway_grpc_web_calls_total", "Calls that came over grpc-web, by status.", ("code",)
)
IMPORTED: Final = Counter(
    "twin_gateway_imported_photos_total", "Photos that this gateway looked at for imports, by outcome.", ("outcome",)
)
STORE_UP: Final = Gauge("twin_gateway_photo_store_up", "1 while the photo store can be used.")
DRIVE_ATTEMPTS: Final = Counter(
    "twin_gateway_drive_attempts_total", "Attempts of calls to Google Drive, by outcome.", ("outcome",)
)
DRIVE_TOKEN_REFRESHES: Final = Counter(
    "twin_gateway_drive_token_refreshes_total", "Access tokens asked for, by outcome.", ("outcome",)
)
DRIVE_CREDENTIALS_GOOD: Final = Gauge(
    "twin_gateway_drive_credentials_good", "1 once Google took the credentials, 0 while it refuses them."
)
