"""Many changes in a short time start an agent once: they are gathered until it is quiet. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

QUIET_S = 5.0
"""Without a change for so long, what was gathered is told."""
LONGEST_S = 60.0
"""After the first change it is told at last, however busy it is."""
_MOST_NAMES = 20


class Gathered(NamedTuple):
    """What has changed since the agent was started last."""

    first_at: float
    last_at: float
    names: tuple[str, ...]
    """What changed, each with a sign: + new or changed, - gone."""
    changes: int

    @property
    def due_at(self) -> float:
        """When it is to be told."""
        return min(self.last_at + QUIET_S, self.first_at + LONGEST_S)

    @property
    def text(self) -> str:
        """What the agent is told."""
        return told_names(self.names, self.changes)


def told_names(names: Sequence[str], count: int) -> str:
    """Return the first of so many names as one line."""
    shown = names[:_MOST_NAMES]
    more = f", and {count - len(shown)} more" if count > len(shown) else ""
    return f"{', '.join(shown)}{more}"


def gather(before: Gathered | None, name: str, now: float) -> Gathered:
    """Return what has changed with one change more."""
    if before is None:
        return Gathered(now, now, (name,), 1)
    if name in before.names:
        return before._replace(last_at=now)
    names = (*before.names, name) if len(before.names) < _MOST_NAMES else before.names
    return Gathered(before.first_at, now, names, before.changes + 1)
