"""What waits, and what is next: photos at the entrance, and what those under way ask of the stages.

Every caller gets an equal share of the workers' time, whoever asks for more of it. A caller that comes starts level
with the one that was served last: who was away has saved nothing up, and who asks now and then is next. (Start-time
fair queueing, Goyal et al. 1996: charged by what a stage costs on average, and corrected by what it did cost.)
"""

import itertools
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from embedder.caller import Caller
from embedder.steps import Ask, Handler, Stage, Steps
from runtime.errors import Overloaded

_FIRST_GUESS_S: Final = 0.02
_SMOOTHING: Final = 0.1


@dataclass(frozen=True, slots=True)
class StageRunner:
    """How one stage runs: what does the work, how many items at once, in how many threads at once.

    Items of one batch have one shape, as shape_of tells. Of those that is_large tells, one runs at a time: the others
    wait here, where they keep no thread. when_alone does the work of a photo that has the machine to itself, with all
    of it.
    """

    handler: Handler
    max_batch: int
    max_running: int
    shape_of: Callable[[Any], Hashable] = lambda item: None
    when_alone: Handler | None = None
    is_large: Callable[[Any], bool] = lambda item: False


@dataclass(eq=False, slots=True)
class Photo:
    """One photo on its way: its steps, and what is missing of the answer to its last ask.

    refusable: it may be turned away while it waits at the entrance.
    """

    steps: Steps[Any]
    caller: Caller
    refusable: bool
    future: Future[Any] = field(default_factory=Future)
    admitted_s: float = field(default_factory=time.monotonic)
    begun_s: float = 0.0
    answers: list[Any] = field(default_factory=list)
    missing: int = 0
    error: Exception | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Item:
    """One thing that a photo asks of a stage; place is where its result goes in the answer."""

    photo: Photo
    place: int
    value: Any
    shape: Hashable
    is_large: bool


@dataclass(frozen=True, slots=True)
class Begin:
    """A photo whose first step is to be taken."""

    photo: Photo


@dataclass(frozen=True, slots=True)
class Resume:
    """A photo that has its answer."""

    photo: Photo


@dataclass(frozen=True, slots=True)
class Batch:
    """Items of one shape for one stage, and what each was charged to its caller's share beforehand."""

    stage: Stage
    items: list[Item]
    charges: "list[tuple[_Share, int]]"
    charged_s: float


Task: TypeAlias = Begin | Resume | Batch


class _Share:
    """One caller's waiting work, and the worker time that it has had."""

    def __init__(self, used_s: float, stages: list[Stage]) -> None:
        self.used_s = used_s
        self.entrance: deque[Photo] = deque()
        self.items: dict[Stage, deque[Item]] = {stage: deque() for stage in stages}
        self.begun = 0

    @property
    def refusable(self) -> int:
        return sum(photo.refusable for photo in self.entrance)

    @property
    def is_idle(self) -> bool:
        return not self.entrance and not self.begun


