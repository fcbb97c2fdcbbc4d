"""What the machine of an agent's run is told, and what it wants done; the seam between machine and shell.

The shell performs commands in order. `Store` comes before everything that follows from its steps: the shell
goes on only once they are on disk. Inputs may come late or twice; then they change nothing.
"""

import msgspec

from runtime.core.agents.happenings import AnyHappening
from runtime.core.agents.items import Answered, AnyItem, Called
from runtime.core.agents.plans import Plan, PlannedTool
from runtime.core.agents.steps import AnyStep, RunRecord
from runtime.core.errors import Fault
from runtime.core.ids import ApprovalId, ModelId
from runtime.core.messages import ChatRequest, Output, Usage


class Told(msgspec.Struct, frozen=True, kw_only=True, tag_field="told"):
    """Base of what a run is told."""


class Begin(Told, frozen=True, kw_only=True):
    """Begin, or go on from the steps that the machine was made of (after a restart, a fork)."""

    context_tokens: int | None = None
    """Of the model, where it is known."""
    seen: tuple[AnyHappening, ...] = ()
    """All that readers of the run were told before the crash: the machine tells them what they missed."""
    pictures: dict[str, bytes] = {}
    """By file id: pictures that items name and do not hold."""


class Gave(Told, frozen=True, kw_only=True):
    """The model of this turn gave an output."""

    turn: int
    output: Output


class TurnRefused(Told, frozen=True, kw_only=True):
    """The generation could not be begun, or it broke: no model, no room, a prompt that is too long."""

    turn: int
    fault: Fault


class Returned(Told, frozen=True, kw_only=True):
    """A call has its result, or it waits for a person (code `asked`)."""

    call_id: str
    result: Answered
    approval: ApprovalId | None = None


class Moved(Told, frozen=True, kw_only=True):
    """A call is further than before."""

    call_id: str
    message: str
    done: float = 0.0
    total: float | None = None


class PersonDecided(Told, frozen=True, kw_only=True):
    """The person has answered about a call, or it was too late (then it is a no with this reason)."""

    call_id: str
    is_approved: bool
    reason: str = ""


class PersonAsked(Told, frozen=True, kw_only=True):
    """The question to the person that `AskPerson` wanted has this approval."""

    call_id: str
    approval: ApprovalId


class HandedOver(Told, frozen=True, kw_only=True):
    """What a call of a `handover` tool comes to: another agent goes on, by this plan."""

    call_id: str
    plan: Plan


class Steered(Told, frozen=True, kw_only=True):
    """Somebody adds to what was asked; it is heard at the next turn."""

    items: tuple[AnyItem, ...]


class Added(Told, frozen=True, kw_only=True):
    """Items of the output that no model wrote, such as the tools of a server that was named."""

    items: tuple[AnyItem, ...]


class CancelAsked(Told, frozen=True, kw_only=True):
    """Somebody wants the run to stop."""

    reason: str


class CallIdles(Told, frozen=True, kw_only=True):
    """The run that a call has begun does nothing but wait for persons, or goes on."""

    call_id: str
    is_idle: bool


class TimeOver(Told, frozen=True, kw_only=True):
    """`limits.seconds` have gone by."""


class Summarised(Told, frozen=True, kw_only=True):
    """The summary that was wanted; a fault where none could be made."""

    text: str = ""
    fault: Fault | None = None
    usage: Usage = Usage()
    """What it took."""


AnyTold = (
    Begin
    | Gave
    | TurnRefused
    | Returned
    | Moved
    | PersonDecided
    | PersonAsked
    | HandedOver
    | CallIdles
    | Steered
    | Added
    | CancelAsked
    | TimeOver
    | Summarised
)


class Command(msgspec.Struct, frozen=True, kw_only=True, tag_field="command"):
    """Base of what a machine wants done."""


class Store(Command, frozen=True, kw_only=True):
    """Store these steps, and the record as it is after them."""

    steps: tuple[AnyStep, ...]
    record: RunRecord


class Tell(Command, frozen=True, kw_only=True):
    """Tell those who follow the run."""

    happening: AnyHappening


class Generate(Command, frozen=True, kw_only=True):
    """Ask the model. Outputs come back as `Gave`, a failure as `TurnRefused`."""

    turn: int
    request: ChatRequest


class StopGenerating(Command, frozen=True, kw_only=True):
    """Give the turn up; its `Ended` still comes."""

    turn: int


class MakeCall(Command, frozen=True, kw_only=True):
    """Carry a call out; `Returned` comes back, once."""

    call: Called
    tool: PlannedTool
    waits_for_person_s: float = 0.0


class StopCall(Command, frozen=True, kw_only=True):
    """Cancel a call that runs."""

    call_id: str


class AskPerson(Command, frozen=True, kw_only=True):
    """Ask through the gate's approvals; `PersonDecided` comes back whenever there is an answer."""

    call: Called
    tool: PlannedTool
    reason: str
    approval: ApprovalId | None = None
    """The question that was put already: wait for its answer, and ask anew only where it is gone."""


class Summarise(Command, frozen=True, kw_only=True):
    """Have these items summarised by this model; `Summarised` comes back."""

    model: ModelId
    items: tuple[AnyItem, ...]
    limit_tokens: int


class Finish(Command, frozen=True, kw_only=True):
    """Nothing follows: release what the run holds. Its last steps are stored, its last happening told."""

    record: RunRecord


AnyCommand = Store | Tell | Generate | StopGenerating | MakeCall | StopCall | AskPerson | Summarise | Finish
