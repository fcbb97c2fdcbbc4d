"""Calls and their results in OpenAI's words: for each form of tool an item with its own fields and states."""

import base64
from collections.abc import Callable, Collection
from typing import Any

import msgspec

from runtime.core.agents.items import Answered, Called, CallForm, ItemStatus, Picture

Wired = dict[str, Any]

OWN_SERVER = "lar"
"""The label under which calls are shown that Lar carries out by itself: agents, knowledge, lists of work."""
FILE_RESULTS = "file_search_call.results"
WEB_RESULTS = "web_search_call.results"
WEB_SOURCES = "web_search_call.action.sources"
CODE_OUTPUTS = "code_interpreter_call.outputs"
NO_CONTAINER = "cntr_none"
"""Of a program that never ran."""

PROTOCOL_CODES = {
    "invalid_arguments": -32602,
    "unknown_tool": -32601,
    "timeout": -32001,
    "too_large": -32002,
    "denied": -32003,
    "asked": -32004,
    "cancelled": -32005,
    "limit": -32006,
    "conflict": -32007,
    "unknown_outcome": -32008,
}
"""Where Lar says no to a call of a tool of MCP, as JSON-RPC numbers such answers."""
UNREACHABLE = 424
"""As OpenAI tells a server that cannot be reached."""
_OTHER_CODE = -32000


def shown_form(called: Called) -> CallForm:
    """Return the form under which a call is shown.

    A function that Lar carries out itself is shown as a call of Lar's own server: to clients, an item
    `function_call` is a call that they have to make.
    """
    if not called.by_client and called.form in ("function", "custom", "shell", "local_shell", "apply_patch"):
        return "mcp"
    return called.form


def call_out(called: Called, result: Answered | None, include: Collection[str]) -> Wired:
    """Return a call; what its result adds is part of it where Lar has carried it out."""
    if isinstance(kept := called.extra.get("wire"), dict):
        return {**kept, "id": called.id}

    return _SHOWN[shown_form(called)](called, result, include)


def result_out(result: Answered, parts: list[Wired]) -> Wired:
    """Return a result that the asker has sent; `parts` are its parts in the words of the wire."""
    if isinstance(kept := result.extra.get("wire"), dict):
        return {**kept, "id": result.id}

    head = {"id": result.id, "call_id": result.call_id}
    is_text = all(each["type"] == "input_text" for each in parts)
    said: str | list[Wired] = result.text if is_text and len(parts) <= 1 else parts
    match result.form:
        case "shell":
            wired = {
                **head,
                "type": "shell_call_output",
                "status": _state(result.status),
                "output": result.structured if isinstance(result.structured, list) else _ran(result),
            }
            if "max_output_length" in result.extra:
                wired["max_output_length"] = result.extra["max_output_length"]
            return wired
        case "local_shell":
            kind, status = "local_shell_call_output", _state(result.status)
            return {**head, "type": kind, "status": status, "output": result.text}
        case "apply_patch":
            outcome = "failed" if result.is_error else "completed"
            return {**head, "type": "apply_patch_call_output", "status": outcome, "output": result.text}
        case "custom":
            kind = "custom_tool_call_output"
        case _:
            kind = "function_call_output"
    return {**head, "type": kind, "status": _state(result.status), "output": said}


def _function(called: Called, _result: Answered | None, _include: Collection[str]) -> Wired:
    wired = {
        "id": called.id,
        "type": "function_call",
        "status": _state(called.status),
        "call_id": called.call_id,
        "name": _own_name(called),
        "arguments": called.arguments,
    }
    if called.namespace is not None:
        wired["namespace"] = called.namespace
    return wired


def _custom(called: Called, _result: Answered | None, _include: Collection[str]) -> Wired:
    wired = {
        "id": called.id,
        "type": "custom_tool_call",
        "status": _state(called.status),
        "call_id": called.call_id,
        "name": _own_name(called),
        "input": called.arguments,
    }
    if called.namespace is not None:
        wired["namespace"] = called.namespace
    return wired


