"""The ``twin`` command's beginning: what Ctrl-C does while the rest is still being read.

Nothing else is imported up here. Reading the rest takes up to a second, and an interruption in that time would
otherwise be told by a traceback from wherever it came.
"""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType
from typing import Final

INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it.
_STOPPED: Final = "twin: stopped\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code: 0 done, 1 it could not be done (one line says why), 2 bad usage.

    130 after Ctrl-C, with one line.
    """
    try:
        # Only there may handlers be set; and where the signal is ignored, as in a shell's background, it stays so.
        guarded = (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        )
        if guarded:
            signal.signal(signal.SIGINT, _end)
        from cli.commands import run

        if guarded:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return run(arguments)
    except KeyboardInterrupt:
        sys.stderr.write(_STOPPED)
        return INTERRUPTED


def _end(_number: int, _frame: FrameType | None) -> None:
    """Ends at once: an exception could be swallowed, or told, by whatever module is being read. Nothing is open yet."""
    os.write(2, _STOPPED.encode())
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
