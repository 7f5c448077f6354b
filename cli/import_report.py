"""What became of every photo of an import, counted, and written as CSV where something was not added."""

import csv
import enum
import threading
from collections import Counter
from pathlib import Path
from typing import TextIO

from google.rpc import status_pb2
from rich.console import Console

from runtime.status import error_info, status_code


class Outcome(enum.Enum):
    """What became of one photo."""

    ADDED = "added"
    UNCHANGED = "already there"
    SKIPPED = "skipped"


class ImportReport:
    """Counts outcomes; writes one row for each photo that was not added: path, reason, message.

    The file is made at the first such photo, and each row is written at once: a killed import leaves its report.
    """

    def __init__(self, path: Path, *, tells_faces: bool = True) -> None:
        """tells_faces: False where the service does not tell how many faces a photo gave."""
        self.path = path
        self.counts = dict.fromkeys(Outcome, 0)
        self.face_count = 0
        self._other_kinds: Counter[str] = Counter()
        self._tells_faces = tells_faces
        self._file: TextIO | None = None
        self._lock = threading.Lock()

    def added(self, face_count: int) -> None:
        """Counts a photo that is in the gallery now."""
        self.counts[Outcome.ADDED] += 1
        self.face_count += face_count

    def unchanged(self) -> None:
        """Counts a photo that was in the gallery before."""
        self.counts[Outcome.UNCHANGED] += 1

    def skipped(self, path: str, reason: str, message: str) -> None:
        """Counts a photo that was not added, and writes why."""
        self.counts[Outcome.SKIPPED] += 1
        with self._lock:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self.path.open("w", newline="", encoding="utf-8", errors="backslashreplace")
                csv.writer(self._file).writerow(("path", "reason", "message"))
            csv.writer(self._file).writerow((path, reason, message))
            self._file.flush()

    def of_another_kind(self, file: Path, suffix: str) -> None:
        """Counts an image of a kind that is not imported, and writes so."""
        self._other_kinds[suffix] += 1
        self.skipped(str(file), "UNSUPPORTED_KIND", f"{suffix} images are not imported: make it a JPEG, PNG or WebP")

    def skipped_by(self, path: str, status: status_pb2.Status) -> None:
        """Counts a photo that the service refused, and writes its reason."""
        info = error_info(status)
        self.skipped(path, info.reason if info is not None else status_code(status).name, status.message)

    def begin_anew(self) -> None:
        """Forgets what was counted and written: all of it will be told again."""
        self.counts = dict.fromkeys(Outcome, 0)
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None
                self.path.unlink(missing_ok=True)

    def tell(self, console: Console) -> None:
        """Prints the counts, and where the rows are."""
        counts = self.counts
        faces = f" ({self.face_count} faces)" if self._tells_faces else ""
        console.print(
            f"{counts[Outcome.ADDED]} photos added{faces}, {counts[Outcome.UNCHANGED]} already there, "
            f"{counts[Outcome.SKIPPED]} skipped."
        )
        if self._other_kinds:
            kinds = ", ".join(f"{suffix}: {count}" for suffix, count in sorted(self._other_kinds.items()))
            console.print(
                f"{self._other_kinds.total()} of them are images of other kinds than JPEG, PNG and WebP ({kinds}).",
                soft_wrap=True,
            )
        if counts[Outcome.SKIPPED]:
            console.print(f"What was skipped, and why: {self.path}", soft_wrap=True)

    def close(self) -> None:
        """Closes the file, if there is one."""
        if self._file is not None:
            self._file.close()
