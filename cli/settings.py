"""What the command can be told: the same names as the services, read for the other end."""

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from runtime.keys import load_or_create_key
from runtime.settings import ENV_PREFIX, BindAddress


class ClientSettings(BaseSettings):
    """Where the services are, and who asks."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="ignore", env_ignore_empty=True)

    data_dir: Path = Path("~/.local/share/find-your-twin")
    models_dir: Path = Path("~/.cache/find-your-twin/models")
    model_pack: str = "starter"
    database_url: str | None = None

    gateway_bind: BindAddress = "127.0.0.1:50050"
    gateway_http_bind: BindAddress = "127.0.0.1:8080"
    embedder_bind: BindAddress = "127.0.0.1:50051"
    vectorstore_bind: BindAddress = "127.0.0.1:50052"
    metrics_bind: BindAddress | None = None

    gateway_target: str | None = None
    gateway_http_target: str | None = None
    embedder_target: str | None = None
    vectorstore_target: str | None = None

    admin_key: str | None = None
    max_message_bytes: Annotated[int, Field(ge=2**20, le=2**30)] = 48 * 2**20

    def target(self, service: str) -> str:
        """Returns the address to dial: TWIN_<SERVICE>_TARGET, or else the service's bind address."""
        target: str | None = getattr(self, f"{service}_target")
        bind: str = getattr(self, f"{service}_bind")
        return target or bind

    def data_path(self, *parts: str) -> Path:
        """Returns a path under the data folder, "~" expanded."""
        return self.data_dir.expanduser().absolute().joinpath(*parts)

    def models_path(self) -> Path:
        """Returns the folder that holds the model packs, "~" expanded."""
        return self.models_dir.expanduser().absolute()

    def admin_metadata(self) -> tuple[tuple[str, str], ...]:
        """Returns the metadata that proves the admin role: TWIN_ADMIN_KEY, or else the key in the data folder."""
        key = self.admin_key or load_or_create_key(self.data_path("admin.key")).hex()
        return (("authorization", f"Bearer {key}"),)
