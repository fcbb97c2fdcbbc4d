"""What can be told of a run whose life is over, or that lives nowhere: from its steps and what was stored."""

from collections.abc import Sequence

from runtime.core.agents.builtins import Search
from runtime.core.agents.machine import AgentMachine
from runtime.core.agents.moves import Begin, Tell
from runtime.core.agents.outputs import Mint
from runtime.core.agents.ports import Numbered
from runtime.core.agents.steps import AnyStep, RunRecord


def whole_story(
    record: RunRecord, steps: Sequence[AnyStep], stored: Sequence[Numbered], mint: Mint, search: Search
) -> list[Numbered]:
    """Return all happenings of an ended run: those that were stored, then what a crash has left untold."""
    machine = AgentMachine(record, steps, mint, search)
    commands = machine.handle(Begin(seen=tuple(each.happening for each in stored)), record.created_at)
    untold = [each.happening for each in commands if isinstance(each, Tell)]
    first = stored[-1].number + 1 if stored else 0
    return [*stored, *(Numbered(first + place, each) for place, each in enumerate(untold))]
