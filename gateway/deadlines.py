"""How long an outbound call may take."""

from collections.abc import Callable

# Takes the most that a call is worth, in seconds, and returns what it gets: what the caller has left, and no more.
TimeLeft = Callable[[float], float]


def no_caller(at_most_s: float) -> float:
    """For background work: nobody waits, and the most that a call is worth is what it gets."""
    return at_most_s
