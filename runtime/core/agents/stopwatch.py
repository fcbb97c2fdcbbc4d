"""How long a run has been at work: the time in which it waits for persons, or for a place, is not counted.

A run waits for persons where its own calls do, and where those of the runs do that it called for.
"""

import math
from collections.abc import Callable, Sequence

import anyio

from runtime.core.agents.steps import AnyStep, CallAsked, CallBegun, CallEnded, RunOpened
from runtime.core.clock import Clock

Span = tuple[float, float]
"""From and to, in seconds since the epoch."""


class Stopwatch:
    """Runs from its making on; can be held."""

    def __init__(self, clock: Clock, spent_s: float = 0.0) -> None:
        self._clock = clock
        self._spent_s = spent_s
        self._since: float | None = clock.monotonic()
        self._changed = anyio.Event()

    def hold(self) -> None:
        """Count no more for now."""
        self._spent_s, self._since = self.spent_s, None
        self._changed.set()

    def go_on(self) -> None:
        """Count again."""
        if self._since is None:
            self._since = self._clock.monotonic()
            self._changed.set()

    @property
    def is_held(self) -> bool:
        """Whether it stands still."""
        return self._since is None

    @property
    def spent_s(self) -> float:
        """How long it has run."""
        return self._spent_s + (
            0.0 if self._since is None else max(0.0, self._clock.monotonic() - self._since)
        )

    async def reach(self, limit_s: Callable[[], float]) -> None:
        """Return once it has run for so long; the limit may move meanwhile."""
        while (left_s := limit_s() - self.spent_s) > 0:
            self._changed = anyio.Event()
            with anyio.move_on_after(None if self.is_held else left_s):
                await self._changed.wait()


def worked_s(steps: Sequence[AnyStep], waits_below: Sequence[Span] = ()) -> float:
    """Return how long a run was at work, as far as its steps tell: not before the first, not while asked.

    Of the runs that it called for, `waits_below` says when they waited for persons.
    """
    told = [step.at for step in steps if not isinstance(step, RunOpened)]
    if not told:
        return 0.0

    work_s, reached = told[-1] - told[0], told[0]
    for begin, end in sorted((*waits(steps), *waits_below)):
        end = min(end, told[-1])
        work_s -= max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return max(0.0, work_s)


def waits(steps: Sequence[AnyStep]) -> list[Span]:
    """Return the times in which a run waited for persons, as far as its steps tell."""
    found: list[Span] = []
    waiting, since = set[str](), 0.0
    for step in steps:
        was_waiting = bool(waiting)
        match step:
            case CallAsked():
                waiting.add(step.call_id)
            case CallBegun():
                waiting.discard(step.call_id)
            case CallEnded():
                waiting.discard(step.result.call_id)
            case _:
                pass
        if waiting and not was_waiting:
            since = step.at
        elif was_waiting and not waiting:
            found.append((since, step.at))
    if waiting:
        found.append((since, math.inf))
    return found
