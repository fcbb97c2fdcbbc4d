"""Tools that a run carries out by itself: the todo list, and the search among tools that are not shown.

Their state is in their results, which are steps: whoever folds a run knows its list and what was found.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from runtime.core.agents.items import Answered, AnyItem, Called, Text
from runtime.core.agents.plans import PlannedTool

LIST_TOOL = PlannedTool(
    name="todo_write",
    description="Keep a list of what is to be done, for work of several steps. Give the whole list each "
    "time: what is not in it is forgotten. Keep exactly one entry in_progress while you work.",
    parameters={
        "type": "object",
        "properties": {
            "todos": {
                "type": "array",
                "maxItems": 50,
                "items": {
                    "type": "object",
                    "properties": {
                        "content": {"type": "string", "minLength": 1, "maxLength": 500},
                        "status": {"type": "string", "enum": ["pending", "in_progress", "completed"]},
                    },
                    "required": ["content", "status"],
                    "additionalProperties": False,
                },
            }
        },
        "required": ["todos"],
        "additionalProperties": False,
    },
    executor="machine",
    tool="todo_write",
    is_idempotent=True,
)
SEARCH_TOOLS = PlannedTool(
    name="search_tools",
    description="Find tools by what they do. There are more tools than are listed here: search before you "
    "say that something cannot be done. The tools that are found can be called from then on.",
    parameters={
        "type": "object",
        "properties": {
            "query": {
                "type": "string",
                "minLength": 1,
                "description": "What the tool should do, in a few words: 'create calendar event'",
            },
            "limit": {"type": "integer", "minimum": 1, "maximum": 20, "default": 8},
        },
        "required": ["query"],
        "additionalProperties": False,
    },
    executor="machine",
    tool="search_tools",
    is_idempotent=True,
)

Search = Callable[[Sequence[PlannedTool], str, int], Sequence[PlannedTool]]
"""Returns the tools that fit a query, the best first, so many at most."""
_MOST_FOUND = 8
_ENTRIES, _FOUND = "todos", "found"
"""Where a result keeps them: among Lar's own words, which no tool can write."""
_MARKS = {"pending": "[ ]", "in_progress": "[>]", "completed": "[x]"}


class Todo(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the list."""

    content: str
    status: str


class _TodoWrite(msgspec.Struct, frozen=True, kw_only=True):
    todos: tuple[Todo, ...]


class _SearchTools(msgspec.Struct, frozen=True, kw_only=True):
    query: str
    limit: int = _MOST_FOUND


def carry_out(
    call: Called, tool: PlannedTool, tools: Sequence[PlannedTool], search: Search, result_id: str
) -> Answered:
    """Return the result of a call that the run answers by itself; wrong arguments are a result."""
    try:
        match tool.tool or tool.name:
            case "todo_write":
                return _write_todos(call, result_id)
            case "search_tools":
                return _search(call, tools, search, result_id)
            case name:
                return failed(call, result_id, f"There is no tool '{name}'.", "unknown_tool")
    except msgspec.ValidationError as problem:
        return failed(call, result_id, f"The arguments do not fit: {problem}", "invalid_arguments")
    except msgspec.DecodeError as problem:
        return failed(call, result_id, f"The arguments are no JSON: {problem}", "invalid_arguments")


def failed(call: Called, result_id: str, message: str, code: str) -> Answered:
    """Return a result in which Lar, not the tool, says what is wrong."""
    return Answered(
        id=result_id,
        call_id=call.call_id,
        parts=(Text(text=message),),
        is_error=True,
        code=code,
        form=call.form,
        status="failed",
    )


def todos_of(conversation: Sequence[AnyItem]) -> tuple[Todo, ...]:
    """Return the list as it was written last."""
    for item in reversed(conversation):
        if isinstance(item, Answered) and _ENTRIES in item.extra:
            return tuple(msgspec.convert(item.extra[_ENTRIES], list[Todo]))
    return ()


def decide_shown(tools: Sequence[PlannedTool], conversation: Sequence[AnyItem]) -> list[PlannedTool]:
    """Return the tools that a model is told of: those that are found come last, in the order of finding."""
    hidden = {each.name: each for each in tools if each.is_deferred}
    found: dict[str, PlannedTool] = {}
    for item in conversation if hidden else ():
        if isinstance(item, Answered):
            found.update({name: hidden[name] for name in item.extra.get(_FOUND, ()) if name in hidden})
    return [*(each for each in tools if not each.is_deferred), *found.values()]


def _write_todos(call: Called, result_id: str) -> Answered:
    written = msgspec.json.decode(call.arguments.encode(), type=_TodoWrite)
    lines = [f"{_MARKS.get(each.status, '[ ]')} {each.content}" for each in written.todos]
    extra = {_ENTRIES: msgspec.to_builtins(written.todos)}
    return _answered(call, result_id, "\n".join(lines) or "The list is empty.", extra)


def _search(call: Called, tools: Sequence[PlannedTool], search: Search, result_id: str) -> Answered:
    asked = msgspec.json.decode(call.arguments.encode(), type=_SearchTools)
    found = search([each for each in tools if each.is_deferred], asked.query, asked.limit)
    told = [{"name": each.name, "description": each.description} for each in found]
    text = json.dumps(told, ensure_ascii=False) if told else "No tool fits. Try other words."
    return _answered(call, result_id, text, {_FOUND: [each.name for each in found]})


def _answered(call: Called, result_id: str, text: str, extra: dict[str, Any]) -> Answered:
    return Answered(id=result_id, call_id=call.call_id, parts=(Text(text=text),), form=call.form, extra=extra)
