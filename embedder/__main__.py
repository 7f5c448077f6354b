"""Runs the embedder: ``python -m embedder``."""

import sys

from embedder.service import EmbedderService
from embedder.settings import EmbedderSettings
from runtime.memory import return_freed_memory
from runtime.server import one_line_exit, run
from runtime.settings import load_settings


def main() -> int:
    """Serves until SIGTERM or SIGINT; returns the process's exit code."""

    def serve() -> int:
        return_freed_memory()
        settings = load_settings(EmbedderSettings)
        return run(
            lambda: EmbedderService(settings), name=EmbedderService.name, bind=settings.embedder_bind, settings=settings
        )

    return one_line_exit(EmbedderService.name, serve)


if __name__ == "__main__":
    sys.exit(main())
