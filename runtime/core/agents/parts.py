"""What a running server has of agents, given to the faces by the composition root."""

from typing import NamedTuple

from runtime.core.agents.book import FileBook
from runtime.core.agents.ports import AgentRuns, Records, RunStore, Sessions
from runtime.core.agents.starting import Starter
from runtime.core.agents.triggers.service import TriggerService


class AgentParts(NamedTuple):
    """The agents of a running server."""

    runs: AgentRuns
    store: RunStore
    sessions: Sessions
    records: Records
    book: FileBook
    starter: Starter
    triggers: TriggerService | None = None
    """None: nothing but people and agents starts agents."""
