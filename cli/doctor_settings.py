"""What ``twin doctor`` says of the services' settings: what their starts would say, as far as settings alone tell."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from runtime.errors import StartupError
from runtime.settings import load_settings


def refused_settings() -> Mapping[str, Sequence[str]]:
    """Returns each line that a start would end with, with the names of the services whose start it is; empty for none.

    A service whose extra is not installed here is passed over.
    """
    refused: dict[str, list[str]] = defaultdict(list)
    for service, load in _LOADS.items():
        try:
            load()
        except ImportError:
            continue
        except StartupError as error:
            refused[str(error)].append(service)
    return refused


def _load_gateway() -> None:
    from gateway.auth import read_admin_key
    from gateway.settings import GatewaySettings

    settings = load_settings(GatewaySettings)
    if settings.admin_key is not None:
        read_admin_key(settings.admin_key.get_secret_value(), settings.data_path("admin.key"))


def _load_embedder() -> None:
    from embedder.settings import EmbedderSettings

    load_settings(EmbedderSettings)


def _load_vectorstore() -> None:
    from vectorstore.index.choose import check_kind
    from vectorstore.settings import VectorStoreSettings

    check_kind(load_settings(VectorStoreSettings).index)


_LOADS: Final[Mapping[str, Callable[[], None]]] = {
    "gateway": _load_gateway,
    "embedder": _load_embedder,
    "vectorstore": _load_vectorstore,
}
