"""Who of those that wait goes first: priority, then the fair share of each principal, then arrival. Pure.

Fair sharing follows the virtual token counter of Sheng et al., "Fairness in Serving Large Language Models"
(OSDI 2024): each principal has a counter of the tokens that were computed for it, and the one with the
least goes first. A principal that comes (back) begins no lower than the least of those that are active, so
that idling saves up nothing.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Literal, Protocol, TypeVar

Priority = Literal["interactive", "agent", "batch"]

RANKS: dict[Priority, int] = {"interactive": 0, "agent": 1, "batch": 2}
"""Lower goes first."""

PROMPT_WEIGHT, ANSWER_WEIGHT = 1.0, 2.0
"""What a token costs its principal; a generated one is the dearer, since it takes a step of its own."""


class Waiting(Protocol):
    """What is known of somebody in the line."""

    principal: str
    rank: int
    arrived: int


_W = TypeVar("_W", bound=Waiting)


class Shares:
    """The counters of all principals that have work."""

    def __init__(self) -> None:
        self._counters: dict[str, float] = {}
        self._active: Counter[str] = Counter()

    def enter(self, principal: str) -> None:
        """Note that a piece of this principal's work came."""
        if not self._active[principal]:
            busy = [self._counters[each] for each in self._active if self._active[each] > 0]
            floor = min(busy, default=0.0)
            self._counters[principal] = max(self._counters.get(principal, 0.0), floor)
        self._active[principal] += 1

    def leave(self, principal: str) -> None:
        """Note that a piece of this principal's work is done; the last one to leave clears the counters."""
        self._active[principal] -= 1
        if not self._active[principal]:
            del self._active[principal]
        if not self._active:
            self._counters.clear()

    def charge(self, principal: str, *, prompt: int = 0, answer: int = 0) -> None:
        """Count tokens that were computed, or are about to be."""
        if principal in self._counters:
            self._counters[principal] += PROMPT_WEIGHT * prompt + ANSWER_WEIGHT * answer

    def order(self, waiting: Iterable[_W]) -> list[_W]:
        """Return those that wait in the order in which they should go on."""
        return sorted(
            waiting, key=lambda each: (each.rank, self._counters.get(each.principal, 0.0), each.arrived)
        )
