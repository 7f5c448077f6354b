"""What goes wrong, at which request, how often: a script that a test writes."""

import random
import threading
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Final

# Every operation that a fault can name; "*" means all of them.
OPERATIONS: Final = frozenset(
    {
        "about.get",
        "changes.getStartPageToken",
        "changes.list",
        "files.create",
        "files.delete",
        "files.generateIds",
        "files.get",
        "files.list",
        "files.media",
        "files.update",
        "token",
        "upload.multipart",
        "upload.part",
        "upload.start",
    }
)
KINDS: Final = frozenset(
    {
        "conflict_409",
        "daily_limit_403",
        "error_500",
        "error_503",
        "invalid_grant",
        "lost_response",
        "quota_full",
        "rate_limit_403",
        "rate_limit_429",
        "short_body",
        "slow_bytes",
        "stalled_body",
        "timeout",
        "unauthorized_401",
        "wrong_bytes",
    }
)


@dataclass(slots=True)
class Fault:
    """One thing that goes wrong.

    kind: of KINDS; on: of OPERATIONS, or "*"; times: at so many requests, None for all; after: so many first go well;
    percent: of the requests, by chance; retry_after_s and message: what a refusal says.
    """

    kind: str
    on: str = "*"
    times: int | None = 1
    after: int = 0
    percent: float = 100.0
    retry_after_s: int | None = None
    message: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS or self.on not in OPERATIONS | {"*"}:
            raise ValueError(f"{self.kind} on {self.on} is no fault")


class Faults:
    """The script; threads may share it."""

    def __init__(self, seed: int = 0) -> None:
        self._lock = threading.Lock()
        self._random = random.Random(seed)
        self._faults: list[Fault] = []
        # Requests by operation, and faults by kind.
        self.requests: Counter[str] = Counter()
        self.happened: Counter[str] = Counter()

    def add(self, kind: str, on: str = "*", **more: Any) -> None:
        with self._lock:
            self._faults.append(Fault(kind, on, **more))

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def next_for(self, operation: str) -> Fault | None:
        """Returns what goes wrong with a request that has come, and counts both."""
        with self._lock:
            self.requests[operation] += 1
            for fault in self._faults:
                if fault.on in (operation, "*") and self._strikes(fault):
                    self.happened[fault.kind] += 1
                    return fault
        return None

    def describe(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(fault) for fault in self._faults]

    def _strikes(self, fault: Fault) -> bool:
        if fault.after > 0:
            fault.after -= 1
            return False
        if fault.times == 0 or self._random.random() * 100 >= fault.percent:
            return False
        if fault.times is not None:
            fault.times -= 1
        return True
