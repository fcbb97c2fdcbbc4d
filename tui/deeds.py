"""What an agent does in a conversation: what it says and thinks, its calls with their results. Pure.

The screen of a run shows every step; this is what somebody who talks to the agent wants to see of them. All
texts are foreign: nothing in a deed is hidden or steers a terminal.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import msgspec

from tui.agents import Growing, RunItem, RunStep
from tui.reach import Approval
from tui.revealed import pretty, reveal
from tui.state import OPEN, Exchange
from tui.timeline import call_name
from tui.words import clean, counted, span, tally

DeedKind = Literal["said", "thought", "call", "list", "ask", "aside", "heard", "change", "end"]
CallState = Literal["wanted", "running", "waiting", "done", "failed", "stopped"]

_LIST_TOOL = "todo_write"
_ARGUMENTS = 160
"""Letters of arguments that stand beside a call's name."""
_RESULT = 4_000
"""Letters of a result that are shown when it is unfolded; the run's own screen has the rest."""
_MARKS = {"pending": "○", "in_progress": "◐", "completed": "✔"}
_REASONS = {
    "max_output_tokens": "the model wrote more than a turn may give (max_output_tokens, agents.turn_tokens)",
    "repetition": "the model only repeated itself",
    "loop": "it made the same call with the same result over and over",
    "turns": "it has taken all the turns that it may (limits.turns)",
    "calls": "it has made all the calls that it may (limits.calls)",
    "tokens": "it has used all the tokens that it may (limits.tokens)",
    "seconds": "it has taken all the time that it may (limits.seconds)",
}


class Deed(NamedTuple):
    """One thing that it did, or that was done to it."""

    kind: DeedKind
    text: str = ""
    """What was said; of a call its name and arguments; of a list its entries, one a line."""
    body: str = ""
    """Of a call its result, of an ask the arguments."""
    state: CallState = "wanted"


class _Call(NamedTuple):
    item: RunItem
    result: RunItem | None
    move: str
    stage: str
    """The newest step about it; empty: none."""


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    content: str
    status: str = "pending"


class _Entries(msgspec.Struct, frozen=True, kw_only=True):
    todos: tuple[_Entry, ...]


def deeds_of(exchange: Exchange, asks: Sequence[Approval]) -> list[Deed]:
    """Return what an agent has done, what it waits for, and what it has not heard yet."""
    found = list(_told(exchange))
    found += [Deed("ask", _why(each, exchange.agent), _arguments(each.arguments)) for each in asks]
    found += [
        Deed("aside", each.text, state="done" if each.is_taken else "wanted") for each in exchange.asides
    ]
    info = exchange.run.info
    if exchange.status in OPEN or info is None or not info.is_over or exchange.trouble is not None:
        return found
    return [*found, Deed("end", _end(exchange), state="done" if info.status == "completed" else "failed")]


def _told(exchange: Exchange) -> Iterator[Deed]:
    run = exchange.run
    steps = run.steps
    results = {each.result.call_id: each.result for each in steps if each.result is not None}
    # The newest word about a call counts: it is begun, asked about, and begun again.
    stages = {each.call_id: each.step for each in steps if each.step in ("call.begun", "call.asked")}
    moves = dict(run.moves)
    last_list = _last_list(steps)
    purpose, last_turn = "answer", _last_turn(steps)
    for place, step in enumerate(steps):
        match step.step:
            case "turn.begun":
                purpose = step.purpose
            case "turn.ended" if purpose == "answer" and not _is_void(step, place < last_turn):
                for item in step.items:
                    call = _Call(
                        item,
                        results.get(item.call_id),
                        moves.get(item.call_id, ""),
                        stages.get(item.call_id, ""),
                    )
                    yield from _item(call, is_draft=step.is_draft, is_last_list=item.id == last_list)
            case "items.added":
                for item in step.items:
                    yield from _added(item)
            case "plan.changed":
                yield _changed(step)
            case "context.compacted":
                yield Deed("change", f"a summary stands for the first {step.dropped} items from here on")
            case _:
                pass
    yield from (_growing(each) for each in run.growing)


def _last_turn(steps: Sequence[RunStep]) -> int:
    return max((place for place, each in enumerate(steps) if each.step == "turn.begun"), default=-1)


def _is_void(step: RunStep, is_repeated: bool) -> bool:
    """Say whether no model hears of a turn: it broke and was asked for again."""
    return step.reason == "cancelled" and is_repeated


def _last_list(steps: Sequence[RunStep]) -> str:
    for step in reversed(steps):
        for item in reversed(step.items):
            if item.item == "called" and item.name == _LIST_TOOL:
                return item.id
    return ""


