"""`lar agents runs|replay|fork|cancel|steer`, and how a run is shown: its steps, one line each."""

import argparse
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec

from runtime.cli.agents_calls import ask, run_path
from runtime.cli.output import EXIT_FAILED, notice, say, say_json, say_table
from runtime.cli.recall_calls import clean, day, one_line
from runtime.core.agents.items import Answered, AnyItem, Called, Compacted, Decided, Said, Thought, Wanted
from runtime.core.agents.ports import Replayed
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

_WIDTH = 90


class _Listed(msgspec.Struct):
    runs: list[RunRecord]
    has_more: bool


class _Steps(msgspec.Struct):
    steps: list[AnyStep]


def list_runs(chosen: argparse.Namespace) -> int:
    """Print runs, the newest first."""
    wishes = {"agent": chosen.agent, "status": chosen.status, "limit": chosen.limit}
    query = urlencode({name: value for name, value in wishes.items() if value is not None})
    found = ask("GET", f"/api/runs?{query}", _Listed)
    if chosen.json:
        say_json(found.runs)
        return 0

    rows = [
        [
            each.id,
            day(each.created_at),
            each.status,
            each.agent or each.model,
            str(each.turns),
            one_line(each.title, 40),
        ]
        for each in found.runs
    ]
    say_table(("RUN", "BEGAN", "STATUS", "AGENT", "TURNS", "TASK"), rows)
    return 0


def show_run(run: str, *, is_json: bool) -> int:
    """Print a run with its steps."""
    record: RunRecord = ask("GET", run_path(run), RunRecord)
    steps: list[AnyStep] = ask("GET", run_path(run, "/steps"), _Steps).steps
    if is_json:
        say_json({"run": record, "steps": steps})
        return 0

    say(f"{record.id}: {record.status}{f' ({clean(record.reason)})' if record.reason else ''}")
    say(f"agent {record.agent or '-'}, model {record.model}, began {day(record.created_at)}")
    say(f"{record.turns} turns, {record.calls} calls, {record.usage.total_tokens} tokens")
    if record.fault is not None:
        say(f"{record.fault.code}: {clean(record.fault.message)}")
    for number, step in enumerate(steps, 1):
        for line in _lines(step):
            say(f"{number:4} {line}")
    return 0


def replay_run(chosen: argparse.Namespace) -> int:
    """Tell whether a run comes to the same on what was recorded."""
    told: Replayed = ask("POST", run_path(chosen.run, "/replay"), Replayed, {})
    if chosen.json:
        say_json(told)
    elif told.is_same:
        notice(f"All {told.steps} steps come out the same.")
    else:
        notice(f"Step {told.first_difference} comes out differently: {clean(told.told)}")
    return 0 if told.is_same else EXIT_FAILED


def fork_run(chosen: argparse.Namespace) -> int:
    """Begin a run from the steps of another one."""
    body: dict[str, Any] = {"after_step": chosen.after}
    if chosen.task:
        body["input"] = " ".join(chosen.task)
    record: RunRecord = ask("POST", run_path(chosen.run, "/fork"), RunRecord, body)
    if chosen.json:
        say_json(record)
    else:
        notice(f"{record.id} goes on from step {chosen.after}. 'lar agents show {record.id}' shows it.")
    return 0


def cancel_run(chosen: argparse.Namespace) -> int:
    """Stop a run."""
    record: RunRecord = ask("POST", run_path(chosen.run, "/cancel"), RunRecord, {"reason": chosen.reason})
    notice(f"{record.id} is {record.status}.")
    return 0


def steer_run(chosen: argparse.Namespace) -> int:
    """Add to what a run was asked."""
    ask("POST", run_path(chosen.run, "/steer"), RunRecord, {"input": " ".join(chosen.task)})
    notice(f"{chosen.run} hears it before its next turn.")
    return 0


def _lines(step: AnyStep) -> list[str]:
    """Return a step in a few lines: what it is, then the items that it brought."""
    return [_head(step), *(f"     {line_of(each)}" for each in _items(step))]


def _items(step: AnyStep) -> Sequence[AnyItem]:
    match step:
        case RunOpened():
            return (*step.context, *step.input)
        case TurnEnded() | ItemsAdded():
            return step.items
        case CallEnded():
            return (step.result,)
        case ContextCompacted():
            return (step.summary,)
        case _:
            return ()


def _head(step: AnyStep) -> str:
    match step:
        case TurnBegun():
            told = f"turn {step.turn} begun with {step.model}, {step.prompt_items} items"
        case TurnEnded():
            told = f"turn {step.turn} ended ({step.reason}, {step.usage.total_tokens} tokens)"
        case CallBegun():
            told = f"call {step.call_id} begun{f' again ({step.attempt})' if step.attempt > 1 else ''}"
        case CallAsked():
            asked = f" ({step.approval})" if step.approval else ""
            told = f"call {step.call_id} waits for a person{asked}"
        case CallEnded():
            told = f"call {step.result.call_id} ended"
        case PlanChanged():
            told = f"goes on with {step.plan.agent or step.plan.models[0]}: {step.reason}"
        case RunEnded():
            told = f"ended: {step.status} {step.reason}"
        case _:
            told = str(step.__struct_config__.tag)
    return clean(told).rstrip()


def line_of(item: AnyItem) -> str:
    """Return an item in one line."""
    match item:
        case Said():
            return one_line(f"{item.author or item.role}: {item.text}", _WIDTH)
        case Thought():
            return one_line(f"thought: {item.text}", _WIDTH)
        case Called():
            return one_line(f"calls {item.name} {item.arguments}", _WIDTH)
        case Answered():
            sign = "failed: " if item.is_error else ""
            return one_line(f"{sign}{item.text}", _WIDTH)
        case Wanted():
            return one_line(f"asks to call {item.name} {item.arguments}", _WIDTH)
        case Decided():
            return f"{'approved' if item.is_approved else 'refused'} {clean(item.reason)}".rstrip()
        case Compacted():
            return one_line(f"summary: {item.summary}", _WIDTH)
        case _:
            return one_line(msgspec.json.encode(item).decode(), _WIDTH)
