"""What an agent did lately, as LocalAGI shows it: its status, and its runs as observables.

LocalAGI keeps these in memory; here they are made of the stored runs, so they outlive the server.
"""

from typing import Any

import msgspec
from aiohttp import web

from runtime.api.agents.reach import agents_of
from runtime.api.reach import Entry, json_answer, tenant_of
from runtime.core.agents.fold import RunState, fold
from runtime.core.agents.items import Answered, Called, Said
from runtime.core.agents.ports import RunQuery
from runtime.core.agents.steps import RunRecord
from runtime.core.errors import NotFound

_SHOWN = 50
"""Runs, the newest."""
_PER_RUN = 1000
"""LocalAGI counts observables with integers: the millisecond of a run, and the place within it."""

Observable = dict[str, Any]


async def get_status(request: web.Request) -> web.Response:
    """Show what an agent has done, the newest first."""
    records = await _records(request)
    return json_answer({"Name": request.match_info["name"], "History": [_line(each) for each in records]})


async def get_observables(request: web.Request) -> web.Response:
    """Show an agent's runs with the calls that each has made, the oldest first."""
    runs, tenant = agents_of(request).runs, tenant_of(request)
    shown: list[Observable] = []
    for record in reversed(await _records(request)):
        try:
            state = fold(await runs.steps(tenant, record.id))
        except NotFound:
            continue  # forgotten meanwhile
        shown += observables_of(record, state)
    return json_answer({"Name": request.match_info["name"], "History": shown})


def observables_of(record: RunRecord, state: RunState) -> list[Observable]:
    """Return a run and its calls as observables, each call below its run."""
    number = int(record.created_at * 1000) * _PER_RUN
    asked = [each.text for each in state.input if isinstance(each, Said) and each.role == "user"]
    run: Observable = {
        "id": number,
        "agent": record.agent or "",
        "name": "job",
        "icon": "plus",
        "creation": {"chat_completion_message": {"role": "user", "content": "\n".join(asked)}},
        "progress": [],
    }
    if record.ended_at is not None:
        run["completion"] = _completion(record, state)
    return [run, *_calls(record, state, number)]


def _completion(record: RunRecord, state: RunState) -> Observable:
    if record.fault is not None:
        return {"error": record.fault.message}
    if record.status == "cancelled":
        return {"error": f"cancelled: {record.reason}"}
    said = [each for each in state.output if isinstance(each, Said) and each.role == "assistant"]
    return {
        "conversation": [{"role": "assistant", "content": said[-1].text}] if said else [],
        "agent_state": {"status": record.status},
    }


def _calls(record: RunRecord, state: RunState, number: int) -> list[Observable]:
    results = {each.call_id: each for each in state.output if isinstance(each, Answered)}
    shown: list[Observable] = []
    calls = [each for each in state.output if isinstance(each, Called)]
    for place, call in enumerate(calls[: _PER_RUN - 1], start=1):
        each: Observable = {
            "id": number + place,
            "parent_id": number,
            "agent": record.agent or "",
            "name": "action",
            "icon": "bolt",
            "creation": {"function_definition": {"name": call.name}, "function_params": _arguments(call)},
            "progress": [],
        }
        result = results.get(call.call_id)
        if result is not None:
            each["completion"] = {"error": result.text} if result.is_error else {"action_result": result.text}
        shown.append(each)
    return shown


def _arguments(call: Called) -> Any:
    try:
        return msgspec.json.decode(call.arguments)
    except msgspec.DecodeError:
        return {"input": call.arguments}


def _line(record: RunRecord) -> str:
    told = record.fault.message if record.fault is not None else record.answer or record.reason
    return f"{record.status}: {record.title}" + (f" → {told}" if told else "")


async def _records(request: web.Request) -> list[RunRecord]:
    """Return the newest runs of the agent that the path names. Raises NotFound."""
    parts, tenant, name = agents_of(request), tenant_of(request), request.match_info["name"]
    await parts.book.find(tenant, name)
    return await parts.runs.list_runs(tenant, RunQuery(agent=name, limit=_SHOWN))


OBSERVING_ROUTES: tuple[Entry, ...] = (
    ("GET", "/api/agent/{name}/status", "infer", get_status),
    ("GET", "/api/agent/{name}/observables", "infer", get_observables),
)
