"""Runs the gateway: ``python -m gateway``."""

import sys

from gateway.service import GatewayService
from gateway.settings import GatewaySettings
from runtime.errors import StartupError
from runtime.server import run
from runtime.settings import load_settings


def main() -> int:
    """Runs until SIGTERM or SIGINT; returns the exit code."""
    try:
        settings = load_settings(GatewaySettings)
    except StartupError as error:
        print(f"twin gateway: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return run(lambda: GatewayService(settings), name="gateway", bind=settings.gateway_bind, settings=settings)


if __name__ == "__main__":
    sys.exit(main())