def _own_name(called: Called) -> str:
    return (called.tool or called.name) if called.namespace is not None else called.name


def _mcp(called: Called, result: Answered | None, _include: Collection[str]) -> Wired:
    is_failed = result is not None and result.is_error
    return {
        "id": called.id,
        "type": "mcp_call",
        "status": "failed" if is_failed else called.status,
        "server_label": called.server or OWN_SERVER,
        "name": called.tool or called.name,
        "arguments": called.arguments,
        "approval_request_id": called.approval if _is_wanted(called.approval) else None,
        "output": None if result is None or is_failed else _output(result),
        "error": None if result is None or not is_failed else _error(result),
    }


def _is_wanted(approval: str | None) -> bool:
    """Whether the asker allowed it by another request; what the gate let pass has ids of its own."""
    return approval is not None and approval.startswith("mcpr_")


def _output(result: Answered) -> str:
    if not result.text and result.structured is not None:
        return msgspec.json.encode(result.structured).decode()
    return result.text


def _error(result: Answered) -> Wired:
    if not result.code:
        content = [{"type": "text", "text": result.text}]
        return {"type": "mcp_tool_execution_error", "content": content}

    if result.code == "unreachable":
        return {"type": "http_error", "code": UNREACHABLE, "message": result.text}

    code = PROTOCOL_CODES.get(result.code, _OTHER_CODE)
    return {"type": "mcp_protocol_error", "code": code, "message": result.text}


def _file_search(called: Called, result: Answered | None, include: Collection[str]) -> Wired:
    shows = FILE_RESULTS in include and result is not None
    return {
        "id": called.id,
        "type": "file_search_call",
        "status": _moving(called, result),
        "queries": _queries(called),
        "results": [_file_result(each) for each in _listed(result, "results")] if shows else None,
    }


def _file_result(found: Wired) -> Wired:
    names = ("attributes", "file_id", "filename", "score", "text")
    return {name: found.get(name) for name in names}


def _web_search(called: Called, result: Answered | None, include: Collection[str]) -> Wired:
    told = arguments_of(called.arguments)
    action: Wired
    if "pattern" in told and "url" in told:
        action = {"type": "find_in_page", "pattern": _text(told["pattern"]), "url": _text(told["url"])}
    elif "url" in told:
        action = {"type": "open_page", "url": _text(told["url"])}
    else:
        queries = _queries(called)
        action = {"type": "search", "query": queries[0] if queries else "", "queries": queries}
        if WEB_SOURCES in include and result is not None:
            pages = _listed(result, "sources") or _listed(
                result, "results"
            )  # the client's own, or found here
            urls = [_text(each.get("url")) for each in pages]
            action["sources"] = [{"type": "url", "url": url} for url in urls]
    wired: Wired = {
        "id": called.id,
        "type": "web_search_call",
        "status": _moving(called, result),
        "action": action,
    }
    if WEB_RESULTS in include and result is not None:
        wired["results"] = _listed(result, "results")
    return wired


def _code(called: Called, result: Answered | None, include: Collection[str]) -> Wired:
    told = arguments_of(called.arguments)
    container = called.extra.get("container_id") or _field(result, "container_id") or NO_CONTAINER
    shows = CODE_OUTPUTS in include and result is not None
    return {
        "id": called.id,
        "type": "code_interpreter_call",
        "status": _moving(called, result),
        "code": _text(told.get("code")),
        "container_id": container,
        "outputs": _listed(result, "outputs") if shows else None,
    }


def _image(called: Called, result: Answered | None, _include: Collection[str]) -> Wired:
    picture: str | None = None
    if result is not None:
        held = next((e.data for e in result.parts if isinstance(e, Picture) and e.data is not None), None)
        picture = _field(result, "result") if held is None else base64.b64encode(held).decode()
    state = _moving(called, result)
    wired: Wired = {
        "id": called.id,
        "type": "image_generation_call",
        "status": "failed" if state == "incomplete" else state,
        "result": picture,
    }
    for name in ("action", "background", "output_format", "quality", "revised_prompt", "size"):
        value = _field(result, name)
        if value is not None:
            wired[name] = value
    if result is not None and result.is_error:
        code = result.code or None
        wired["error"] = {"type": "image_generation_error", "code": code, "message": result.text}
    return wired


