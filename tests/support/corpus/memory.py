"""How much memory a process and all its descendants have had at the most."""

import contextlib
import threading
import time
from pathlib import Path
from types import TracebackType

import psutil

_INTERVAL_S = 0.005
_SETTLE_INTERVAL_S = 0.02
_SETTLE_TRIES = 50
_SETTLED_BYTES = 2**20
_RESET_PEAK = "5"
"""What clear_refs takes to start VmHWM again from the present: proc(5)."""


class MemoryWatch:
    """Samples the tree of processes; each one's own high-water mark is read, so that no short peak is missed."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._peak = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._sampler = threading.Thread(target=self._sample_on, name="memory-watch", daemon=True)

    def __enter__(self) -> "MemoryWatch":
        self._sampler.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._sampler.join()

    def resident_bytes(self) -> int:
        """Returns what the processes hold now."""
        return sum(_status_bytes(pid, "VmRSS:") for pid in self._pids())

    def settle(self) -> None:
        """Waits, within a limit, until what is held falls no more: an answer leaves before its memory does."""
        held = self.resident_bytes()
        for _ in range(_SETTLE_TRIES):
            time.sleep(_SETTLE_INTERVAL_S)
            before, held = held, self.resident_bytes()
            if held > before - _SETTLED_BYTES:
                return

    def restart(self) -> None:
        """Forgets the peak so far."""
        with self._lock:
            for pid in self._pids():
                # Where the kernel does not let it be reset, the mark of the whole life stands: a stricter measure.
                with contextlib.suppress(OSError):
                    Path(f"/proc/{pid}/clear_refs").write_text(_RESET_PEAK)
            self._peak = 0

    def peak_bytes(self) -> int:
        """Returns the most that the processes have held together since restart."""
        self._sample()
        return self._peak

    def _sample_on(self) -> None:
        while not self._closing.wait(_INTERVAL_S):
            self._sample()

    def _sample(self) -> None:
        with self._lock:
            self._peak = max(self._peak, sum(_status_bytes(pid, "VmHWM:") for pid in self._pids()))

    def _pids(self) -> list[int]:
        try:
            return [self._process.pid, *(child.pid for child in self._process.children(recursive=True))]
        except psutil.NoSuchProcess:
            return []


def _status_bytes(pid: int, field: str) -> int:
    """Reads one field of /proc/PID/status; 0 once the process is gone."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024
    except OSError:
        return 0
    return 0
