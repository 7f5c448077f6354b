"""The service's end of one decoder process."""

import contextlib
import mmap
import os
import socket
import subprocess
import sys
import tempfile
import time
from typing import Final

import numpy as np

from embedder.decoding.job import DecodeJob
from embedder.decoding.wire import MAX_LINE_BYTES, MAX_RESULT_BYTES, BrokenDecoder, job_line, read_answer
from embedder.faces import Pixels

_START_TIMEOUT_S: Final = 60.0
_KEPT_RESULT_BYTES: Final = 8 * 2**20


class DecoderProcess:
    """Decodes one image at a time in another process. Not to be used by two threads at once."""

    def __init__(self, max_image_bytes: int) -> None:
        """Starts the process, which is ready once wait_until_ready returns. Raises OSError."""
        self._max_image_bytes = max_image_bytes
        self._pending = b""
        with contextlib.ExitStack() as opened:
            self._file_number = _memory_file(max_image_bytes + MAX_RESULT_BYTES)
            opened.callback(os.close, self._file_number)
            self._memory = opened.enter_context(mmap.mmap(self._file_number, max_image_bytes + MAX_RESULT_BYTES))
            self._socket, theirs = socket.socketpair()
            opened.callback(self._socket.close)
            with theirs:
                self._process = self._start(theirs.fileno())
            # All there: from here on it is close() that lets go.
            opened.pop_all()

    def _start(self, socket_number: int) -> subprocess.Popen[bytes]:
        arguments = [str(socket_number), str(self._file_number), str(self._max_image_bytes)]
        return subprocess.Popen(  # noqa: S603 - this program itself
            [sys.executable, "-m", "embedder.decoding.child", *arguments],
            pass_fds=(socket_number, self._file_number),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Numerical libraries start a thread for each core at import, and reserve memory for each.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """False once the process ended, for whatever reason."""
        return self._process.poll() is None

    def kill(self) -> None:
        """Ends the process, whatever it does; who waits for it learns that at once."""
        self._process.kill()

    def wait_until_ready(self) -> None:
        """Waits for the process's first word; raises BrokenDecoder when it does not come."""
        self._read_line(time.monotonic() + _START_TIMEOUT_S)

    def run(self, job: DecodeJob, timeout_s: float) -> Pixels:
        """Returns what the job asks for, in memory of its own.

        Raises UnreadableImage, and BrokenDecoder when the process died, took longer than timeout_s, or answered what
        it never should: it must be closed then.
        """
        self._memory[: len(job.data)] = job.data
        deadline = time.monotonic() + timeout_s
        try:
            self._socket.settimeout(timeout_s)
            self._socket.sendall(job_line(job))
        except OSError as error:
            raise BrokenDecoder from error
        answer = read_answer(self._read_line(deadline), job)
        count = int(np.prod(answer.shape))
        shared: Pixels = np.frombuffer(self._memory, np.uint8, count, self._max_image_bytes)
        pixels = shared.reshape(answer.shape).copy()
        del shared
        self._shrink(count)
        return pixels

    def close(self) -> None:
        """Ends the process and lets go of its memory. Nothing may wait for it any more."""
        self._process.kill()
        self._socket.close()
        self._process.wait()
        with contextlib.suppress(BufferError):
            self._memory.close()
        os.close(self._file_number)

    def _read_line(self, deadline: float) -> bytes:
        while b"\n" not in self._pending:
            left_s = deadline - time.monotonic()
            try:
                if left_s <= 0 or len(self._pending) > MAX_LINE_BYTES:
                    raise BrokenDecoder
                self._socket.settimeout(left_s)
                received = self._socket.recv(1 << 16)
            except OSError as error:
                raise BrokenDecoder from error
            if not received:
                raise BrokenDecoder
            self._pending += received
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def _shrink(self, used_bytes: int) -> None:
        """Gives the pages of an unusually large result back to the system."""
        if used_bytes > _KEPT_RESULT_BYTES and hasattr(mmap, "MADV_REMOVE"):
            page = mmap.PAGESIZE
            start = -(-(self._max_image_bytes + _KEPT_RESULT_BYTES) // page) * page
            with contextlib.suppress(OSError):
                self._memory.madvise(mmap.MADV_REMOVE, start)


def _memory_file(size_bytes: int) -> int:
    """Makes a file that lies in memory alone where the system has such files, and returns its number."""
    if hasattr(os, "memfd_create"):
        number = os.memfd_create("twin-decoder", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            number = os.dup(file.fileno())
    os.truncate(number, size_bytes)
    return number
