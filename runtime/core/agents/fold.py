"""A run as the fold of its steps: what was asked and said, which calls are open, and what it has taken.

`apply` takes one step and nothing else decides what a run is: the machine, a restart, a fork, a replay and
whoever shows a run see the same state. What is not in a step (deltas, calls on their way) is not in here.
"""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from runtime.core.agents.items import Answered, AnyItem, Called, Compacted, Said, Wanted
from runtime.core.agents.plans import Plan, PlannedTool
from runtime.core.agents.steps import (
    AnyStep,
    CallAsked,
    CallBegun,
    CallEnded,
    ContextCompacted,
    ItemsAdded,
    PlanChanged,
    RunEnded,
    RunOpened,
    RunRecord,
    RunStatus,
    TurnBegun,
    TurnEnded,
)
from runtime.core.ids import ApprovalId, ModelId, RunId
from runtime.core.messages import Usage

_SHOWN_CHARACTERS = 120
"""Of the question and of the answer, in lists of runs."""

_UNDECIDED = "?"
"""What a hidden turn that gave nothing came to."""

CallPhase = Literal["open", "begun", "asked", "ended", "client"]
"""open: to be carried out · begun · asked: a person must answer · ended · client: the asker's to answer."""


@dataclass(slots=True)
class Place:
    """One place of the output; a call that Lar carries out and its result share one."""

    item: AnyItem
    result: Answered | None = None


@dataclass(slots=True)
class CallState:
    """One call of this run."""

    call: Called
    tool: PlannedTool | None
    """None where the plan of its turn has no such tool."""
    place: int
    phase: CallPhase
    attempts: int = 0
    approval: ApprovalId | None = None
    reason: str = ""
    is_repeat: bool = False

    @property
    def is_open(self) -> bool:
        """Whether Lar owes it a result."""
        return self.phase in ("open", "begun", "asked")


@dataclass(slots=True)
class RunState:
    """What a run has come to. `apply` is the only way to change it."""

    opened: RunOpened
    plan: Plan
    steps: int = 1
    conversation: list[AnyItem] = field(default_factory=list)
    """What a prompt is made of: context, input, and what came since, as a model is to hear it."""
    pending: list[AnyItem] = field(default_factory=list)
    """Heard at the next turn."""
    input: list[AnyItem] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    calls: dict[str, CallState] = field(default_factory=dict)
    turn: TurnBegun | None = None
    """The turn that has begun and not ended."""
    generations: int = 0
    """All turns that were begun, hidden ones and broken ones as well: the number of the next."""
    turns: int = 0
    """Turns that gave something."""
    usage: Usage = field(default_factory=Usage)
    last_usage: Usage = field(default_factory=Usage)
    """Of the last turn that spoke to the asker."""
    summary: Compacted | None = None
    dropped: int = 0
    """Items of the conversation that the summary stands for."""
    hidden: int = 0
    """Items of the conversation that were too many for the last prompt."""
    decision: str = ""
    """What a hidden turn came to, for the turn after it."""
    owes_turn: bool = True
    """Whether something has been said that no turn has answered."""
    draft: tuple[AnyItem, ...] = ()
    """An answer that is being judged."""
    is_judged: bool = False
    ended: RunEnded | None = None

    @property
    def model(self) -> ModelId:
        """The model that is asked next."""
        return self.plan.models[0]

    @property
    def status(self) -> RunStatus:
        """What the steps say; a run that has only been opened is queued."""
        if self.ended is not None:
            return self.ended.status

        if self.waits_for_persons():
            return "waiting"

        return "queued" if self.steps == 1 else "in_progress"

    def waits_for_persons(self, below: Container[str] = ()) -> bool:
        """Say whether there is nothing to do but to wait for persons.

        `below` are calls for other runs that do nothing else, either.
        """
        calls = self.open_calls if self.turn is None else []
        return bool(calls) and all(each.phase == "asked" or each.call.call_id in below for each in calls)

    @property
    def output(self) -> list[AnyItem]:
        """The output in order; the result of a call that Lar carried out stands right after it."""
        return [item for each in self.places for item in (each.item, each.result) if item is not None]

    @property
    def open_calls(self) -> list[CallState]:
        """Calls that Lar owes a result, in order."""
        return [each for each in self.calls.values() if each.is_open]

    @property
    def wanted(self) -> list[Wanted]:
        """Calls that the asker must allow by another request."""
        return [each.item for each in self.places if isinstance(each.item, Wanted)]

    @property
    def client_calls(self) -> list[CallState]:
        """Calls that wait for the asker."""
        return [each for each in self.calls.values() if each.phase == "client"]

    @property
    def calls_made(self) -> int:
        """Calls that Lar has begun."""
        return sum(each.attempts > 0 for each in self.calls.values())

    @property
    def hosted_made(self) -> int:
        """Of these, those that count for `max_tool_calls`."""
        return sum(each.attempts > 0 and is_hosted(each.tool) for each in self.calls.values())

    @property
    def prompt_items(self) -> list[AnyItem]:
        """The conversation after what was summarised and what is hidden."""
        return self.conversation[max(self.dropped, self.hidden) :]

    def apply(self, step: AnyStep) -> None:
        """Take the next step."""
        self.steps += 1
        match step:
            case RunOpened():
                raise ValueError("a run is opened once")
            case TurnBegun():
                self._begin_turn(step)
            case TurnEnded():
                self._end_turn(step)
            case CallBegun() | CallAsked() | CallEnded():
                self._move_call(step)
            case ItemsAdded():
                self._add_items(step)
            case PlanChanged():
                self.plan = step.plan
            case ContextCompacted():
                self._compact(step)
            case RunEnded():
                self._hear()
                self.turn = None
                self.ended = step

    def _hear(self) -> None:
        self.conversation += self.pending
        self.pending = []

    def _begin_turn(self, step: TurnBegun) -> None:
        self._hear()
        self.turn = step
        self.generations = step.turn + 1
        self.hidden = max(0, len(self.conversation) - step.prompt_items)

    def _end_turn(self, step: TurnEnded) -> None:
        purpose = "answer" if self.turn is None else self.turn.purpose
        self.turn = None
        self.usage = add_usage(self.usage, step.usage)
        if step.reason == "cancelled":
            self.places += [Place(item=each) for each in step.items]
            return

        if purpose != "answer":
            given = "".join(each.text for each in step.items if isinstance(each, Said))
            self.decision = given or _UNDECIDED
            self.is_judged = self.is_judged or purpose == "reflection"
            return

        self.turns += 1
        self.owes_turn = bool(self.pending)
        self.last_usage = step.usage
        self.decision = ""
        if step.is_draft:
            self.draft = step.items
        else:
            self.draft = ()
            self._put(step.items)

    def _put(self, items: Sequence[AnyItem]) -> None:
        for item in items:
            self.conversation.append(item)
            self.places.append(Place(item=item))
            if isinstance(item, Called) and item.status == "completed":
                self.calls[item.call_id] = CallState(
                    call=item,
                    tool=next((each for each in self.plan.tools if each.name == item.name), None),
                    place=len(self.places) - 1,
                    phase="client" if item.by_client else "open",
                )

    def _move_call(self, step: CallBegun | CallAsked | CallEnded) -> None:
        call = self.calls[step.result.call_id if isinstance(step, CallEnded) else step.call_id]
        match step:
            case CallBegun():
                call.phase, call.attempts = "begun", step.attempt
            case CallAsked():
                known = call.approval if call.phase == "asked" else None  # an answered one is no answer again
                call.phase, call.reason, call.is_repeat = "asked", step.reason, step.is_repeat
                call.approval = step.approval or known
            case CallEnded():
                call.phase = "ended"
                self.owes_turn = True
                self.places[call.place] = Place(item=ended_call(call.call, step.result), result=step.result)
                self.conversation.append(step.result)

    def _add_items(self, step: ItemsAdded) -> None:
        if not step.is_output:
            self.input += step.items
            self.pending += step.items
            self.owes_turn = True
            return

        if self.draft and self.draft[0] in step.items:
            self.draft = ()
        self._put(step.items)

    def _compact(self, step: ContextCompacted) -> None:
        assert isinstance(step.summary, Compacted)
        self.summary, self.dropped, self.hidden = step.summary, step.dropped, 0
        self.last_usage = Usage()
        if step.is_output:
            self.places.append(Place(item=step.summary))


