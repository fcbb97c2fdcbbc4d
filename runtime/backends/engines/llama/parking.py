"""Prefixes that nobody uses now and that stay in the context in case somebody will. Pure.

They are parked in sequence ids beyond those that can be computed. When cells are needed the least valuable
goes first: what was not used for long; later what waits for the result of a tool, since its agent comes
back soon; last what belongs to a seq that was suspended.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

TOOL_WAIT_S = 300.0
"""How long a prefix is kept in preference while a tool is at work. Most calls take seconds."""


@dataclass(slots=True, kw_only=True)
class Parked:
    """One prefix."""

    holder: int
    namespace: str
    length: int
    used_at: float
    tool_until: float = 0.0
    """Until when it is thought to wait for a tool's result."""
    owner: int | None = None
    """The suspended seq that it belongs to."""

    def worth(self, now: float) -> tuple[int, float]:
        """Return its rank among the parked; the least goes first."""
        if self.owner is not None:
            return (2, self.used_at)

        return (1 if now < self.tool_until else 0, self.used_at)


class Parking:
    """The parked prefixes by their id."""

    def __init__(self, holders: Iterable[int]) -> None:
        self._free = list(holders)
        self._parked: dict[int, Parked] = {}

    @property
    def is_full(self) -> bool:
        """Whether somebody must go before another can come."""
        return not self._free

    def __len__(self) -> int:
        return len(self._parked)

    def __contains__(self, holder: object) -> bool:
        return holder in self._parked

    def take_free(self) -> int:
        """Return an id to park in; it counts as taken once `add` names it."""
        return self._free[-1]

    def add(self, parked: Parked) -> None:
        """Park; the id is one that `take_free` gave."""
        self._free.remove(parked.holder)
        self._parked[parked.holder] = parked

    def remove(self, holder: int) -> Parked:
        """Forget a parked prefix; its id is free again."""
        self._free.append(holder)
        return self._parked.pop(holder)

    def get(self, holder: int) -> Parked | None:
        """Return what is parked under the id."""
        return self._parked.get(holder)

    def of(self, owner: int) -> Parked | None:
        """Return what belongs to a suspended seq."""
        return next((each for each in self._parked.values() if each.owner == owner), None)

    def all(self) -> list[Parked]:
        """Return everything, the most lately used first."""
        return sorted(self._parked.values(), key=lambda each: -each.used_at)

    def least(self, now: float, kept: Collection[int] = ()) -> Parked | None:
        """Return who goes next; never one of those to be kept."""
        candidates = [each for each in self._parked.values() if each.holder not in kept]
        return min(candidates, key=lambda each: each.worth(now), default=None)
