"""Facts of agents' runs as one line for the events screen. Pure."""

from runtime.core.agent_facts import (
    AgentCancelled,
    AgentFailed,
    AgentFinished,
    AgentIncomplete,
    AgentResumed,
    AgentStarted,
    AgentWaiting,
    AnyAgentFact,
    TriggerFailed,
    TriggerFired,
)
from tui.told import Told
from tui.words import clean, tally


def tell_agent(fact: AnyAgentFact, run: str) -> Told:
    """Return what the row says."""
    who = f"{clean(fact.agent)} {run}" if fact.agent else run
    match fact:
        case AgentStarted():
            return Told(who, f"at work with {fact.model}")
        case AgentWaiting():
            return Told(who, "waits for somebody's approval", "warn")
        case AgentResumed():
            return Told(who, "goes on after a restart" if fact.reason == "restart" else "goes on")
        case AgentFinished():
            done = f"{tally(fact.turns)} turns, {tally(fact.calls)} calls"
            return Told(who, f"done: {done}, {tally(fact.usage.total_tokens)} tokens", "good")
        case AgentIncomplete():
            return Told(who, f"ended by its limit: {clean(fact.reason)}", "warn")
        case AgentFailed():
            return Told(who, f"failed: {clean(fact.message)}", "bad")
        case AgentCancelled():
            return Told(who, f"cancelled: {clean(fact.reason)}", "warn")
        case TriggerFired():
            return Told(who, f"started by its trigger: {clean(fact.trigger)}")
        case TriggerFailed():
            return Told(who, f"could not be started by {clean(fact.trigger)}: {clean(fact.message)}", "bad")
