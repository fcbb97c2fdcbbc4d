"""A run's first steps as the beginning of another one, with other words here and there. Pure.

What was begun and has no end among them is left out: the fork does it anew. Ids of items are kept.
"""

from collections.abc import Sequence

import msgspec

from runtime.core.agents.items import Answered, AnyItem
from runtime.core.agents.steps import (
    AnyStep,
    CallAsked,
    CallBegun,
    CallEnded,
    ItemsAdded,
    RunEnded,
    RunOpened,
    RunRecord,
    TurnBegun,
    TurnEnded,
)
from runtime.core.errors import Conflict, Fault, RequestInvalid
from runtime.core.gate.principals import Principal


def forked_steps(
    source: RunRecord,
    steps: Sequence[AnyStep],
    after_step: int,
    edits: Sequence[AnyItem],
    by: Principal,
    now: float,
) -> list[AnyStep]:
    """Return the steps that a fork begins with; `after_step` counts the steps that are taken over.

    Raises RequestInvalid where there are not so many, Conflict where nothing could follow.
    """
    after_step = max(1, after_step)  # the first opens the run
    if after_step > len(steps):
        message = f"The run has {len(steps)} steps; a fork takes over so many at most."
        raise RequestInvalid(Fault(code="invalid_request", message=message, param="after_step"))

    opened = steps[0]
    assert isinstance(opened, RunOpened), "a run's first step opens it"
    kept = _whole(steps[1:after_step])
    by_id = {each.id: each for each in edits}
    used: set[str] = set()
    plan = msgspec.structs.replace(opened.plan, principal=by)
    begun = msgspec.structs.replace(
        opened,
        at=now,
        plan=plan,
        input=_edited(opened.input, by_id, used),
        context=_edited(opened.context, by_id, used),
        session=None,
        parent=None,
        parent_call=None,
        forked_from=source.id,
        forked_at=after_step,
        trigger="fork",
    )
    forked: list[AnyStep] = [begun, *(_step(each, by_id, used) for each in kept)]
    more = tuple(each for each in edits if each.id not in used)
    if more:
        forked.append(ItemsAdded(at=now, items=more, is_output=False))
    return forked


def _whole(steps: Sequence[AnyStep]) -> list[AnyStep]:
    """Leave out the end, and what has begun without one."""
    ended_turns = {each.turn for each in steps if isinstance(each, TurnEnded)}
    ended_calls = {each.result.call_id for each in steps if isinstance(each, CallEnded)}
    kept: list[AnyStep] = []
    for step in steps:
        match step:
            case RunEnded():
                continue
            case TurnBegun(turn=turn) if turn not in ended_turns:
                continue
            case CallBegun(call_id=call_id) | CallAsked(call_id=call_id) if call_id not in ended_calls:
                continue
            case _:
                kept.append(step)
    return kept


def _step(step: AnyStep, edits: dict[str, AnyItem], used: set[str]) -> AnyStep:
    match step:
        case TurnEnded() | ItemsAdded():
            return msgspec.structs.replace(step, items=_edited(step.items, edits, used))
        case CallEnded(result=result) if result.id in edits:
            edited = edits[result.id]
            if not isinstance(edited, Answered) or edited.call_id != result.call_id:
                raise _no_result(result)
            used.add(result.id)
            return msgspec.structs.replace(step, result=edited)
        case _:
            return step


def _edited(items: Sequence[AnyItem], edits: dict[str, AnyItem], used: set[str]) -> tuple[AnyItem, ...]:
    used.update(each.id for each in items if each.id in edits)
    return tuple(edits.get(each.id, each) for each in items)


def _no_result(result: Answered) -> Conflict:
    message = (
        f"'{result.id}' is the result of call '{result.call_id}'; only another result can stand in for it."
    )
    return Conflict(Fault(code="conflict", message=message))
