"""What triggers are called where their marks are kept. One that is written differently is another one."""

import hashlib

import msgspec

from runtime.core.agents.definition import Agent, Trigger

_KINDS = ("cron", "every", "webhook", "files", "collection", "after")


def kind_of(trigger: Trigger) -> str:
    """Return what starts it."""
    return next(name for name in _KINDS if getattr(trigger, name) is not None)


def key_of(agent: Agent, trigger: Trigger) -> str:
    """Return the trigger's key: what it is and when, not what it says."""
    kind = kind_of(trigger)
    what = [kind, getattr(trigger, kind), trigger.timezone, trigger.when]
    return f"{agent.name}/{kind}-{hashlib.sha256(msgspec.json.encode(what)).hexdigest()[:12]}"


def session_key(agent: Agent, name: str) -> str:
    """Return the key of a conversation that a trigger's runs share."""
    return f"{agent.name}/{name}"
