"""How a photo's work is told apart from who does it: a photo asks a stage for something, and goes on with the answer.

The pipeline is a generator that yields an Ask and is sent the results. What runs it is free to run it at once, as
run_inline does, or to collect what many photos ask of one stage and run that together, as embedder/scheduler.py does.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from enum import IntEnum, auto
from typing import Any, TypeVar

Result = TypeVar("Result")


class Stage(IntEnum):
    """The stages that do the heavy work, in the order in which a photo meets them."""

    DECODE = auto()
    DETECT = auto()
    EMBED = auto()
    ATTRIBUTES = auto()


@dataclass(frozen=True, slots=True)
class Ask:
    """What a photo wants done next. The answer is a list with one result for each item, in order."""

    stage: Stage
    items: list[Any]


Steps = Generator[Ask, list[Any], Result]
"""Work that asks. A failed item raises its error at the yield."""

Handler = Callable[[list[Any]], list[Any]]
"""Does what a stage is asked: as many results as items, in order."""


def run_inline(steps: Steps[Result], handlers: Mapping[Stage, Handler], checkpoint: Callable[[], None]) -> Result:
    """Runs work in the calling thread; checkpoint is called before each stage, and stops it by raising."""
    try:
        ask = next(steps)
        while True:
            try:
                checkpoint()
                results = handlers[ask.stage](ask.items)
            except Exception as error:
                ask = steps.throw(error)
            else:
                ask = steps.send(results)
    except StopIteration as end:
        result: Result = end.value
        return result
