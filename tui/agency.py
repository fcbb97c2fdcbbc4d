"""The part of the reducer that is about agents and the list of their runs. Pure; `tui.view` is the door.

Nothing is fetched before somebody looks. Facts move the runs that are known; one that is new is listed.
"""

import msgspec
from msgspec.structs import replace

from runtime.core.agent_facts import (
    AgentCancelled,
    AgentEnded,
    AgentFact,
    AgentFailed,
    AgentFinished,
    AgentIncomplete,
    AgentResumed,
    AgentStarted,
    AgentWaiting,
)
from runtime.core.events import Envelope
from tui.agents import AgentInfo, Agents, RunFault, RunInfo
from tui.state import Trouble


class AgentsWanted(msgspec.Struct, frozen=True, kw_only=True):
    """The person wants to see the agents and their runs as they are now."""


class AgentsCame(msgspec.Struct, frozen=True, kw_only=True):
    """They came, asked for at a count of the want."""

    agents: tuple[AgentInfo, ...]
    runs: tuple[RunInfo, ...]
    asked: int


class AgentsRefused(msgspec.Struct, frozen=True, kw_only=True):
    """They could not be listed."""

    trouble: Trouble


class AgentBusy(msgspec.Struct, frozen=True, kw_only=True):
    """An agent is being paused, taken up again or given a task."""

    name: str


class AgentDone(msgspec.Struct, frozen=True, kw_only=True):
    """That is over; what came of it is listed anew."""

    name: str


AgencyMessage = AgentsWanted | AgentsCame | AgentsRefused | AgentBusy | AgentDone


def tell_agents(agents: Agents, message: AgencyMessage) -> Agents:
    """Return what is known of agents after a message."""
    match message:
        case AgentsWanted():
            return replace(agents, want=agents.want.more())
        case AgentsCame():
            return replace(
                agents,
                agents=message.agents,
                runs=tuple(_newer(agents, each) for each in message.runs),
                want=agents.want.met(message.asked),
                trouble="",
            )
        case AgentsRefused():
            met = agents.want.met(agents.want.asked)
            return replace(agents, want=met, trouble=message.trouble.message)
        case AgentBusy():
            return replace(agents, busy=agents.busy | {message.name})
        case AgentDone():
            return replace(agents, busy=agents.busy - {message.name}, want=agents.want.more())


def hear_agents(agents: Agents, envelope: Envelope) -> Agents:
    """Return what is known after a fact."""
    fact = envelope.event
    if not isinstance(fact, AgentFact) or not agents.is_known or envelope.run_id is None:
        return agents

    known = next((each for each in agents.runs if each.id == envelope.run_id), None)
    if known is None:
        return replace(agents, want=agents.want.more())
    moved = moved_on(known, fact, envelope.at)
    return replace(agents, runs=tuple(moved if each is known else each for each in agents.runs))


def moved_on(run: RunInfo, fact: AgentFact, at: float) -> RunInfo:
    """Return a run after a fact about it; one that is over stays over."""
    if run.is_over:
        return run
    match fact:
        case AgentStarted() | AgentResumed():
            return replace(run, status="in_progress", waits_for=())
        case AgentWaiting():
            return replace(run, status="waiting", waits_for=fact.approvals)
        case AgentEnded():
            ended = replace(
                run, ended_at=at, turns=fact.turns, calls=fact.calls, usage=fact.usage, waits_for=()
            )
            return _ended(ended, fact)
        case _:
            return run


def _ended(run: RunInfo, fact: AgentEnded) -> RunInfo:
    match fact:
        case AgentFinished():
            return replace(run, status="completed")
        case AgentIncomplete():
            return replace(run, status="incomplete", reason=fact.reason)
        case AgentCancelled():
            return replace(run, status="cancelled", reason=fact.reason)
        case AgentFailed():
            return replace(run, status="failed", fault=RunFault(code=fact.code, message=fact.message))
        case _:
            return run


def _newer(agents: Agents, listed: RunInfo) -> RunInfo:
    """Return the known run where the listing is from before its end."""
    known = next((each for each in agents.runs if each.id == listed.id), None)
    return known if known is not None and known.is_over and not listed.is_over else listed