def _item(call: _Call, *, is_draft: bool, is_last_list: bool) -> Iterator[Deed]:
    item = call.item
    match item.item:
        case "said" if not is_draft and item.words:
            yield Deed("said", clean(item.words))
        case "thought" if item.text:
            yield Deed("thought", clean(item.text))
        case "called" if item.name == _LIST_TOOL and (entries := _entries(item.arguments)):
            if is_last_list:
                yield Deed("list", "\n".join(entries))
            else:
                yield Deed("call", "the list, as it was", "\n".join(entries), "done")
        case "called":
            yield _call(call)
        case _:
            pass


def _call(call: _Call) -> Deed:
    name = f"{call_name(call.item)} {_line(call.item.arguments)}".rstrip()
    result = call.result
    if result is not None:
        if result.code == "cancelled":
            return Deed("call", name, state="stopped")
        return Deed("call", name, _result(result), "failed" if result.is_error else "done")
    if call.stage == "call.asked":
        return Deed("call", name, state="waiting")
    if call.stage == "call.begun":
        return Deed("call", name, _line(call.move) if call.move not in ("", "started") else "", "running")
    return Deed("call", name)


def _added(item: RunItem) -> Iterator[Deed]:
    if item.item == "said" and item.words:
        yield Deed("heard" if item.role == "user" else "said", clean(item.words))
    elif item.item == "listed" and item.error:
        yield Deed("call", f"the server {reveal(item.server)}", reveal(item.error), "failed")


def _changed(step: RunStep) -> Deed:
    who = step.plan.agent if step.plan is not None and step.plan.agent else ""
    model = step.plan.models[0] if step.plan is not None and step.plan.models else ""
    if step.reason.startswith("handover"):
        return Deed("change", f"handed over: {reveal(who)} goes on with {reveal(model)}")
    return Deed("change", f"{reveal(step.reason)}: {reveal(model)} goes on")


def _growing(each: Growing) -> Deed:
    match each.item.item:
        case "said":
            return Deed("said", clean(each.text))
        case "thought":
            return Deed("thought", clean(each.text), state="running")
        case _:
            return Deed("call", f"{call_name(each.item)} {_line(each.text)}".rstrip(), state="wanted")


def _end(exchange: Exchange) -> str:
    info = exchange.run.info
    if info is None:
        return ""
    words = {"completed": "", "cancelled": "■ stopped", "incomplete": "▲ cut short"}.get(
        info.status, info.status
    )
    reason = _REASONS.get(info.reason, reveal(info.reason))
    if info.status == "incomplete" and reason:
        words += f": {reason}"
    facts = [words, counted(info.turns, "turn"), counted(info.calls, "call") if info.calls else ""]
    facts.append(f"{tally(info.usage.total_tokens)} tokens")
    facts.append(span(max(0.0, info.ended_at - info.created_at)) if info.ended_at is not None else "")
    return " · ".join(each for each in facts if each)


def _why(approval: Approval, agent: str) -> str:
    told = approval.resource.attributes
    is_tool = approval.resource.kind == "Tool" and told.get("server") and told.get("name")
    name = f"{told['server']} · {told['name']}" if is_tool else f"{approval.action} {approval.resource.id}"
    who = "" if f'Agent::"{agent}"' in approval.principal else f"{approval.principal}: "
    return reveal(f"{who}{name} waits for you. {approval.reason}".strip())


def _arguments(arguments: dict[str, object]) -> str:
    return pretty(arguments) if arguments else "no arguments"


def _result(item: RunItem) -> str:
    words = item.words
    if not words and item.structured is not None:
        return pretty(item.structured)[:_RESULT]
    left = len(words) - _RESULT
    more = f"\n▲ {left} letters more: the run's own screen shows them" if left > 0 else ""
    code = f"{reveal(item.code)}: " if item.is_error and item.code else ""
    return f"{code}{reveal(words[:_RESULT])}{more}"


def _entries(arguments: str) -> list[str]:
    """Return the entries of a written list, empty where it is none."""
    try:
        written = msgspec.json.decode(arguments.encode(), type=_Entries)
    except msgspec.MsgspecError:
        return []
    return [
        f"{_MARKS.get(each.status, '·')} {' '.join(reveal(each.content).split())}" for each in written.todos
    ]


def _line(text: str) -> str:
    """Return the first letters of a text on one line."""
    words = " ".join(text[: 2 * _ARGUMENTS].split())
    return reveal(words[:_ARGUMENTS] + ("…" if len(words) > _ARGUMENTS else ""))
