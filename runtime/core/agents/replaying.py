"""A run lived again by the machine on what was recorded: the same inputs must lead to the same steps. Pure.

Each recorded step says what the machine was told before it. What the machine does is held against the
record; the first difference ends the replay.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence

import msgspec

from runtime.core.agents.builtins import Search
from runtime.core.agents.calls import CUT_OFF
from runtime.core.agents.happenings import AnyHappening
from runtime.core.agents.items import Answered, AnyItem, Called, Listed, Said, Text, Thought, Wanted
from runtime.core.agents.machine import AgentMachine
from runtime.core.agents.moves import (
    Added,
    AnyTold,
    Begin,
    CancelAsked,
    Gave,
    HandedOver,
    PersonAsked,
    PersonDecided,
    Returned,
    Steered,
    Store,
    Summarised,
    Tell,
    TimeOver,
    TurnRefused,
)
from runtime.core.agents.plans import Plan
from runtime.core.agents.ports import Replayed
from runtime.core.agents.recovering import BROKEN
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
    TurnBegun,
    TurnEnded,
)
from runtime.core.agents.telling import whole_item
from runtime.core.errors import Fault, FaultCode
from runtime.core.ids import ModelId
from runtime.core.messages import Began, Delta, Ended, Output, ToolCallDelta, Usage

_UNKNOWN = Fault(code="engine_failed", message="What broke was not recorded.")
_NO_MODEL = Fault(code="model_broken", message="Why the model could not be had was not recorded.")
_TOO_LONG = Fault(code="context_length_exceeded", message="The prompt was too long.")
Context = Callable[[ModelId], int | None]
_MOST_IN_VAIN = 3
"""Inputs that change nothing, until the replay ends: what was recorded does not come about."""


def _unknown(model: ModelId) -> None:
    del model


def replay_steps(
    record: RunRecord, steps: Sequence[AnyStep], search: Search, context_tokens: Context = _unknown
) -> Replayed:
    """Return what a replay of a run comes to. `context_tokens` says how much fits into a model."""
    return _Replay(record, steps, search, context_tokens).run()


class _Replay:
    def __init__(
        self, record: RunRecord, steps: Sequence[AnyStep], search: Search, context_tokens: Context
    ) -> None:
        self._record = record
        self._context_tokens = context_tokens
        self._search = search
        self._steps = steps
        self._minted = _ids_of(steps)
        self._unknown = 0
        opening = 2 if len(steps) > 1 and _comes_first(steps[1]) else 1
        self._machine = AgentMachine(record, steps[:opening], self._mint, search)
        self._done: list[AnyStep] = list(steps[:opening])
        self._told: list[AnyHappening] = []

    def run(self) -> Replayed:
        told: AnyTold | None = self._begin()
        in_vain = 0
        while told is not None and in_vain < _MOST_IN_VAIN:
            place = len(self._done)
            self._tell(told, place)
            difference = self._compare()
            if difference is not None:
                return difference
            if len(self._done) >= len(self._steps):
                break
            in_vain = in_vain + 1 if len(self._done) == place else 0
            told = self._next(self._steps[len(self._done)], is_stuck=in_vain > 0)
        if len(self._done) == len(self._steps):
            return Replayed(steps=len(self._steps), is_same=True)
        step = self._steps[len(self._done)]
        why = f"{_kind(step)} was recorded, and nothing leads to it now."
        return Replayed(steps=len(self._steps), is_same=False, first_difference=len(self._done), told=why)

    def _tell(self, told: AnyTold, place: int) -> None:
        now = self._steps[min(place, len(self._steps) - 1)].at
        for each in self._unfold(told):
            self._hear(each, now)

    def _hear(self, told: AnyTold, now: float) -> None:
        for command in self._machine.handle(told, now):
            match command:
                case Store():
                    self._done += command.steps
                case Tell():
                    self._told.append(command.happening)
                case _:
                    pass  # nothing is done in a replay

    def _unfold(self, told: AnyTold) -> Iterator[AnyTold]:
        """Yield an input; in the place of a turn's end, all that the model gave."""
        if isinstance(told, Gave) and isinstance(told.output, Ended):
            step = self._steps[len(self._done)]
            if isinstance(step, TurnEnded):
                for output in _outputs(step.items, step.usage):
                    yield Gave(turn=told.turn, output=output)
        yield told

    def _compare(self) -> Replayed | None:
        for place, (was, now) in enumerate(zip(self._steps, self._done, strict=False)):
            if _timeless(was) != _timeless(now):
                return Replayed(
                    steps=len(self._steps),
                    is_same=False,
                    first_difference=place,
                    told=_difference(was, now),
                )
        if len(self._done) > len(self._steps):
            place = len(self._steps)
            told = f"{_kind(self._done[place])} follows now, and nothing did."
            return Replayed(steps=place, is_same=False, first_difference=place, told=told)
        return None

    def _next(self, step: AnyStep, *, is_stuck: bool) -> AnyTold | None:
        """Return what the machine was told before it came to this step."""
        match step:
            case TurnEnded():
                return self._turn_end(step)
            case CallEnded() | CallBegun() | CallAsked():
                return self._call_step(step)
            case ItemsAdded(items=items, is_output=is_output):
                self._forget_minted(*items)
                return Added(items=items) if is_output else Steered(items=items)
            case PlanChanged():
                return self._refused(_fallback_fault(step))
            case ContextCompacted(summary=summary):
                return Summarised(text=getattr(summary, "summary", ""))
            case RunEnded() if _is_cut(step):
                return self._end(step)
            case TurnBegun() | RunEnded():
                return None if is_stuck else Summarised()
            case RunOpened():
                return None

    def _call_step(self, step: CallEnded | CallBegun | CallAsked) -> AnyTold:
        match step:
            case CallEnded(result=result):
                ending = self._end_after() if result.text == CUT_OFF else None
                if ending is not None:
                    return self._end(ending)
                if self._phase(result.call_id) == "asked":
                    return PersonDecided(call_id=result.call_id, is_approved=False)
                plan = self._plan_after(result.call_id)
                if plan is not None:
                    return HandedOver(call_id=result.call_id, plan=plan)
                self._forget_minted(result)
                return Returned(call_id=result.call_id, result=result)
            case CallBegun(call_id=call_id):
                if self._phase(call_id) == "begun":
                    return self._restart()
                return PersonDecided(call_id=call_id, is_approved=True)
            case CallAsked():
                return self._asked(step)

    def _end_after(self) -> RunEnded | None:
        """Return the end of the run where nothing but ends of calls stands before it."""
        rest = (each for each in self._steps[len(self._done) :] if not isinstance(each, CallEnded))
        following = next(rest, None)
        return following if isinstance(following, RunEnded) else None

    def _end(self, step: RunEnded) -> AnyTold:
        if step.status == "cancelled":
            return CancelAsked(reason=step.reason)
        return self._refused(step.fault) if step.status == "failed" else TimeOver()

    def _turn_end(self, step: TurnEnded) -> AnyTold:
        """Return what ended a turn: its model, a fault, somebody's wish, or a restart."""
        has_added = self._add_meanwhile(step.at)
        if step.reason != "cancelled":
            return Gave(turn=step.turn, output=Ended(reason=step.reason, usage=step.usage))

        after = [each for each in self._steps[len(self._done) + 1 :] if not isinstance(each, ItemsAdded)]
        following = after[0] if after else None
        begun = self._machine.state.turn
        if isinstance(following, TurnBegun) and begun is not None:
            is_shorter = following.prompt_items < begun.prompt_items
            is_first_try = has_added or step.usage.total_tokens > 0 or self._is_last_try(after)
            if not is_shorter and not is_first_try:
                return self._restart(step)
            self._give(step)
            return self._refused(_TOO_LONG if is_shorter else _UNKNOWN)

        if isinstance(following, RunEnded) and not _is_cut(following):
            return self._restart(step)
        self._give(step)
        if isinstance(following, PlanChanged):
            return self._refused(_fallback_fault(following))
        if not isinstance(following, RunEnded) or following.status == "failed":
            return self._refused(following.fault if isinstance(following, RunEnded) else None)
        wish = TimeOver() if following.reason == "seconds" else CancelAsked(reason=following.reason)
        self._hear(wish, step.at)
        return Gave(turn=step.turn, output=Ended(reason="cancelled", usage=step.usage))

    def _add_meanwhile(self, now: float) -> bool:
        """Tell of the items that came while the turn was written and stand behind it; say if any did."""
        has_added = False
        for each in self._steps[len(self._done) + 1 :]:
            if isinstance(each, PlanChanged):
                continue
            if not (isinstance(each, ItemsAdded) and all(isinstance(item, Listed) for item in each.items)):
                break
            self._forget_minted(*each.items)
            self._hear(Added(items=each.items), now)
            has_added = True
        return has_added

    def _is_last_try(self, after: Sequence[AnyStep]) -> bool:
        """Say whether the turn that follows broke for good: then the one before was its first try."""
        if len(after) < 3 or not isinstance(after[1], TurnEnded) or after[1].reason != "cancelled":
            return False
        match after[2]:
            case PlanChanged():
                return _fallback_fault(after[2]).code in BROKEN
            case RunEnded(status="failed", fault=Fault(code=code)):
                return code in BROKEN
            case _:
                return False

    def _give(self, step: TurnEnded) -> None:
        for output in _outputs(step.items, step.usage):
            self._hear(Gave(turn=step.turn, output=output), step.at)

    def _restart(self, broken: TurnEnded | None = None) -> AnyTold:
        """Lose what is neither in a step nor seen by readers, as a killed server does."""
        if broken is not None:  # readers had seen its items
            self._forget_minted(*broken.items)
            for place, item in enumerate(broken.items, len(self._machine.state.places)):
                self._told += whole_item(place, item)
        self._machine = AgentMachine(self._record, list(self._done), self._mint, self._search)
        return self._begin()

    def _begin(self) -> Begin:
        context_tokens = self._context_tokens(self._machine.state.model)
        return Begin(seen=tuple(self._told), context_tokens=context_tokens)

    def _asked(self, step: CallAsked) -> AnyTold:
        if step.is_repeat and self._phase(step.call_id) == "begun":
            return self._restart()
        if step.approval is not None and self._phase(step.call_id) == "asked":
            return PersonAsked(call_id=step.call_id, approval=step.approval)
        call = self._machine.state.calls[step.call_id].call
        result = Answered(
            id="", call_id=call.call_id, parts=(Text(text=step.reason),), is_error=True, code="asked"
        )
        return Returned(call_id=call.call_id, result=result, approval=step.approval)

    def _phase(self, call_id: str) -> str:
        call = self._machine.state.calls.get(call_id)
        return "" if call is None else call.phase

    def _plan_after(self, call_id: str) -> Plan | None:
        """Return the plan by which another agent went on after this call."""
        call = self._machine.state.calls.get(call_id)
        if call is None or call.tool is None or call.tool.executor != "handover":
            return None
        following = self._steps[len(self._done) + 1 :][:1]
        return next((each.plan for each in following if isinstance(each, PlanChanged)), None)

    def _refused(self, fault: Fault | None = None) -> AnyTold:
        turn = self._machine.state.turn
        return TurnRefused(turn=turn.turn if turn else 0, fault=fault or _UNKNOWN)

    def _forget_minted(self, *items: AnyItem) -> None:
        """Give no id again that came with what the machine is told."""
        for each in items:
            minted = self._minted[_prefix(each)]
            if each.id in minted:
                minted.remove(each.id)

    def _mint(self, prefix: str) -> str:
        if self._minted[prefix]:
            return self._minted[prefix].popleft()
        self._unknown += 1
        return f"{prefix}replayed{self._unknown}"


