"""What callers asked and what came of it, as JSON lines; and a checker that holds it against a plain set.

Every operation is an ``invoke`` that ends as ``ok``, as ``fail`` (certainly not done) or as ``unknown`` (the answer was
lost). The store must be explicable as a set of keys: an acknowledged add is in it, an acknowledged delete is not, what
is unknown or under way may be either, and nothing is in it twice or from nowhere. Reads name all keys of the set.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

ADD: Final = "add"
DELETE: Final = "delete"
READ: Final = "read"
INVOKE: Final = "invoke"
OK: Final = "ok"
FAIL: Final = "fail"
UNKNOWN: Final = "unknown"
# Whatever was under way has ended, one way or the other: a process died and another took its place.
SETTLE: Final = "settle"


@dataclass(frozen=True, slots=True)
class Event:
    """One line. operation: the number that ties an end to its invoke; keys: of a read that is ok, all that it saw."""

    kind: str
    action: str = ""
    operation: int = 0
    key: str = ""
    keys: tuple[str, ...] = ()
    note: str = ""

    def to_line(self) -> str:
        """Returns the event as JSON without what is empty."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return json.dumps({name: value for name, value in fields.items() if value})

    @classmethod
    def from_line(cls, line: str) -> "Event":
        """Reads a line back."""
        fields: dict[str, Any] = json.loads(line)
        return cls(**{**fields, "keys": tuple(fields.get("keys", ()))})


@dataclass(frozen=True, slots=True)
class Violation:
    """What cannot be: ``kind`` is lost, returned, unheard_of or duplicate."""

    kind: str
    key: str
    operation: int


class History:
    """Notes events in the order in which they happen, into a file too where there is one."""

    def __init__(self, path: Path | None = None) -> None:
        self.events: list[Event] = []
        self._file = path.open("a", encoding="utf-8") if path is not None else None
        self._last_operation = 0

    def invoke(self, action: str, key: str = "") -> int:
        """Notes that an operation begins; returns its number."""
        self._last_operation += 1
        self._note(Event(INVOKE, action, self._last_operation, key))
        return self._last_operation

    def end(self, kind: str, operation: int, keys: Iterable[str] = (), note: str = "") -> None:
        """Notes how an operation ended."""
        self._note(Event(kind, operation=operation, keys=tuple(keys), note=note))

    def settle(self, note: str = "") -> None:
        """Notes that nothing of before is under way any more."""
        self._note(Event(SETTLE, note=note))

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()

    def counts(self) -> dict[str, int]:
        """Returns how many events of each kind there are."""
        kinds = [event.kind for event in self.events]
        return {kind: kinds.count(kind) for kind in (INVOKE, OK, FAIL, UNKNOWN, SETTLE)}

    def _note(self, event: Event) -> None:
        self.events.append(event)
        if self._file is not None:
            self._file.write(event.to_line() + "\n")
            self._file.flush()


def read_history(path: Path) -> list[Event]:
    """Reads a file of events back; a last line that was cut off is left out."""
    lines = path.read_text(encoding="utf-8").split("\n")
    return [Event.from_line(line) for line in lines[:-1]]


EITHER: Final = frozenset({True, False})


@dataclass(slots=True)
class _Key:
    """Whether the key may be in the set, whether not, and the operation that decides it meanwhile."""

    possible: frozenset[bool] = frozenset({False})
    under_way: int = 0
    # What is left when the operation under way turns out not to have been done.
    otherwise: frozenset[bool] = frozenset({False})
    # An answer was lost, and what it answered may still be done at any moment.
    is_open: bool = False


@dataclass(slots=True)
class _Read:
    """A read under way, with all that each key could be since it began; keys that it lacks did not change since."""

    changed: dict[str, frozenset[bool]] = field(default_factory=dict)


class Checker:
    """Goes through events in order and collects what cannot be."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []
        self._keys: dict[str, _Key] = {}
        self._invokes: dict[int, Event] = {}
        self._reads: dict[int, _Read] = {}

    def take(self, event: Event) -> None:
        """Takes the next event; raises ValueError for a history that no caller can have noted."""
        if event.kind == SETTLE:
            self._settle()
        elif event.kind == INVOKE:
            self._invokes[event.operation] = event
            if event.action == READ:
                self._reads[event.operation] = _Read()
            else:
                self._begin(event)
        else:
            invoke = self._invokes.pop(event.operation)
            if invoke.action != READ:
                self._finish(invoke, event.kind)
            else:
                read = self._reads.pop(event.operation)
                if event.kind == OK:
                    self._compare(event, read)

    def _begin(self, event: Event) -> None:
        key = self._keys.setdefault(event.key, _Key())
        if key.under_way:
            raise ValueError(f"two operations on {event.key} at once say nothing of one another's outcome")
        key.under_way, key.otherwise = event.operation, key.possible
        self._move(event.key, key, key.possible | {event.action == ADD})

    def _finish(self, invoke: Event, kind: str) -> None:
        key = self._keys[invoke.key]
        if key.under_way == invoke.operation:
            key.under_way = 0
        if kind == OK:
            # An earlier add whose answer was lost is the same add: this answer is for both.
            key.is_open = False
            self._move(invoke.key, key, frozenset({invoke.action == ADD}))
        elif kind == FAIL:
            self._move(invoke.key, key, EITHER if key.is_open else key.otherwise)
        elif kind == UNKNOWN:
            key.is_open = True
        else:
            raise ValueError(f"{kind} is no end of an operation")

    def _settle(self) -> None:
        for key in self._keys.values():
            key.under_way, key.is_open = 0, False
        self._invokes = {number: event for number, event in self._invokes.items() if event.action == READ}

    def _move(self, name: str, key: _Key, possible: frozenset[bool]) -> None:
        for read in self._reads.values():
            read.changed[name] = read.changed.get(name, key.possible) | possible
        key.possible = possible

    def _compare(self, event: Event, read: _Read) -> None:
        seen = set(event.keys)
        if len(seen) < len(event.keys):
            doubles = {name for name in seen if event.keys.count(name) > 1}
            self.violations += [Violation("duplicate", name, event.operation) for name in sorted(doubles)]
        for name in sorted(seen - self._keys.keys()):
            self.violations.append(Violation("unheard_of", name, event.operation))
        for name, key in self._keys.items():
            is_there = name in seen
            if is_there not in read.changed.get(name, key.possible):
                self.violations.append(Violation("returned" if is_there else "lost", name, event.operation))
            if name not in read.changed and not key.under_way and not key.is_open:
                # Nothing is under way that could still change it: from here on it is what was seen.
                self._move(name, key, frozenset({is_there}))


def check(events: Sequence[Event]) -> list[Violation]:
    """Returns everything in the history that a set cannot explain."""
    checker = Checker()
    for event in events:
        checker.take(event)
    return checker.violations
