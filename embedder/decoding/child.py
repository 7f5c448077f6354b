"""One decoder process: ``python -m embedder.decoding.child SOCKET MEMORY IMAGE_BYTES``, started by the pool alone.

It holds nothing but the image that it works on, may not use more memory or time than it was given, and ends when the
service does.
"""

import contextlib
import mmap
import resource
import signal
import socket
import sys
from typing import Final

from embedder.decoding.job import DecodeJob, perform
from embedder.decoding.wire import MAX_RESULT_BYTES, Answer, answer_line, read_job
from runtime.errors import UnreadableImage
from runtime.memory import return_freed_memory

MAX_MORE_MEMORY_BYTES: Final = 700 * 2**20
"""Address space beyond what an idle process has: the largest image that the limits let in needs under half of it."""

ALARM_S: Final = 30
"""When the service itself was killed while this process hung, it ends by itself after this."""


def main() -> int:
    """Answers one job after another; returns when the service closes the socket."""
    return_freed_memory()
    socket_number, memory_number, image_bytes = (int(argument) for argument in sys.argv[1:4])
    for ignored in (signal.SIGINT, signal.SIGTERM):
        # Ctrl-C goes to every process of a terminal; what runs is finished, and the socket's end is the signal.
        signal.signal(ignored, signal.SIG_IGN)
    connection = socket.socket(fileno=socket_number)
    with mmap.mmap(memory_number, image_bytes + MAX_RESULT_BYTES) as memory, connection.makefile("rb") as lines:
        _limit_resources()
        connection.sendall(answer_line(Answer()))
        for line in lines:
            signal.alarm(ALARM_S)
            view = memoryview(memory)
            answer = _answer(read_job(line, view), view[image_bytes:])
            view.release()
            signal.alarm(0)
            connection.sendall(answer_line(answer))
    return 0


def _answer(job: DecodeJob, result: memoryview) -> Answer:
    with result:
        try:
            pixels = perform(job)
        except (UnreadableImage, MemoryError) as error:
            return Answer(problem=type(error).__name__)
        result[: pixels.nbytes] = pixels.reshape(-1).data
        return Answer(pixels.shape)


def _limit_resources() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, ValueError):  # Only Linux tells how much address space is used already.
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - one line of a pseudo file
            used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MAX_MORE_MEMORY_BYTES,) * 2)


if __name__ == "__main__":
    sys.exit(main())
