"""Settings: typed, from the environment, parsed once in each service's ``__main__`` and handed on."""

import re
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from runtime.errors import StartupError

ENV_PREFIX = "TWIN_"
_ADDRESS = re.compile(r"(?P<host>[^:\s]+|\[[0-9a-fA-F:]+\]):(?P<port>[0-9]{1,5})")


def _check_address(text: str) -> str:
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match["port"]) > 65_535:
        raise ValueError("an address is HOST:PORT, such as 127.0.0.1:8080; port 0 takes any free one")
    return text


BindAddress = Annotated[str, AfterValidator(_check_address)]


def split_address(address: str) -> tuple[str, int]:
    """Returns host (without brackets) and port of a checked address."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


class ServiceSettings(BaseSettings):
    """What every service can be told."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="ignore", env_ignore_empty=True)

    data_dir: Path = Path("~/.local/share/find-your-twin")
    metrics_bind: BindAddress = "127.0.0.1:0"
    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"
    # Two images of 20 MiB in one Compare, and room for their fields.
    max_message_bytes: Annotated[int, Field(ge=2**20, le=2**30)] = 48 * 2**20
    # Between NOT_SERVING and the refusal of new calls, so that balancers see it first.
    drain_pause_s: Annotated[float, Field(ge=0, le=60)] = 0.0
    # How long calls in progress may still take.
    drain_grace_s: Annotated[float, Field(ge=0, le=300)] = 5.0

    def data_path(self, *parts: str) -> Path:
        """Returns a path under the data folder, "~" expanded."""
        return self.data_dir.expanduser().absolute().joinpath(*parts)


SettingsType = TypeVar("SettingsType", bound=BaseSettings)


def load_settings(kind: type[SettingsType]) -> SettingsType:
    """Returns the settings that the environment gives; raises StartupError with one line that names each bad value."""
    try:
        return kind()
    except SettingsError as error:
        # A setting of several values that is no JSON; the library's own message names it.
        raise StartupError(f'{error}: several values are given as JSON, such as {{"name": 1}}') from error
    except ValidationError as error:
        problems = [
            f"{ENV_PREFIX}{'.'.join(str(part) for part in problem['loc']).upper()}={problem.get('input')!r}: "
            f"{problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors(include_url=False)
        ]
        raise StartupError("; ".join(problems)) from error
