"""Words of agents and their runs, as the API tells them: definitions, records, steps, happenings.

Only what the console shows is read, and each kind of step, item and happening into one struct with all fields
left out that it does not have: what a newer server adds is passed over. All texts are foreign.
"""

from typing import Any

import msgspec

from runtime.core.messages import Usage
from tui.reach import Want

OVER = frozenset({"completed", "incomplete", "failed", "cancelled"})
"""Statuses of a run that has ended."""


class AgentTrigger(msgspec.Struct, frozen=True, kw_only=True):
    """What starts an agent by itself."""

    cron: str | None = None
    every: str | None = None
    webhook: str | None = None
    files: str | None = None
    collection: str | None = None
    after: str | None = None


class AgentFile(msgspec.Struct, frozen=True, kw_only=True):
    """An agent's definition."""

    name: str
    description: str = ""
    model: str | tuple[str, ...] = ()
    triggers: tuple[AgentTrigger, ...] = ()

    @property
    def models(self) -> tuple[str, ...]:
        """The models in the order in which they are tried; none: the server's default."""
        return (self.model,) if isinstance(self.model, str) else self.model


class AgentInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An agent and how it stands."""

    agent: AgentFile
    is_paused: bool = False
    is_shipped: bool = False
    faults: tuple[str, ...] = ()
    last_run: str | None = None

    @property
    def name(self) -> str:
        """Its name."""
        return self.agent.name


class RunFault(msgspec.Struct, frozen=True, kw_only=True):
    """What broke."""

    code: str
    message: str = ""


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A run as lists show it."""

    id: str
    model: str
    status: str
    created_at: float
    agent: str | None = None
    ended_at: float | None = None
    session: str | None = None
    parent: str | None = None
    forked_from: str | None = None
    trigger: str = ""
    turns: int = 0
    calls: int = 0
    usage: Usage = Usage()
    waits_for: tuple[str, ...] = ()
    fault: RunFault | None = None
    reason: str = ""
    title: str = ""

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.status in OVER


class ItemPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a message or of a result."""

    type: str
    text: str = ""
    filename: str = ""


class RunItem(msgspec.Struct, frozen=True, kw_only=True):
    """What was said, thought, called or answered; `item` says which."""

    item: str
    id: str
    role: str = ""
    author: str | None = None
    parts: tuple[ItemPart, ...] = ()
    text: str = ""
    call_id: str = ""
    name: str = ""
    arguments: str = ""
    server: str = ""
    tool: str = ""
    by_client: bool = True
    structured: Any = None
    is_error: bool = False
    code: str = ""
    tools: tuple[dict[str, Any], ...] = ()
    error: str | None = None
    is_approved: bool = False
    reason: str = ""
    summary: Any = None
    """Of a compaction its text; of a thought a list."""

    @property
    def words(self) -> str:
        """All that is text in it."""
        named = (each.text or (f"[{each.type} {each.filename}]".replace(" ]", "]")) for each in self.parts)
        return "\n".join(named) if self.parts else self.text


class RunPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is to do it with."""

    models: tuple[str, ...] = ()
    agent: str | None = None
    instructions: str = ""
    tools: tuple[dict[str, Any], ...] = ()


class RunStep(msgspec.Struct, frozen=True, kw_only=True):
    """A durable step; `step` says which."""

    step: str
    at: float
    plan: RunPlan | None = None
    input: tuple[RunItem, ...] = ()
    context: tuple[RunItem, ...] = ()
    items: tuple[RunItem, ...] = ()
    summary: RunItem | None = None
    result: RunItem | None = None
    trigger: str = ""
    forked_from: str | None = None
    forked_at: int | None = None
    turn: int = 0
    model: str = ""
    prompt_items: int = 0
    recalled: tuple[str, ...] = ()
    purpose: str = "answer"
    usage: Usage = Usage()
    reason: str = ""
    call_id: str = ""
    attempt: int = 1
    approval: str | None = None
    is_repeat: bool = False
    is_draft: bool = False
    dropped: int = 0
    status: str = ""
    fault: RunFault | None = None


class RunHappening(msgspec.Struct, frozen=True, kw_only=True):
    """How a run moves on while it comes about; `happening` says which kind it is."""

    happening: str
    item: RunItem | None = None
    item_id: str = ""
    delta: str = ""
    call_id: str = ""
    stage: str = ""
    message: str = ""
    record: RunInfo | None = None


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay came to."""

    steps: int
    is_same: bool
    first_difference: int | None = None
    """The place of the step, from 0."""
    told: str = ""


class Agents(msgspec.Struct, frozen=True, kw_only=True):
    """The agents and the newest runs, as far as somebody has looked."""

    agents: tuple[AgentInfo, ...] = ()
    runs: tuple[RunInfo, ...] = ()
    """The newest first."""
    busy: frozenset[str] = frozenset()
    """Agents that are being paused, taken up again or given a task."""
    want: Want = Want()
    trouble: str = ""

    @property
    def is_known(self) -> bool:
        """Whether somebody has looked."""
        return self.want.had > 0


class Growing(msgspec.Struct, frozen=True, kw_only=True):
    """An item that is coming about."""

    item: RunItem
    text: str = ""
    """Of a call its arguments."""


class OpenRun(msgspec.Struct, frozen=True, kw_only=True):
    """The run that is looked at."""

    id: str = ""
    """Empty: none."""
    info: RunInfo | None = None
    steps: tuple[RunStep, ...] = ()
    growing: tuple[Growing, ...] = ()
    moves: tuple[tuple[str, str], ...] = ()
    """Of calls under way: their id and how far they say they are."""
    seen: int = -1
    """The number of the newest happening that was heard."""
    want: Want = Want()
    lost: str = ""
    """Why it cannot be followed at the moment; empty: it is, or is over."""
    trouble: str = ""
    replayed: Replayed | None = None
