"""The durable steps of a run. A step is stored before it takes effect; a run is the fold of its steps.

    RunOpened ─ TurnBegun ─ TurnEnded ─ CallBegun ─ CallEnded ─ TurnBegun ─ … ─ RunEnded (exactly one, last)

A step that begins something and has no end after a crash tells what must be done: a turn is generated anew,
a call is repeated only where its tool is idempotent, else a person decides.
"""

from typing import Literal

import msgspec

from runtime.core.agents.items import Answered, AnyItem
from runtime.core.agents.plans import Plan
from runtime.core.errors import Fault
from runtime.core.ids import ApprovalId, ModelId, RunId
from runtime.core.messages import FinishReason, Usage

TurnPurpose = Literal["answer", "decision", "reflection"]
"""What a model is asked for. The last two are hidden: what they give is no part of the conversation."""
RunStatus = Literal["queued", "in_progress", "waiting", "completed", "incomplete", "failed", "cancelled"]
"""waiting: for a person's approval. The last four are ends."""
TERMINAL: frozenset[RunStatus] = frozenset({"completed", "incomplete", "failed", "cancelled"})


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="step"):
    """Base of all steps. Times are seconds since the epoch."""

    at: float


class RunOpened(Step, frozen=True, kw_only=True, omit_defaults=True, tag="run.opened"):
    """The run exists."""

    plan: Plan
    input: tuple[AnyItem, ...]
    """What this run was asked."""
    context: tuple[AnyItem, ...] = ()
    """What stood before: the session's history, or that of the previous response."""
    session: str | None = None
    parent: RunId | None = None
    """The run whose agent called this one."""
    parent_call: str | None = None
    forked_from: RunId | None = None
    forked_at: int | None = None
    """Steps that were taken over."""
    trigger: str = ""
    """What started it: `api`, `cli`, `cron`, …"""


class TurnBegun(Step, frozen=True, kw_only=True, omit_defaults=True, tag="turn.begun"):
    """A model is asked."""

    turn: int
    model: ModelId
    prompt_items: int
    """Items of the conversation that the prompt is made of."""
    recalled: tuple[str, ...] = ()
    """Ids of memories and passages that were put into it."""
    purpose: TurnPurpose = "answer"


class TurnEnded(Step, frozen=True, kw_only=True, omit_defaults=True, tag="turn.ended"):
    """What the model gave."""

    turn: int
    items: tuple[AnyItem, ...]
    usage: Usage
    reason: FinishReason
    """cancelled: it broke or was given up; its items were seen by readers, but no model hears of them."""
    is_draft: bool = False
    """The answer is judged before it is given; ItemsAdded gives it, or another turn does."""


class CallBegun(Step, frozen=True, kw_only=True, omit_defaults=True, tag="call.begun"):
    """A call that Lar carries out is about to be made."""

    call_id: str
    attempt: int = 1


class CallAsked(Step, frozen=True, kw_only=True, omit_defaults=True, tag="call.asked"):
    """A person must answer before the call is made (or repeated)."""

    call_id: str
    approval: ApprovalId | None = None
    reason: str = ""
    is_repeat: bool = False
    """Nobody knows whether the call was made before the server was killed."""


class CallEnded(Step, frozen=True, kw_only=True, omit_defaults=True, tag="call.ended"):
    """The call has its result, an error of any kind included."""

    result: Answered


class ItemsAdded(Step, frozen=True, kw_only=True, omit_defaults=True, tag="items.added"):
    """Items that no model wrote: lists of servers' tools, questions to the person, what steers the run."""

    items: tuple[AnyItem, ...]
    is_output: bool = True
    """Whether they are part of the run's output; steering is input."""


class PlanChanged(Step, frozen=True, kw_only=True, omit_defaults=True, tag="plan.changed"):
    """Another agent goes on (a handover), or another model does (a fallback)."""

    plan: Plan
    reason: str


class ContextCompacted(Step, frozen=True, kw_only=True, omit_defaults=True, tag="context.compacted"):
    """From now on prompts are made of this summary and what follows the first `dropped` items."""

    summary: AnyItem
    dropped: int
    is_output: bool = False
    """Whether the asker wanted to see it (`context_management`)."""


class RunEnded(Step, frozen=True, kw_only=True, omit_defaults=True, tag="run.ended"):
    """The end."""

    status: Literal["completed", "incomplete", "failed", "cancelled"]
    reason: str = ""
    """Of incomplete and cancelled: max_output_tokens, turns, calls, tokens, seconds, loop, repetition, …"""
    fault: Fault | None = None


AnyStep = (
    RunOpened
    | TurnBegun
    | TurnEnded
    | CallBegun
    | CallAsked
    | CallEnded
    | ItemsAdded
    | PlanChanged
    | ContextCompacted
    | RunEnded
)


class RunRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run as lists show it; follows from its steps and is stored with them."""

    id: RunId
    tenant: str
    principal: str
    agent: str | None = None
    model: ModelId
    status: RunStatus
    created_at: float
    ended_at: float | None = None
    session: str | None = None
    previous: RunId | None = None
    """The run whose conversation this one continues."""
    parent: RunId | None = None
    forked_from: RunId | None = None
    trigger: str = ""
    is_background: bool = False
    is_stored: bool = True
    """False: forgotten after its end."""
    steps: int = 0
    turns: int = 0
    calls: int = 0
    usage: Usage = Usage()
    """Of all turns."""
    waits_for: tuple[ApprovalId, ...] = ()
    fault: Fault | None = None
    reason: str = ""
    title: str = ""
    """The first words of what was asked."""
    answer: str = ""
    """The first words of the final answer."""
    labels: dict[str, str] = {}
