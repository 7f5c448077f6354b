"""What the HTTP port serves: the page, grpc-web, photos, the consent texts and the probes."""

from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from gateway.consent_http import add_consent_routes
from gateway.consent_texts import ConsentTexts
from gateway.export_http import ExportRoute
from gateway.grpc_web import GrpcWebProxy
from gateway.hosts import add_host_rule, host_rule
from gateway.http_errors import add_error_rule
from gateway.origins import add_origin_rules
from gateway.page import add_page_routes, add_security_headers
from gateway.photos_http import PhotoRoute
from runtime.readiness import Readiness
from runtime.telemetry import add_probe_routes


@dataclass(frozen=True, slots=True)
class HttpParts:
    """What the application is made of."""

    grpc_web: GrpcWebProxy
    photos: PhotoRoute
    exports: ExportRoute
    consent: ConsentTexts
    web_dir: Path | None
    bind_host: str
    allowed_hosts: tuple[str, ...]
    allowed_origins: tuple[str, ...]
    readiness: Readiness


def make_http_app(parts: HttpParts) -> web.Application:
    """Returns the application; the order of the routes matters, since the page's files come last."""
    app = web.Application()
    add_security_headers(app)
    add_error_rule(app)
    add_host_rule(app, host_rule(parts.bind_host, parts.allowed_hosts))
    add_origin_rules(app, parts.allowed_origins)
    add_probe_routes(app, parts.readiness)
    add_consent_routes(app, parts.consent)
    app.router.add_get("/photos/{photo_id}", parts.photos.handle)
    app.router.add_post("/photos/{photo_id}/export", parts.exports.handle)
    app.router.add_post("/{service:[A-Za-z0-9_.]+}/{method:[A-Za-z0-9_]+}", parts.grpc_web.handle)
    add_page_routes(app, parts.web_dir)
    return app
