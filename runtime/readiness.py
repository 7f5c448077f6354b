"""Whether a service takes calls, and why not."""

import enum
from collections.abc import Callable


class Phase(enum.Enum):
    """The life of a service."""

    STARTING = "starting"
    READY = "ready"
    # Health says NOT_SERVING, so that balancers turn away, while calls that still arrive are served.
    DRAINING = "draining"
    FAILED = "failed"


class Readiness:
    """The phase of one service; listeners hear of every change."""

    def __init__(self) -> None:
        self._phase = Phase.STARTING
        self._reason = "the service is starting"
        self._listeners: list[Callable[[bool], None]] = []
        self._degraded: dict[str, str] = {}

    @property
    def degraded(self) -> tuple[str, ...]:
        """What does not work although calls are served, a line each."""
        return tuple(f"{part}: {why}" for part, why in self._degraded.items())

    @property
    def is_ready(self) -> bool:
        """True while health is SERVING."""
        return self._phase is Phase.READY

    @property
    def accepts_calls(self) -> bool:
        """True while calls are served: also for the moment in which a service drains."""
        return self._phase in (Phase.READY, Phase.DRAINING)

    @property
    def has_failed(self) -> bool:
        """True once a part of the service died that it cannot work without."""
        return self._phase is Phase.FAILED

    @property
    def reason(self) -> str:
        """Why the service is not ready; empty when it is."""
        return "" if self.is_ready else self._reason

    def on_change(self, listener: Callable[[bool], None]) -> None:
        """Calls the listener with ``is_ready`` now and at every change."""
        self._listeners.append(listener)
        listener(self.is_ready)

    def mark_ready(self) -> None:
        """Takes calls from now on, unless the service drains or has failed."""
        if self._phase in (Phase.STARTING, Phase.READY):
            self._move(Phase.READY, "")

    def mark_not_ready(self, reason: str) -> None:
        """Refuses calls for now; mark_ready takes it back."""
        if self._phase in (Phase.STARTING, Phase.READY):
            self._move(Phase.STARTING, reason)

    def mark_degraded(self, part: str, why: str) -> None:
        """Tells that a part does not work that the rest can do without; "" for why takes it back."""
        if why:
            self._degraded[part] = why
        else:
            self._degraded.pop(part, None)

    def mark_draining(self) -> None:
        """Turns health away while calls are still served. Final."""
        self._move(Phase.DRAINING if self.is_ready else Phase.FAILED, "the service is shutting down")

    def mark_failed(self, reason: str) -> None:
        """Refuses calls for good."""
        self._move(Phase.FAILED, reason)

    def _move(self, phase: Phase, reason: str) -> None:
        was_ready = self.is_ready
        self._phase, self._reason = phase, reason
        if was_ready != self.is_ready:
            for listener in self._listeners:
                listener(self.is_ready)
