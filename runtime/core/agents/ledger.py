"""What the parts of a run's machine share: the state, and the commands that this input leads to, in order.

A step that is stored is folded at once: whoever reads the state after `store` sees the run as it is then.
"""

from collections.abc import Sequence

from runtime.core.agents.fold import RunState, fold, record_of
from runtime.core.agents.happenings import AnyHappening, StatusChanged
from runtime.core.agents.items import Answered, AnyItem
from runtime.core.agents.moves import AnyCommand, Store, Tell
from runtime.core.agents.outputs import Mint
from runtime.core.agents.steps import AnyStep, RunRecord, RunStatus
from runtime.core.agents.telling import whole_item


class Ledger:
    """One run's state, and what is to be done about it."""

    def __init__(self, base: RunRecord, steps: Sequence[AnyStep], mint: Mint) -> None:
        self.state: RunState = fold(steps)
        self.mint = mint
        self.now = 0.0
        self._base = base
        self._todo: list[AnyCommand] = []
        self._status: RunStatus | None = None

    @property
    def record(self) -> RunRecord:
        """The run as it is now."""
        return record_of(self.state, self._base)

    def take(self) -> list[AnyCommand]:
        """Return what is to be done since the last time."""
        todo, self._todo = self._todo, []
        return todo

    def order(self, *commands: AnyCommand) -> None:
        """Want something done."""
        self._todo += commands

    def store(self, *steps: AnyStep) -> None:
        """Take steps and want them stored."""
        for step in steps:
            self.state.apply(step)
        self._todo.append(Store(steps=steps, record=self.record))

    def tell(self, *happenings: AnyHappening) -> None:
        """Tell those who follow."""
        self._todo += [Tell(happening=each) for each in happenings]

    def tell_status(self, status: RunStatus) -> None:
        """Tell how the run stands, where that is new."""
        if status != self._status:
            self._status = status
            self.tell(StatusChanged(status=status, model=self.state.model))

    def know_status(self, status: RunStatus) -> None:
        """Take what readers were told of how the run stands."""
        self._status = status

    def tell_whole(self, place: int, item: AnyItem, result: Answered | None = None) -> None:
        """Tell of an item that comes all at once."""
        self.tell(*whole_item(place, item, result))
