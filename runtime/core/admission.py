"""Who gets a place at a model, and who waits in which order. Pure; the driver does the waiting.

What waits is ordered by priority, and within one priority by turns: the principal that was served longest ago
goes first, with its oldest run. So a person is not held up by a night's work, and nobody by a crowd of
somebody else's runs. An engine that schedules by itself has so many places that this order matters only when
even its own queue is full.
"""

import heapq
from collections import deque
from typing import NamedTuple, get_args

import msgspec

from runtime.core.errors import Fault
from runtime.core.ids import RunId
from runtime.core.messages import Priority

_FIRST_GUESS_S = 5.0
"""How long a run is thought to take before one has been seen."""
_SMOOTHING = 0.2
"""Weight of the newest run in the moving average of durations."""
_RANKS: dict[str, int] = {name: rank for rank, name in enumerate(get_args(Priority))}


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """The run may go on now."""


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """The run waits; `position` counts from 1, as things stand: who comes later may go before it."""

    position: int


class _Waiter(NamedTuple):
    """A run in the queue."""

    run_id: RunId
    rank: int
    principal: str
    arrival: int


class Admission:
    """The places at one model."""

    def __init__(self, capacity: int, queue_limit: int) -> None:
        self._capacity = capacity
        self._queue_limit = queue_limit
        self._running: dict[RunId, float] = {}
        self._queue: dict[RunId, _Waiter] = {}
        self._served: dict[str, int] = {}
        """When each principal was last given a place, as a count of grants."""
        self._grants = 0
        self._arrivals = 0
        self._typical_s = _FIRST_GUESS_S

    @property
    def running(self) -> int:
        """Runs that hold a place."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Runs in the queue."""
        return len(self._queue)

    def ask(
        self, run_id: RunId, now: float, priority: Priority = "interactive", principal: str = ""
    ) -> Granted | Waiting | Fault:
        """Ask for a place. A Fault (queue_full) leaves nothing behind."""
        if len(self._running) < self._capacity and not self._queue:
            self._grant(run_id, principal, now)
            return Granted()

        if len(self._queue) >= self._queue_limit:
            return Fault(
                code="queue_full",
                message=f"{len(self._running)} runs are at work and {len(self._queue)} wait: the limit. "
                "Try again later, or raise admission.queue_limit in lar.toml.",
                retry_after_s=self.expected_wait_s(),
            )

        self._arrivals += 1
        self._queue[run_id] = _Waiter(run_id, _RANKS[priority], principal, self._arrivals)
        return Waiting(position=self._order().index(run_id) + 1)

    def leave(self, run_id: RunId, now: float) -> tuple[RunId, ...]:
        """Give back a place or a queue position (neither is fine); return the runs that are granted by it."""
        began = self._running.pop(run_id, None)
        if began is None:
            self._queue.pop(run_id, None)
        else:
            self._typical_s += _SMOOTHING * (now - began - self._typical_s)

        granted: list[RunId] = []
        while self._queue and len(self._running) < self._capacity:
            following = min(self._queue, key=self._turn_of)
            self._grant(following, self._queue.pop(following).principal, now)
            granted.append(following)
        self._forget_the_absent()
        return tuple(granted)

    def expected_wait_s(self) -> float:
        """Return how long a newcomer would wait, at least a second."""
        return max(1.0, (len(self._queue) + 1) * self._typical_s / self._capacity)

    def _grant(self, run_id: RunId, principal: str, now: float) -> None:
        self._running[run_id] = now
        self._grants += 1
        self._served[principal] = self._grants

    def _turn_of(self, run_id: RunId) -> tuple[int, int, int]:
        """Return what the next grant is decided by; the least goes first."""
        waiter = self._queue[run_id]
        return waiter.rank, self._served.get(waiter.principal, 0), waiter.arrival

    def _order(self) -> list[RunId]:
        """Return the queue in the order of its grants, if nobody else came."""
        served, grants = dict(self._served), self._grants
        order: list[RunId] = []
        for lines in self._lines().values():
            heads = [(served.get(name, 0), line[0].arrival, name) for name, line in lines.items()]
            heapq.heapify(heads)
            while heads:
                name = heapq.heappop(heads)[-1]
                line = lines[name]
                grants += 1
                served[name] = grants
                order.append(line.popleft().run_id)
                if line:
                    heapq.heappush(heads, (grants, line[0].arrival, name))
        return order

    def _lines(self) -> dict[int, dict[str, deque[_Waiter]]]:
        """Return who waits, by rank and then by principal, each in order of arrival."""
        lines: dict[int, dict[str, deque[_Waiter]]] = {rank: {} for rank in _RANKS.values()}
        for waiter in self._queue.values():
            lines[waiter.rank].setdefault(waiter.principal, deque()).append(waiter)
        return lines

    def _forget_the_absent(self) -> None:
        """Keep no principal for ever: an idle model starts anew, and all are equal again."""
        if not self._running and not self._queue:
            self._served.clear()
