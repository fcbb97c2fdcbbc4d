"""What others learn of a run: facts on the bus as it moves on, and its session, which takes what was said.

A session gets a run's items before the run's last step is stored. After a crash in between, the run comes to
the same end with the same items, and a session takes an item once.
"""

import logging
from typing import Any

from runtime.core.agent_facts import (
    AgentCancelled,
    AgentFailed,
    AgentFinished,
    AgentIncomplete,
    AgentResumed,
    AgentStarted,
    AgentWaiting,
    AnyAgentFact,
)
from runtime.core.agents.fold import RunState
from runtime.core.agents.items import AnyItem
from runtime.core.agents.ports import Sessions
from runtime.core.agents.steps import TERMINAL, RunRecord
from runtime.core.bus import Bus
from runtime.core.errors import NotFound
from runtime.core.ids import PrincipalId, RunId, TenantId

logger = logging.getLogger(__name__)


class Endings:
    """Tells of runs, and lets sessions have what they said."""

    def __init__(self, bus: Bus, sessions: Sessions) -> None:
        self._bus = bus
        self._sessions = sessions
        self._last: dict[RunId, int] = {}

    def begun(self, record: RunRecord) -> None:
        """Tell that a run lives: for the first time, or again after a restart."""
        if record.steps <= 1 or record.status == "queued":
            fact: AnyAgentFact = AgentStarted(
                agent=record.agent,
                model=record.model,
                principal=PrincipalId(record.principal),
                trigger=record.trigger,
                session=record.session,
                parent=record.parent,
            )
            self._publish(record, fact)
        elif record.status != "waiting":
            self._publish(record, AgentResumed(agent=record.agent, reason="restart"))

    def moved(self, before: RunRecord, record: RunRecord) -> None:
        """Tell what has changed, if others are to know it."""
        if record.status == before.status and record.waits_for == before.waits_for:
            return
        if record.waits_for and record.status == "waiting":
            self._publish(record, AgentWaiting(agent=record.agent, approvals=record.waits_for))
        elif record.status in TERMINAL:
            self._publish(record, ended_fact(record))
            self._last.pop(record.id, None)
        elif before.waits_for and record.status == "in_progress":
            self._publish(record, AgentResumed(agent=record.agent, reason="answered"))

    async def ending(self, record: RunRecord, state: RunState) -> None:
        """Let the session have what was asked and what came. Raises StoreFull, StoreDamaged."""
        if record.session is None:
            return
        try:
            await self._sessions.add(TenantId(record.tenant), record.session, said_in(state))
        except NotFound:
            logger.info("a session was removed while it was continued", extra={"run_id": record.id})

    def _publish(self, record: RunRecord, fact: AnyAgentFact) -> None:
        envelope = self._bus.publish(
            fact, run_id=record.id, cause=self._last.get(record.id), tenant=TenantId(record.tenant)
        )
        self._last[record.id] = envelope.seq


def ended_fact(record: RunRecord) -> AnyAgentFact:
    """Return the fact of a run's end."""
    match record.status:
        case "failed":
            fault = record.fault
            return AgentFailed(
                **_shared(record),
                code=fault.code if fault else "internal_error",
                message=fault.message if fault else "",
            )
        case "incomplete":
            return AgentIncomplete(**_shared(record), reason=record.reason)
        case "cancelled":
            return AgentCancelled(**_shared(record), reason=record.reason)
        case _:
            return AgentFinished(**_shared(record))


def _shared(record: RunRecord) -> dict[str, Any]:
    names = ("agent", "turns", "calls", "usage", "trigger", "session", "parent")
    return {name: getattr(record, name) for name in names}


def said_in(state: RunState) -> list[AnyItem]:
    """Return what a run adds to its session: what was asked and all that came, in order."""
    return [*state.conversation[len(state.opened.context) :], *state.pending]
