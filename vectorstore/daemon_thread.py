"""Work in a thread that the process does not wait for when it ends."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


async def in_daemon_thread(work: Callable[[], Result], name: str) -> Result:
    """Returns what the work returns, or raises what it raises; when this is cancelled, the work goes on by itself.

    asyncio's own threads are joined before a process ends, however long that takes.
    """
    answer: concurrent.futures.Future[Result] = concurrent.futures.Future()
    answer.set_running_or_notify_cancel()

    def run() -> None:
        try:
            answer.set_result(work())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await asyncio.wrap_future(answer)
