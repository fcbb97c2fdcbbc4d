"""Who gets a place at a model: a bounded queue in order of arrival. Pure; the driver does the waiting."""

from collections import deque

import msgspec

from runtime.core.errors import Fault
from runtime.core.ids import RunId

_FIRST_GUESS_S = 5.0
"""How long a run is thought to take before one has been seen."""
_SMOOTHING = 0.2
"""Weight of the newest run in the moving average of durations."""


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """The run may go on now."""


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """The run waits; `position` counts from 1."""

    position: int


class Admission:
    """The places at one model."""

    def __init__(self, capacity: int, queue_limit: int) -> None:
        self._capacity = capacity
        self._queue_limit = queue_limit
        self._running: dict[RunId, float] = {}
        self._queue: deque[RunId] = deque()
        self._typical_s = _FIRST_GUESS_S

    @property
    def running(self) -> int:
        """Runs that hold a place."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Runs in the queue."""
        return len(self._queue)

    def ask(self, run_id: RunId, now: float) -> Granted | Waiting | Fault:
        """Ask for a place. A Fault (queue_full) leaves nothing behind."""
        if len(self._running) < self._capacity and not self._queue:
            self._running[run_id] = now
            return Granted()

        if len(self._queue) >= self._queue_limit:
            return Fault(
                code="queue_full",
                message=f"{len(self._running)} runs are at work and {len(self._queue)} wait: the limit. "
                "Try again later, or raise admission.queue_limit in lar.toml.",
                retry_after_s=self.expected_wait_s(),
            )

        self._queue.append(run_id)
        return Waiting(position=len(self._queue))

    def leave(self, run_id: RunId, now: float) -> tuple[RunId, ...]:
        """Give back a place or a queue position (neither is fine); return the runs that are granted by it."""
        began = self._running.pop(run_id, None)
        if began is None:
            if run_id in self._queue:
                self._queue.remove(run_id)
        else:
            self._typical_s += _SMOOTHING * (now - began - self._typical_s)

        granted: list[RunId] = []
        while self._queue and len(self._running) < self._capacity:
            following = self._queue.popleft()
            self._running[following] = now
            granted.append(following)
        return tuple(granted)

    def expected_wait_s(self) -> float:
        """Return how long a newcomer would wait, at least a second."""
        return max(1.0, (len(self._queue) + 1) * self._typical_s / self._capacity)
