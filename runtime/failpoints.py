"""Named places in the code where a test lets something go wrong: a kill, a pause, an error, a step left out.

``TWIN_FAILPOINTS="add.before_commit=kill@3;changes.notify=drop%50"`` arms points of a process at its start: for each
point ``action[:argument][@n | %p]``, at the nth time that it is reached, at p of a hundred times, or every time. The
draws follow ``TWIN_FAILPOINTS_SEED`` (0). A process that was not told ``TWIN_ALLOW_FAILPOINTS=1`` too does not start,
so that a variable that was left behind cannot hurt anybody; nor does one that is given a name or an action that is not
here. Unarmed, a point is one look at an empty dictionary.

- ``kill``: SIGKILL to this process.
- ``sleep:SECONDS``: waits; at a point in a coroutine, that coroutine alone does.
- ``raise:KIND``: one of ERRORS.
- ``drop``: what follows is left out, at the points that can do without it (DROPPABLE).
"""

import asyncio
import contextlib
import errno
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from runtime.errors import DependencyUnavailable, StartupError, StorageFull
from runtime.logs import get_logger

VARIABLE: Final = "TWIN_FAILPOINTS"
ALLOW_VARIABLE: Final = "TWIN_ALLOW_FAILPOINTS"
SEED_VARIABLE: Final = "TWIN_FAILPOINTS_SEED"

# Every point, by what is under way when it is reached.
POINTS: Final = frozenset(
    {
        # Adding: the turn is taken; photos are copied, faces not; all is written; committed; applied; about to answer.
        "add.before_copy",
        "add.between_copies",
        "add.before_commit",
        "add.committed",
        "add.applied",
        "add.before_answer",
        # Deleting, asked for or expired.
        "delete.before_rows",
        "delete.before_commit",
        "delete.committed",
        "delete.applied",
        "expiry.before_commit",
        "expiry.committed",
        # A gallery made or dropped.
        "gallery.before_commit",
        "gallery.committed",
        # The change log read and applied.
        "changes.notify",
        "follower.before_apply",
        "follower.between_changes",
        "follower.applied",
        # A snapshot: captured; a file of it begun, written, synced; all files there; moved aside; in place.
        "snapshot.captured",
        "snapshot.writing",
        "snapshot.before_fsync",
        "snapshot.before_rename",
        "snapshot.between_renames",
        "snapshot.renamed",
        "snapshot.loading",
        # Removed rows got rid of: the copies are made; about to be exchanged.
        "compaction.begun",
        "compaction.before_exchange",
        # The schema: one file applied; all of them.
        "migration.between_files",
        "migration.before_commit",
    }
)
DROPPABLE: Final = frozenset({"changes.notify"})
ERRORS: Final[Mapping[str, Callable[[], Exception]]] = {
    "disk_full": lambda: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    "storage_full": StorageFull,
    "postgres_gone": lambda: DependencyUnavailable("postgres"),
    "connection_reset": lambda: ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)),
    "bug": lambda: ZeroDivisionError("a planted bug"),
}
_ACTIONS: Final = ("kill", "sleep", "raise", "drop")

_log = get_logger(__name__)


@dataclass(slots=True)
class _Armed:
    action: str
    argument: str
    # The reaching at which it acts, counted from 1; 0: by chance.
    nth: int
    percent: float
    seed: int
    count: int = 0
    draws: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.draws = random.Random(self.seed)  # noqa: S311

    def acts_now(self) -> bool:
        self.count += 1
        return self.count == self.nth if self.nth else self.draws.random() * 100 < self.percent


_armed: dict[str, _Armed] = {}


def reach(point: str) -> bool:
    """Does what the point is armed for, if anything; returns True when what follows is to be left out."""
    if not _armed:
        return False
    armed = _acting(point)
    if armed is not None and armed.action == "sleep":
        time.sleep(float(armed.argument))
    return _act(armed)


async def reach_async(point: str) -> bool:
    """Does the same in a coroutine: while it waits, the rest of the process goes on."""
    if not _armed:
        return False
    armed = _acting(point)
    if armed is not None and armed.action == "sleep":
        await asyncio.sleep(float(armed.argument))
    return _act(armed)


def _acting(point: str) -> _Armed | None:
    if point not in POINTS:
        raise ValueError(f"{point} is no failpoint; see runtime/failpoints.py")
    armed = _armed.get(point)
    return armed if armed is not None and armed.acts_now() else None


def _act(armed: _Armed | None) -> bool:
    if armed is None:
        return False
    if armed.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif armed.action == "raise":
        raise ERRORS[armed.argument]()
    return armed.action == "drop"


def arm_from_environment(environment: Mapping[str, str]) -> None:
    """Arms what the environment asks for; raises StartupError when that cannot be, or is not allowed."""
    specification = environment.get(VARIABLE, "")
    if not specification:
        return
    if environment.get(ALLOW_VARIABLE) != "1":
        raise StartupError(
            f"{VARIABLE} is for tests and makes this service fail on purpose; unset it, or set {ALLOW_VARIABLE}=1"
        )
    seed = environment.get(SEED_VARIABLE, "0")
    if not seed.isdecimal():
        raise StartupError(f"{SEED_VARIABLE}={seed!r} is no number")
    _armed.update(parse(specification, int(seed)))
    _log.warning("failpoints are armed", failpoints=specification, seed=int(seed))


@contextlib.contextmanager
def armed(specification: str, seed: int = 0) -> Iterator[None]:
    """Arms points of this process for the length of the block, for tests that run a service within themselves."""
    earlier = dict(_armed)
    _armed.update(parse(specification, seed))
    try:
        yield
    finally:
        _armed.clear()
        _armed.update(earlier)


def parse(specification: str, seed: int) -> dict[str, _Armed]:
    """Returns the points that a specification arms; raises StartupError that names what cannot be."""
    points = {}
    for part in filter(None, (part.strip() for part in specification.split(";"))):
        name, equals, rest = part.partition("=")
        if not equals or name not in POINTS:
            raise StartupError(f"{VARIABLE}: {name!r} is no failpoint; there are {', '.join(sorted(POINTS))}")
        points[name] = _parse_action(name, rest, seed)
    return points


def _parse_action(name: str, text: str, seed: int) -> _Armed:
    action, nth, percent = text, 0, 100.0
    try:
        if "@" in text:
            action, _, number = text.partition("@")
            nth = int(number)
        elif "%" in text:
            action, _, number = text.partition("%")
            percent = float(number)
        kind, _, argument = action.partition(":")
        is_known = kind in _ACTIONS and nth >= 0 and 0 <= percent <= 100 and ("@" not in text or nth)
        if kind == "sleep":
            is_known = is_known and float(argument) >= 0
        elif kind == "raise":
            is_known = is_known and argument in ERRORS
        elif kind == "drop":
            is_known = is_known and name in DROPPABLE
    except ValueError:
        is_known = False
    if not is_known:
        raise StartupError(
            f"{VARIABLE}: {name}={text} is none of kill, sleep:SECONDS, raise:{'|'.join(ERRORS)}, drop (at "
            f"{', '.join(sorted(DROPPABLE))}), with @n or %p behind it"
        )
    return _Armed(kind, argument, nth, percent, seed)
