"""What the gateway can be told, from the environment."""

import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from gateway.drive_settings import DriveSettings
from gateway.galleries import EVERY_GALLERY
from runtime.errors import InvalidField
from runtime.images.opencv import HARD_MAX_IMAGE_PIXELS
from runtime.names import DEFAULT_GALLERY, check_gallery_name
from runtime.settings import BindAddress

_HOST = re.compile(r"[a-z0-9_.-]{1,253}")


def _split_list(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _check_origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    for origin in origins:
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or not parts.netloc or origin != f"{parts.scheme}://{parts.netloc}":
            raise ValueError("an origin is SCHEME://HOST[:PORT] without a path, several divided by commas")
    return tuple(origin.lower() for origin in origins)


def _check_hosts(hosts: tuple[str, ...]) -> tuple[str, ...]:
    hosts = tuple(host.lower() for host in hosts)
    if not all(_HOST.fullmatch(host) for host in hosts):
        raise ValueError("a host is a name without a port, several divided by commas")
    return hosts


def _check_galleries(names: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(name if name == EVERY_GALLERY else check_gallery_name(name) for name in names)
    except InvalidField as error:
        raise ValueError(f"{error}, several divided by commas, or * for all galleries") from error


Origins = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_list), AfterValidator(_check_origins)]
Hosts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_list), AfterValidator(_check_hosts)]
Galleries = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_list), AfterValidator(_check_galleries)]


class GatewaySettings(DriveSettings):
    """Settings of the gateway; names in the environment carry the prefix TWIN_."""

    metrics_bind: BindAddress = "127.0.0.1:9150"
    gateway_bind: BindAddress = "127.0.0.1:50050"
    gateway_http_bind: BindAddress = "127.0.0.1:8080"
    embedder_bind: BindAddress = "127.0.0.1:50051"
    vectorstore_bind: BindAddress = "127.0.0.1:50052"
    # Where the peers are dialled; where they listen when unset.
    embedder_target: str = ""
    vectorstore_target: str = ""

    # Pages of these origins may call, besides the gateway's own.
    allowed_origins: Origins = ()
    # Names that browsers reach the gateway by, through a proxy say, besides "localhost" and every number. Without any,
    # a gateway that other machines reach answers to every name.
    allowed_hosts: Hosts = ()
    # What visitors can pick on the page; others are searched by whoever knows their names. "*" for all of them.
    public_galleries: Galleries = (DEFAULT_GALLERY,)
    # The built page; found beside the package when unset.
    web_dir: Path | None = None
    # Where imports keep their jobs; the embedded PostgreSQL under the data folder when unset. Secret, since it can hold
    # a password.
    database_url: SecretStr | None = None
    # The URL leads to a pooler that lends a connection for one transaction at a time, such as pgbouncer.
    database_pooled: bool = False
    # Made and kept in the data folder when unset.
    admin_key: SecretStr | None = None

    max_image_bytes: Annotated[int, Field(ge=2**10, le=2**28)] = 20 * 2**20
    max_image_pixels: Annotated[int, Field(ge=10_000, le=HARD_MAX_IMAGE_PIXELS)] = 50_000_000
    # How long a photo's address is good for, at least.
    photo_url_ttl_s: Annotated[int, Field(ge=10, le=7 * 86_400)] = 3600
    photo_cache_bytes: Annotated[int, Field(ge=2**20)] = 512 * 2**20
    # A caller over grpc-web gets no more time than this, whatever it asks for.
    max_deadline_s: Annotated[float, Field(gt=0, le=86_400)] = 120.0
    # Calls in progress at once; one more is answered RESOURCE_EXHAUSTED.
    max_concurrent_calls: Annotated[int, Field(ge=1, le=10_000)] = 64
    embed_timeout_s: Annotated[float, Field(gt=0)] = 30.0
    enroll_timeout_s: Annotated[float, Field(gt=0)] = 30.0
    store_timeout_s: Annotated[float, Field(gt=0)] = 10.0
    import_timeout_s: Annotated[float, Field(gt=0)] = 86_400.0
    # After how long of silence a gateway's part of an import is taken over by another one.
    import_takeover_s: Annotated[float, Field(ge=1, le=3600)] = 15.0
    removal_retry_s: Annotated[float, Field(gt=0)] = 30.0
    sweep_interval_s: Annotated[float, Field(gt=0)] = 3600.0

    @property
    def embedder_address(self) -> str:
        """What to dial for the embedder."""
        return self.embedder_target or self.embedder_bind

    @property
    def vectorstore_address(self) -> str:
        """What to dial for the vector store."""
        return self.vectorstore_target or self.vectorstore_bind
