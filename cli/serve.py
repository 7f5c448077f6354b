"""``twin serve``: one service in this process, or all of them under a supervisor."""

import asyncio
import importlib
import json

from cli.settings import ClientSettings
from cli.supervisor import Supervisor


def serve(service: str, settings: ClientSettings) -> int:
    """Runs until SIGTERM or SIGINT; returns the exit code.

    ``all`` prints the actual addresses as one JSON line once every service is SERVING.
    """
    if service == "all":

        async def tell(addresses: dict[str, str]) -> None:
            print(json.dumps(addresses), flush=True)

        return asyncio.run(Supervisor(settings).run(tell))
    # Each service has its own heavy dependencies, and a machine may have those of one alone.
    code: int = importlib.import_module(f"{service}.__main__").main()
    return code
