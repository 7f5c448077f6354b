"""Runs the gateway: ``python -m gateway``."""

import sys

from gateway.service import GatewayService
from gateway.settings import GatewaySettings
from runtime.server import one_line_exit, run
from runtime.settings import load_settings


def main() -> int:
    """Runs until SIGTERM or SIGINT; returns the exit code."""

    def serve() -> int:
        settings = load_settings(GatewaySettings)
        return run(
            lambda: GatewayService(settings), name=GatewayService.name, bind=settings.gateway_bind, settings=settings
        )

    return one_line_exit(GatewayService.name, serve)


if __name__ == "__main__":
    sys.exit(main())