def _is_cut(step: RunEnded) -> bool:
    """Whether a run ended for a fault, or since somebody or the time wanted it to."""
    return step.status in ("cancelled", "failed") or step.reason == "seconds"


def _fallback_fault(step: PlanChanged) -> Fault:
    """Return why another model was taken: its code ends the reason that was recorded."""
    try:
        code: FaultCode = msgspec.convert(step.reason.rpartition(": ")[2], FaultCode)
    except msgspec.ValidationError:
        return _NO_MODEL
    return Fault(code=code, message=_NO_MODEL.message)


def _comes_first(step: AnyStep) -> bool:
    """Whether a step was stored with the opening one."""
    return isinstance(step, ItemsAdded) and step.is_output


def _ids_of(steps: Sequence[AnyStep]) -> defaultdict[str, deque[str]]:
    """Return the ids of items in the order in which they were minted, by prefix."""
    found: defaultdict[str, deque[str]] = defaultdict(deque)
    known: set[str] = set()
    for step in steps:
        match step:
            case TurnEnded(items=items) | ItemsAdded(items=items, is_output=True):
                new = list(items)
            case CallEnded(result=result):
                new = [result]
            case ContextCompacted(summary=summary):
                new = [summary]
            case _:
                new = []
        for each in new:
            if each.id in known:
                continue  # an answer that was judged is added as it was written
            known.add(each.id)
            found[_prefix(each)].append(each.id)
            if isinstance(each, Wanted) and isinstance(step, ItemsAdded):
                found["call_"].append(each.call_id)
            elif isinstance(each, Wanted):  # the call that it stands for had an id that nobody saw
                found["mcp_"].append("mcp_unseen")
    return found


