"""What became of every photo of an import, counted, and written as CSV where something was not added."""

import csv
import enum
import threading
from pathlib import Path
from typing import TextIO

import grpc

from runtime.status import error_info, status_from_rpc_error


class Outcome(enum.Enum):
    """What became of one photo."""

    ADDED = "added"
    UNCHANGED = "already there"
    SKIPPED = "skipped"


class ImportReport:
    """Counts outcomes; writes one row for each photo that was not added: path, reason, message.

    The file is made at the first such photo, and each row is written at once: a killed import leaves its report.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.counts = dict.fromkeys(Outcome, 0)
        self.face_count = 0
        self._file: TextIO | None = None
        self._lock = threading.Lock()

    def added(self, face_count: int) -> None:
        """Counts a photo that is in the gallery now."""
        self.counts[Outcome.ADDED] += 1
        self.face_count += face_count

    def unchanged(self) -> None:
        """Counts a photo that was in the gallery before."""
        self.counts[Outcome.UNCHANGED] += 1

    def skipped(self, photo: Path, reason: str, message: str) -> None:
        """Counts a photo that was not added, and writes why."""
        self.counts[Outcome.SKIPPED] += 1
        with self._lock:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self.path.open("w", newline="", encoding="utf-8", errors="backslashreplace")
                csv.writer(self._file).writerow(("path", "reason", "message"))
            csv.writer(self._file).writerow((photo, reason, message))
            self._file.flush()

    def skipped_by(self, photo: Path, error: grpc.RpcError) -> None:
        """Counts a photo that the service refused, and writes its reason."""
        status = status_from_rpc_error(error)
        info = error_info(status)
        self.skipped(photo, info.reason if info is not None else error.code().name, status.message)

    def close(self) -> None:
        """Closes the file, if there is one."""
        if self._file is not None:
            self._file.close()
