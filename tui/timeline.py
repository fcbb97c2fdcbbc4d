"""A run as entries of a timeline: one for each thing that was said, thought, called or answered. Pure.

Texts come from models, tools and servers: nothing in an entry is hidden or steers a terminal.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from tui.agents import Growing, OpenRun, RunItem, RunStep
from tui.revealed import MOST_LETTERS, pretty, reveal
from tui.state import Level
from tui.words import tally

LIVE = -1
"""The step of what is coming about."""
_FITS = 40
"""Letters of a text that stand in a head whole, also where it is narrow."""
_SHORT = 160
"""Letters of a text that stand in a head."""


class Entry(NamedTuple):
    """One thing that happened."""

    step: int
    """Its place among the steps."""
    part: int
    """Its place within the step."""
    glyph: str
    level: Level
    head: str
    body: str = ""
    is_open: bool = False
    """Whether the body is shown at first."""
    approval: str = ""
    """What a person has to answer."""
    lead: str = ""
    """The first words of the body: they stand in the head while the body is folded."""


def entries_of(step: RunStep, place: int, names: dict[str, str], open_asks: frozenset[str]) -> list[Entry]:
    """Return the entries of a step; `names` tells calls by their ids, `open_asks` approvals that wait."""
    told = list(_tell(step, names, open_asks))
    return [each._replace(step=place, part=part) for part, each in enumerate(told)]


def names_of(step: RunStep) -> dict[str, str]:
    """Return the names of the calls that a step holds by their ids."""
    items = (*step.items, *step.input, *step.context)
    return {each.call_id: call_name(each) for each in items if each.item in ("called", "wanted")}


def live_entries(run: OpenRun, names: dict[str, str]) -> list[Entry]:
    """Return the entries of what no step holds yet."""
    found = [_growing(each) for each in run.growing]
    for call, said in run.moves:
        found.append(Entry(LIVE, 0, "◐", "warn", f"{names.get(call, 'a call')}: {_line(said)}"))
    return [each._replace(part=part) for part, each in enumerate(found)]


def call_name(item: RunItem) -> str:
    """Return the name of the tool that is called."""
    if item.server:
        return f"{reveal(item.server)} · {reveal(item.tool or item.name)}"
    return reveal(item.name)


def _growing(each: Growing) -> Entry:
    words = {"said": "says", "thought": "thinks", "called": f"calls {call_name(each.item)}"}
    head = words.get(each.item.item, each.item.item)
    # The newest letters are what somebody who follows reads.
    text = reveal(each.text[-MOST_LETTERS:])
    return Entry(LIVE, 0, "◐", "warn", head, text, is_open=True)


def _tell(step: RunStep, names: dict[str, str], open_asks: frozenset[str]) -> Iterator[Entry]:
    match step.step:
        case "run.opened":
            yield from _opened(step)
        case "turn.begun" | "turn.ended":
            yield from _turn(step)
        case "call.begun":
            again = f", attempt {step.attempt}" if step.attempt > 1 else ""
            yield _entry("▸", f"{_name(names, step.call_id)} is called{again}")
        case "call.asked":
            yield _asked(step, names, open_asks)
        case "call.ended" if step.result is not None:
            yield _result(step.result, names)
        case "items.added":
            yield from (_item(each) for each in step.items)
        case "plan.changed":
            yield _changed(step)
        case "context.compacted":
            summary = str(step.summary.summary or step.summary.words) if step.summary else ""
            head = f"compacted: a summary stands for {step.dropped} items"
            yield _entry("≡", head, _whole(summary), "warn")
        case "run.ended":
            yield _ended(step)
        case _:
            yield _entry("·", reveal(step.step))


def _opened(step: RunStep) -> Iterator[Entry]:
    by = f" by {reveal(step.trigger)}" if step.trigger else ""
    forked = f", forked from {reveal(step.forked_from)} at {step.forked_at}" if step.forked_from else ""
    task = "\n".join(each.words for each in step.input)
    yield _told("▷", f"opened{by}{forked}", task)
    if step.plan is not None:
        tools = [str(each.get("name", "")) for each in step.plan.tools]
        head = f"the prompt: {tally(len(step.plan.instructions))} letters of instructions, {len(tools)} tools"
        listed = ", ".join(tools) or "none"
        models = ", ".join(step.plan.models)
        body = f"models: {models}\ntools: {listed}\n\n{step.plan.instructions}"
        yield _entry("≡", head, _whole(body))
    if step.context:
        before = "\n".join(f"{each.role or each.item}: {each.words}" for each in step.context)
        yield _entry("≡", f"what stood before: {len(step.context)} items", _whole(before))


def _turn(step: RunStep) -> Iterator[Entry]:
    kind = "" if step.purpose == "answer" else f" for a {step.purpose}"
    if step.step == "turn.begun":
        put = f", {len(step.recalled)} recalled" if step.recalled else ""
        head = f"turn {step.turn + 1} asks {reveal(step.model)}{kind} with {step.prompt_items} items{put}"
        yield _entry("┄", head, _whole("\n".join(step.recalled)))
        return

    yield from (_item(each) for each in step.items)
    used = f"{tally(step.usage.prompt_tokens)} tokens in, {tally(step.usage.completion_tokens)} out"
    draft = ", a draft" if step.is_draft else ""
    level: Level = "warn" if step.reason in ("cancelled", "length") else "info"
    yield _entry("┄", f"turn {step.turn + 1} ends: {reveal(step.reason)}{draft}, {used}", level=level)


def _item(item: RunItem) -> Entry:
    match item.item:
        case "said":
            who = reveal(item.author or item.role)
            is_asker = item.role != "assistant"
            head = f"{who} {'says' if not is_asker else 'adds'}"
            return _told("▹" if is_asker else "●", head, item.words, is_open=True)
        case "thought":
            return _told("○", "thinks", item.text)
        case "called":
            head = f"wants {call_name(item)} {_line(item.arguments)}"
            return _entry("▸", head, _json(item.arguments))
        case "answered":
            return _result(item, {})
        case "listed":
            said = reveal(item.error) if item.error else f"{len(item.tools)} tools"
            names = "\n".join(str(each.get("name", "")) for each in item.tools)
            level: Level = "bad" if item.error else "info"
            return _entry("≡", f"the server {reveal(item.server)}: {said}", _whole(names), level)
        case "wanted":
            return _entry("▲", f"asks for {call_name(item)}", _json(item.arguments), "warn")
        case "decided":
            said = "approved" if item.is_approved else f"refused {_line(item.reason)}"
            return _entry("✔" if item.is_approved else "✖", f"a person has {said}")
        case "compacted":
            return _entry("≡", "a summary of what stood before", _whole(str(item.summary or "")))
        case _:
            return _entry("·", f"{reveal(item.item)}: {_line(item.words)}", _whole(item.words))


def _asked(step: RunStep, names: dict[str, str], open_asks: frozenset[str]) -> Entry:
    name = _name(names, step.call_id)
    why = f": {_line(step.reason)}" if step.reason else ""
    repeat = " again, nobody knows whether it was made before" if step.is_repeat else ""
    if step.approval in open_asks:
        head = f"{name}{repeat} waits for you{why}  w goes there"
        return _entry("▲", head, level="warn")._replace(approval=step.approval or "")
    return _entry("▲", f"a person was asked about {name}{repeat}{why}")


def _result(item: RunItem, names: dict[str, str]) -> Entry:
    name = _name(names, item.call_id)
    body = item.words or (
        ""
        if item.structured is None
        else pretty(item.structured[:50] if isinstance(item.structured, list) else item.structured)
    )
    code = f" ({reveal(item.code)})" if item.code else ""
    if item.is_error:
        return _told("✖", f"{name} failed{code}", body, "bad", is_open=True)
    return _told("✔", f"{name} gave{code}", body, "good")


def _changed(step: RunStep) -> Entry:
    plan = step.plan
    who = plan.agent if plan is not None and plan.agent else ""
    model = plan.models[0] if plan is not None and plan.models else ""
    to = " with ".join(each for each in (reveal(who), reveal(model)) if each)
    body = plan.instructions if plan is not None else ""
    return _entry("⇒", f"{reveal(step.reason)}: {to} goes on", _whole(body), "warn")


def _ended(step: RunStep) -> Entry:
    if step.fault is not None:
        head = f"{step.status}: {reveal(step.fault.code)}"
        return _entry("✖", head, _whole(step.fault.message), "bad", is_open=True)
    why = f": {reveal(step.reason)}" if step.reason else ""
    level: Level = "good" if step.status == "completed" else "warn"
    return _entry("✔" if step.status == "completed" else "▲", f"{reveal(step.status)}{why}", level=level)


def _entry(glyph: str, head: str, body: str = "", level: Level = "info", *, is_open: bool = False) -> Entry:
    return Entry(0, 0, glyph, level, head, body, is_open=is_open)


def _told(glyph: str, head: str, text: str, level: Level = "info", *, is_open: bool = False) -> Entry:
    """Return an entry with a text, which is a body only where it does not fit into the head."""
    lead = _line(text)
    is_short = len(text) <= _FITS and "\n" not in text
    body = "" if is_short else _json(text)
    return _entry(glyph, head, body, level, is_open=is_open)._replace(lead=lead)


def _name(names: dict[str, str], call: str) -> str:
    return names.get(call) or "a call"


def _line(text: str) -> str:
    """Return the first words of a text on one line."""
    words = " ".join(text[: 2 * _SHORT].split())
    return reveal(words[:_SHORT] + ("…" if len(words) > _SHORT else ""))


def _whole(text: str) -> str:
    """Return as much of a text as is shown."""
    more = len(text) - MOST_LETTERS
    said = reveal(text[:MOST_LETTERS])
    return f"{said}\n▲ {more} letters more are not shown" if more > 0 else said


def _json(text: str) -> str:
    """Return JSON text indented, any other text as it stands."""
    if len(text) > MOST_LETTERS or not text.startswith(("{", "[")):
        return _whole(text)
    try:
        value: Any = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return _whole(text)
    return _whole_of(pretty(value))


def _whole_of(said: str) -> str:
    more = len(said) - MOST_LETTERS
    return f"{said[:MOST_LETTERS]}\n▲ {more} letters more are not shown" if more > 0 else said


def answered_calls(steps: Sequence[RunStep]) -> frozenset[str]:
    """Return the calls that have their result."""
    return frozenset(each.result.call_id for each in steps if each.result is not None)