def fold(steps: Sequence[AnyStep]) -> RunState:
    """Return what a run has come to. Raises ValueError where the steps do not begin a run."""
    if not steps or not isinstance(steps[0], RunOpened):
        raise ValueError("the first step of a run opens it")

    opened = steps[0]
    state = RunState(
        opened=opened,
        plan=opened.plan,
        conversation=[*opened.context, *opened.input],
        input=list(opened.input),
    )
    for step in steps[1:]:
        state.apply(step)
    return state


def opening_record(
    run: RunId,
    opened: RunOpened,
    *,
    previous: RunId | None = None,
    is_background: bool = False,
    is_stored: bool = True,
) -> RunRecord:
    """Return the record of a run that has just been opened."""
    plan = opened.plan
    return RunRecord(
        id=run,
        tenant=plan.principal.tenant,
        principal=plan.principal.id,
        agent=plan.agent,
        model=plan.models[0],
        status="queued",
        created_at=opened.at,
        session=opened.session,
        previous=previous,
        parent=opened.parent,
        forked_from=opened.forked_from,
        trigger=opened.trigger,
        is_background=is_background,
        is_stored=is_stored,
        steps=1,
        title=_beginning(_first_text(opened.input, "user")),
        labels=plan.labels,
    )


def record_of(state: RunState, base: RunRecord) -> RunRecord:
    """Return the record of a run as it is now; what no step says is taken from the record before."""
    ended = state.ended
    answer = _first_text((each.item for each in reversed(state.places)), "assistant")
    return msgspec.structs.replace(
        base,
        model=state.model,
        status=state.status,
        ended_at=None if ended is None else ended.at,
        steps=state.steps,
        turns=state.turns,
        calls=state.calls_made,
        usage=state.usage,
        waits_for=tuple(
            each.approval
            for each in state.calls.values()
            if each.phase == "asked" and each.approval is not None
        ),
        fault=None if ended is None else ended.fault,
        reason="" if ended is None else ended.reason,
        answer=_beginning(answer),
    )


def is_hosted(tool: PlannedTool | None) -> bool:
    """Say whether calls of a tool count for `max_tool_calls`."""
    return tool is not None and tool.executor in ("hub", "hosted")


def ended_call(call: Called, result: Answered) -> Called:
    """Return a call as it is shown with its result."""
    return msgspec.structs.replace(call, status="failed") if result.is_error else call


def add_usage(one: Usage, other: Usage) -> Usage:
    """Return the sum of two usages."""
    return Usage(**{name: getattr(one, name) + getattr(other, name) for name in Usage.__struct_fields__})


def _first_text(items: Iterable[AnyItem], role: str) -> str:
    return next((each.text for each in items if isinstance(each, Said) and each.role == role), "")


def _beginning(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_CHARACTERS else f"{line[: _SHOWN_CHARACTERS - 1]}…"
