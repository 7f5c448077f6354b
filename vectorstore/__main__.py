"""``python -m vectorstore``: one vector store until it is told to stop."""

import sys

from runtime.errors import StartupError
from runtime.server import run
from runtime.settings import load_settings
from vectorstore.index.choose import choose_index
from vectorstore.service import VectorStore
from vectorstore.settings import VectorStoreSettings


def main() -> int:
    """Returns the process's exit code."""
    try:
        settings = load_settings(VectorStoreSettings)
        choose_index(settings.index)
    except StartupError as error:
        print(f"twin vectorstore: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return run(lambda: VectorStore(settings), name="vectorstore", bind=settings.vectorstore_bind, settings=settings)


if __name__ == "__main__":
    sys.exit(main())
