"""What a running server has of agents, given to the faces by the composition root."""

from typing import NamedTuple

from runtime.core.agents.book import FileBook
from runtime.core.agents.ports import AgentRuns, Records, RunStore, SecretBox, Sessions
from runtime.core.agents.starting import Starter
from runtime.core.agents.triggers.service import TriggerService
from runtime.core.recall import Care


class OpenBox:
    """Keeps secrets as they are: where a server was given no key, as in tests."""

    async def seal(self, secret: str) -> str:
        """Return it as it is."""
        return secret

    async def open(self, stored: str) -> str:
        """Return it as it is."""
        return stored

    def is_sealed(self, stored: str) -> bool:  # noqa: ARG002 - the port's
        """Say that nothing more can be done for it."""
        return True


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
    secrets: SecretBox = OpenBox()
    """Seals the secrets of webhooks before they are kept among the records."""
    care: Care | None = None
    """Of the database of all this; None: it cannot be looked after from here."""
