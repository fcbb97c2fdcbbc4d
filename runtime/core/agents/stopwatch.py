"""How long a run has been at work: the time in which it waits for persons, or for a place, is not counted."""

from collections.abc import Sequence

from runtime.core.agents.steps import AnyStep, CallAsked, CallBegun, CallEnded, RunOpened


class Stopwatch:
    """Runs from its making on; can be held."""

    def __init__(self, now: float, spent_s: float = 0.0) -> None:
        self._spent_s = spent_s
        self._since: float | None = now

    def hold(self, now: float) -> None:
        """Count no more for now."""
        self._spent_s, self._since = self.spent_s(now), None

    def go_on(self, now: float) -> None:
        """Count again."""
        if self._since is None:
            self._since = now

    @property
    def is_held(self) -> bool:
        """Whether it stands still."""
        return self._since is None

    def spent_s(self, now: float) -> float:
        """Return how long it has run."""
        return self._spent_s + (0.0 if self._since is None else max(0.0, now - self._since))


def worked_s(steps: Sequence[AnyStep]) -> float:
    """Return how long a run was at work, as far as its steps tell: not before the first, not while asked."""
    total, waiting = 0.0, set[str]()
    last: float | None = None
    for step in steps:
        if isinstance(step, RunOpened):
            continue
        if last is not None and not waiting:
            total += max(0.0, step.at - last)
        last = step.at
        match step:
            case CallAsked():
                waiting.add(step.call_id)
            case CallBegun():
                waiting.discard(step.call_id)
            case CallEnded():
                waiting.discard(step.result.call_id)
            case _:
                pass
    return total