def _shell(called: Called, _result: Answered | None, _include: Collection[str]) -> Wired:
    told = arguments_of(called.arguments)
    return {
        "id": called.id,
        "type": "shell_call",
        "status": _state(called.status),
        "call_id": called.call_id,
        "action": {
            "commands": _texts(told.get("commands")),
            "timeout_ms": _number(told.get("timeout_ms")),
            "max_output_length": _number(told.get("max_output_length")),
        },
        "environment": called.extra.get("environment") or {"type": "local"},
    }


def _local_shell(called: Called, _result: Answered | None, _include: Collection[str]) -> Wired:
    told = arguments_of(called.arguments)
    surroundings = told.get("env")
    return {
        "id": called.id,
        "type": "local_shell_call",
        "status": _state(called.status),
        "call_id": called.call_id,
        "action": {
            "type": "exec",
            "command": _texts(told.get("command")),
            "env": {name: _text(value) for name, value in surroundings.items()}
            if isinstance(surroundings, dict)
            else {},
            "timeout_ms": _number(told.get("timeout_ms")),
            "user": told["user"] if isinstance(told.get("user"), str) else None,
            "working_directory": told["working_directory"]
            if isinstance(told.get("working_directory"), str)
            else None,
        },
    }


def _apply_patch(called: Called, _result: Answered | None, _include: Collection[str]) -> Wired:
    told = arguments_of(called.arguments)
    kind = told.get("type")
    operation: Wired = {
        "type": kind if kind in ("create_file", "delete_file", "update_file") else "update_file",
        "path": _text(told.get("path")),
    }
    if operation["type"] != "delete_file":
        operation["diff"] = _text(told.get("diff"))
    return {
        "id": called.id,
        "type": "apply_patch_call",
        "status": "completed" if called.status == "completed" else "in_progress",
        "call_id": called.call_id,
        "operation": operation,
    }


def arguments_of(text: str) -> Wired:
    """Return arguments as an object; those that are cut off or are none have no fields."""
    try:
        told = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _queries(called: Called) -> list[str]:
    told = arguments_of(called.arguments)
    queries = _texts(told.get("queries"))
    return queries or ([_text(told["query"])] if told.get("query") else [])


def _listed(result: Answered | None, name: str) -> list[Wired]:
    """Return a list of objects that a result holds: under a name, or as all there is."""
    held = None if result is None else result.structured
    if isinstance(held, dict):
        held = held.get(name)
    return [each for each in held if isinstance(each, dict)] if isinstance(held, list | tuple) else []


def _field(result: Answered | None, name: str) -> Any:
    held = None if result is None else result.structured
    return held.get(name) if isinstance(held, dict) else None


def _ran(result: Answered) -> list[Wired]:
    outcome = {"type": "exit", "exit_code": 1 if result.is_error else 0}
    return [{"stdout": result.text, "stderr": "", "outcome": outcome}]


def _state(status: ItemStatus) -> str:
    return "incomplete" if status == "failed" else status


def _moving(called: Called, result: Answered | None) -> str:
    """Return the state of a call that Lar carries out: it is completed with its result."""
    if result is not None:
        return "failed" if result.is_error else "completed"
    return called.status


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _texts(value: object) -> list[str]:
    return [_text(each) for each in value] if isinstance(value, list) else []


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


_SHOWN: dict[CallForm, Callable[[Called, Answered | None, Collection[str]], Wired]] = {
    "function": _function,
    "custom": _custom,
    "mcp": _mcp,
    "file_search": _file_search,
    "web_search": _web_search,
    "code_interpreter": _code,
    "image_generation": _image,
    "shell": _shell,
    "local_shell": _local_shell,
    "apply_patch": _apply_patch,
}