class Board:
    """All waiting work. Not safe for threads by itself."""

    def __init__(self, stages: Mapping[Stage, StageRunner], *, queue_limit: int, max_begun: int) -> None:
        """queue_limit: refusable photos that may wait to be begun; max_begun: photos that are in memory at once."""
        self._stages = stages
        self._latest_first = sorted(stages, reverse=True)
        self._queue_limit = queue_limit
        self._max_begun = max_begun
        self._shares: dict[Hashable, _Share] = {}
        self._level_s = 0.0
        self._ready: deque[Photo] = deque()
        self._begun: set[Photo] = set()
        self._running = dict.fromkeys(stages, 0)
        self._runs_large = dict.fromkeys(stages, False)
        self._cost_s = dict.fromkeys(stages, _FIRST_GUESS_S)
        self._photo_s = _FIRST_GUESS_S * len(self._stages)
        self.waiting = 0
        self._refusable_waiting = 0

    def admit(self, photo: Photo) -> Photo | None:
        """Lets a photo wait. Returns the one that lost its place to it, if any.

        Where refusable photos fill the queue, one of a caller that has none or few waiting takes the last place of the
        caller with the most. Raises Overloaded when there is no such place.
        """
        displaced = None
        if photo.refusable and self._refusable_waiting >= self._queue_limit:
            displaced = self._take_place_for(photo.caller.key)
        self._share(photo.caller.key).entrance.append(photo)
        self._count_waiting(photo, 1)
        return displaced

    def withdraw(self, photo: Photo) -> bool:
        """Takes a photo back that has not been begun; returns False when it has."""
        share = self._shares.get(photo.caller.key)
        if share is None or photo not in share.entrance:
            return False
        share.entrance.remove(photo)
        self._count_waiting(photo, -1)
        self._let_go(photo.caller.key, share)
        return True

    def put(self, photo: Photo, ask: Ask) -> None:
        """Lets what a begun photo asks for wait for its stage."""
        photo.answers = [None] * len(ask.items)
        photo.missing = len(ask.items)
        if not ask.items:
            self.put_ready(photo)
            return
        runner = self._stages[ask.stage]
        items = (
            Item(photo, place, value, runner.shape_of(value), runner.is_large(value))
            for place, value in enumerate(ask.items)
        )
        self._share(photo.caller.key).items[ask.stage].extend(items)

    def put_ready(self, photo: Photo) -> None:
        """Lets a photo with its answer wait for a thread."""
        self._ready.append(photo)

    def take(self) -> Task | None:
        """Returns what is next, or None when nothing can be done now.

        Of the caller with the least time, what is nearest to an answer; others' items of the same shape join a batch
        that is not full.
        """
        if self._ready:
            return Resume(self._ready.popleft())
        for share in sorted(self._shares.values(), key=lambda share: share.used_s):
            for stage in self._latest_first:
                item = self._first_that_can_run(stage, share)
                if item is not None:
                    return self._batch(item, stage, share)
            # The last place in memory is for a caller who has none: others' photos may be long about it.
            if share.entrance and len(self._begun) < self._max_begun - (share.begun > 0):
                photo = share.entrance.popleft()
                self._count_waiting(photo, -1)
                share.begun += 1
                self._begun.add(photo)
                photo.begun_s = time.monotonic()
                return Begin(photo)
        return None

    @property
    def is_alone(self) -> bool:
        """True when the batch that runs is the only work there is."""
        return len(self._begun) == 1 and not self.waiting and sum(self._running.values()) == 1 and not self._ready

    def finish_batch(self, batch: Batch, seconds: float, done_count: int) -> None:
        """Notes that so many of a batch's items were done, in so many seconds; callers are charged for just those."""
        self._running[batch.stage] -= 1
        if batch.items[0].is_large:
            self._runs_large[batch.stage] = False
        each_s = seconds / len(batch.items)
        for share, count in batch.charges:
            share.used_s += count * (each_s - batch.charged_s)
        if done_count:
            cost_s = self._cost_s[batch.stage]
            self._cost_s[batch.stage] = cost_s + _SMOOTHING * (seconds / done_count - cost_s)

    def charge(self, photo: Photo, seconds: float) -> None:
        """Notes what a photo's step between two stages cost."""
        share = self._shares.get(photo.caller.key)
        if share is not None:
            share.used_s += seconds

    def end(self, photo: Photo) -> None:
        """Forgets a begun photo."""
        if photo in self._begun:
            self._begun.remove(photo)
            self._photo_s += _SMOOTHING * (time.monotonic() - photo.begun_s - self._photo_s)
            share = self._shares[photo.caller.key]
            share.begun -= 1
            self._let_go(photo.caller.key, share)

    def clear(self) -> list[Photo]:
        """Forgets everything; returns all photos that still wait for their answers."""
        photos = [*self._begun, *(photo for share in self._shares.values() for photo in share.entrance)]
        self._shares.clear()
        self._ready.clear()
        self._begun.clear()
        self.waiting = self._refusable_waiting = 0
        return photos

    def expected_wait_s(self) -> float:
        """How long the entrance now takes to empty, kept between a tenth of a second and half a minute."""
        return min(max(self._photo_s * self.waiting / max(len(self._begun), 1), 0.1), 30.0)

    def _first_that_can_run(self, stage: Stage, share: _Share) -> Item | None:
        """Returns a caller's next item of a stage; a large one is passed by others while another large one runs."""
        if self._running[stage] >= self._stages[stage].max_running:
            return None
        return next((item for item in share.items[stage] if not (item.is_large and self._runs_large[stage])), None)

    def _batch(self, first: Item, stage: Stage, first_share: _Share) -> Batch:
        max_batch = self._stages[stage].max_batch
        self._runs_large[stage] |= first.is_large
        self._level_s = max(self._level_s, first_share.used_s)
        first_share.items[stage].remove(first)
        batch = Batch(stage, [first], [], self._cost_s[stage])
        for share in (first_share, *(share for share in self._shares.values() if share is not first_share)):
            room = max_batch - len(batch.items)
            alike = (item for item in share.items[stage] if item.shape == first.shape and not item.is_large)
            more = list(itertools.islice(alike, room))
            for item in more:
                share.items[stage].remove(item)
            batch.items.extend(more)
            count = len(more) + (share is first_share)
            if count:
                batch.charges.append((share, count))
                share.used_s += count * batch.charged_s
        self._running[stage] += 1
        return batch

    def _take_place_for(self, key: Hashable) -> Photo:
        heaviest = max(self._shares.values(), key=lambda share: share.refusable, default=None)
        own = self._shares[key].refusable if key in self._shares else 0
        if heaviest is None or heaviest.refusable <= own + 1:
            raise Overloaded(retry_delay_s=self.expected_wait_s())
        loser = next(photo for photo in reversed(heaviest.entrance) if photo.refusable)
        self.withdraw(loser)
        return loser

    def _share(self, key: Hashable) -> _Share:
        share = self._shares.get(key)
        if share is None:
            share = self._shares[key] = _Share(self._level_s, self._latest_first)
        return share

    def _let_go(self, key: Hashable, share: _Share) -> None:
        if share.is_idle:
            del self._shares[key]

    def _count_waiting(self, photo: Photo, change: int) -> None:
        self.waiting += change
        self._refusable_waiting += change if photo.refusable else 0
