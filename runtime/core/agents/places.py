"""Which runs live and which wait: so many at a time, those of waiting persons first, principals by turns."""

from collections import OrderedDict, deque

from runtime.core.ids import RunId
from runtime.core.messages import Priority

_ORDER: tuple[Priority, ...] = ("interactive", "agent", "batch")


class Places:
    """So many places, and who waits for one."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken: set[RunId] = set()
        self._waiting: dict[Priority, OrderedDict[str, deque[RunId]]] = {
            each: OrderedDict() for each in _ORDER
        }
        self.waiting = 0
        """How many wait."""

    @property
    def taken(self) -> int:
        """How many live."""
        return len(self._taken)

    @property
    def is_full(self) -> bool:
        """Whether the next one waits."""
        return len(self._taken) >= self._limit

    def enter(self, run: RunId, principal: str, priority: Priority) -> bool:
        """Take a place, or wait for one; say whether it was taken."""
        if len(self._taken) < self._limit and not self.waiting:
            self._taken.add(run)
            return True

        self._waiting[priority].setdefault(principal, deque()).append(run)
        self.waiting += 1
        return False

    def force(self, run: RunId) -> None:
        """Take a place beyond the limit: one that goes on, or is to end, does not wait again."""
        self.withdraw(run)
        self._taken.add(run)

    def withdraw(self, run: RunId) -> None:
        """Wait no more."""
        for of_priority in self._waiting.values():
            for principal, runs in list(of_priority.items()):
                if run in runs:
                    runs.remove(run)
                    self.waiting -= 1
                    if not runs:
                        del of_priority[principal]

    def leave(self, run: RunId) -> list[RunId]:
        """Give a place back; return who has one now."""
        self._taken.discard(run)
        followed: list[RunId] = []
        while len(self._taken) < self._limit and (next_run := self._pop()) is not None:
            self._taken.add(next_run)
            followed.append(next_run)
        return followed

    def _pop(self) -> RunId | None:
        for priority in _ORDER:
            of_priority = self._waiting[priority]
            if not of_priority:
                continue
            principal, runs = next(iter(of_priority.items()))
            run = runs.popleft()
            self.waiting -= 1
            if runs:
                of_priority.move_to_end(principal)
            else:
                del of_priority[principal]
            return run
        return None
