"""``python -m vectorstore``: one vector store until it is told to stop."""

import gc
import sys
from typing import Final

import uvloop

from runtime.memory import return_freed_memory
from runtime.server import one_line_exit, run
from runtime.settings import load_settings
from vectorstore.index.choose import check_kind
from vectorstore.service import VectorStore
from vectorstore.settings import VectorStoreSettings

# Objects that are made before the collector looks for cycles among the youngest, and rounds before it looks further. A
# batch of photos is tens of thousands of objects without a cycle; by its defaults the collector went through them
# again and again, for a seventh of the service's time.
_COLLECTOR_THRESHOLDS: Final = (50_000, 20, 50)
# How long a thread may go on while another wants to. By Python's default it is ten times as long, which the event loop
# waits again and again between the exchanges with PostgreSQL while photos are decoded.
_SWITCH_INTERVAL_S: Final = 0.0005


def main() -> int:
    """Returns the process's exit code."""

    def serve() -> int:
        return_freed_memory()
        settings = load_settings(VectorStoreSettings)
        check_kind(settings.index)
        gc.set_threshold(*_COLLECTOR_THRESHOLDS)
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        return run(
            lambda: VectorStore(settings),
            name=VectorStore.name,
            bind=settings.vectorstore_bind,
            settings=settings,
            # A search of 100,000 faces takes half a millisecond; a call through asyncio's own loop takes half again as
            # long as through this one.
            make_loop=uvloop.new_event_loop,
        )

    return one_line_exit(VectorStore.name, serve)


if __name__ == "__main__":
    sys.exit(main())
