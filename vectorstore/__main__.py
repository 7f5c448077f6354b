"""``python -m vectorstore``: one vector store until it is told to stop."""

import sys

from runtime.server import one_line_exit, run
from runtime.settings import load_settings
from vectorstore.index.choose import check_kind
from vectorstore.service import VectorStore
from vectorstore.settings import VectorStoreSettings


def main() -> int:
    """Returns the process's exit code."""

    def serve() -> int:
        settings = load_settings(VectorStoreSettings)
        check_kind(settings.index)
        return run(
            lambda: VectorStore(settings), name=VectorStore.name, bind=settings.vectorstore_bind, settings=settings
        )

    return one_line_exit(VectorStore.name, serve)


if __name__ == "__main__":
    sys.exit(main())