def _prefix(item: AnyItem) -> str:
    return item.id.partition("_")[0] + "_"


def _outputs(items: Sequence[AnyItem], usage: Usage) -> Iterator[Output]:
    """Return what a model must have given for these items; the first piece counts for all tokens."""
    yield Began(prompt_tokens=usage.prompt_tokens)
    yield Delta(tokens=usage.completion_tokens)
    calls = 0
    for item in items:
        match item:
            case Said():
                yield Delta(text=item.text, tokens=0)
            case Thought():
                yield Delta(reasoning=item.text, tokens=0)
            case Called() | Wanted():
                piece = ToolCallDelta(
                    index=calls,
                    id=item.call_id,
                    name=item.name,
                    arguments=item.arguments,
                    type="custom" if isinstance(item, Called) and item.form == "custom" else "function",
                )
                calls += 1
                yield Delta(tool_calls=(piece,), tokens=0)
            case _:
                pass


def _timeless(step: AnyStep) -> AnyStep:
    return msgspec.structs.replace(step, at=0.0)


def _kind(step: AnyStep) -> str:
    return f"'{step.__struct_config__.tag}'"


def _difference(was: AnyStep, now: AnyStep) -> str:
    if type(was) is not type(now):
        return f"{_kind(was)} was recorded, {_kind(now)} follows now."
    fields = [
        name for name in was.__struct_fields__ if name != "at" and getattr(was, name) != getattr(now, name)
    ]
    return f"{_kind(was)} differs in: {', '.join(fields)}."
