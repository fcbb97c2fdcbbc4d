"""Turns a conversation with tools into messages that a template can show. Pure.

What the template has no words for (earlier calls, results, the tools themselves) becomes text of plain
messages. Marks that Lar writes are trusted; whatever tools, models and people wrote is not.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

from runtime.backends.engines.llama.calls.forms import ANY, CUSTOM_AFTER, Form, custom_head
from runtime.backends.engines.llama.masking import Piece, Woven

_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SEVERAL = 2
_RESULTS = "is_results"
"""Marks a user's message that holds results, while the history is told."""
_SHORT_ID = re.compile("[A-Za-z0-9]{9}")


def tell_history(messages: Sequence[dict[str, Any]], form: Form) -> list[dict[str, Any]]:
    """Return the messages with calls and results as the template can show them."""
    names = _names_of_calls(messages)
    if form.is_single:
        messages = _one_by_one(messages)

    told: list[dict[str, Any]] = []
    for message in messages:
        if message.get("role") == "assistant" and message.get("tool_calls"):
            told.append(_tell_calls(message, form))
        elif message.get("role") == "tool":
            _tell_result(told, message, names, form)
        elif told and told[-1].get("role") == message.get("role") == "user" and _is_results(told[-1]):
            told[-1] = {**told[-1], "content": join(told[-1]["content"], message.get("content"))}
        else:
            told.append(message)

    return [{key: each for key, each in message.items() if key != _RESULTS} for message in told]


def instruct(
    messages: list[dict[str, Any]], form: Form, notes: Sequence[Sequence[Piece]]
) -> list[dict[str, Any]]:
    """Return the messages with notes at the end of the system's.

    Where the template has no place for a system message, all of it goes before the first of the user.
    """
    told: Any = ""
    for note in notes:
        told = join(told, Woven(tuple(note)))

    first = messages[0] if messages else {}
    has_system = first.get("role") in ("system", "developer")
    if not _pieces(told) and (form.abilities.has_system or not has_system):
        return messages

    if has_system:
        told = join(first.get("content"), told)

    rest = messages[1:] if has_system else messages
    if form.abilities.has_system:
        return [{**(first if has_system else {"role": "system"}), "content": told}, *rest]

    if rest and rest[0].get("role") == "user":
        return [{**rest[0], "content": join(told, rest[0].get("content"))}, *rest[1:]]

    return [{"role": "user", "content": told}, *rest]


def join(first: Any, second: Any, gap: str = "\n\n") -> Woven | list[Any]:
    """Return two contents as one: texts, parts, or woven texts."""
    if isinstance(first, list) or isinstance(second, list):
        return [*_parts(first), {"type": "text", "text": gap}, *_parts(second)]

    before, after = _pieces(first), _pieces(second)
    between = [Piece(gap, is_trusted=False)] if before and after else []
    return Woven((*before, *between, *after))


def _pieces(content: Any) -> Sequence[Piece]:
    if isinstance(content, Woven):
        return content.pieces

    return (Piece(content, is_trusted=False),) if content else ()


def _parts(content: Any) -> list[Any]:
    if isinstance(content, list):
        return content

    return [{"type": "text", "text": "".join(piece.text for piece in _pieces(content))}] if content else []


def _one_by_one(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages with each of several calls in a message of its own, its result behind it."""
    told: list[dict[str, Any]] = []
    rest = list(messages)
    while rest:
        message, rest = rest[0], rest[1:]
        calls = message.get("tool_calls") or ()
        if len(calls) < _SEVERAL:
            told.append(message)
            continue

        count = next((at for at, each in enumerate(rest) if each.get("role") != "tool"), len(rest))
        results, rest = rest[:count], rest[count:]
        for at, call in enumerate(calls):
            own = {**message, "tool_calls": [call]}
            told.append(own if at == 0 else {**own, "content": None, "reasoning_content": None})
            told += [result for result in results if result.get("tool_call_id") == call.get("id")]

        ids = {call.get("id") for call in calls}
        told += [result for result in results if result.get("tool_call_id") not in ids]

    return told


def _names_of_calls(messages: Sequence[dict[str, Any]]) -> dict[str, str]:
    return {
        str(call.get("id")): str(call["function"]["name"])
        for message in messages
        for call in message.get("tool_calls") or ()
    }


def _is_results(message: dict[str, Any]) -> bool:
    return bool(message.get(_RESULTS))


# ---- calls


def _tell_calls(message: dict[str, Any], form: Form) -> dict[str, Any]:
    calls = message["tool_calls"]
    if form.abilities.has_calls and all(call.get("type") != "custom" for call in calls):
        return {**message, "tool_calls": [_shown_call(call, form) for call in calls]}

    rest = {key: each for key, each in message.items() if key != "tool_calls"}
    return {**rest, "content": join(message.get("content"), _write_calls(calls, form), "\n")}


def _shown_call(call: dict[str, Any], form: Form) -> dict[str, Any]:
    function = dict(call["function"])
    if form.abilities.has_parsed_arguments:
        function["arguments"] = _parsed(function.get("arguments") or "{}")

    return {**call, "id": _call_id(call.get("id"), form), "function": function}


def _parsed(arguments: str) -> Any:
    """Return the object that the JSON text spells; the text itself where it spells none."""
    try:
        parsed = json.loads(arguments)
    except ValueError:
        return arguments

    return parsed if isinstance(parsed, dict) else arguments


def _call_id(id_: Any, form: Form) -> Any:
    """Return the id as the template wants it; the same id is always told alike."""
    text = str(id_)
    if not form.has_short_ids or id_ is None or _SHORT_ID.fullmatch(text):
        return id_

    number = int.from_bytes(hashlib.sha256(text.encode()).digest())
    return "".join(_LETTERS[number // len(_LETTERS) ** place % len(_LETTERS)] for place in range(9))


def _write_calls(calls: Sequence[dict[str, Any]], form: Form) -> Woven:
    """Return calls as the model wrote them: functions first, as its grammar has it."""
    functions = [call for call in calls if call.get("type") != "custom"]
    pieces: list[Piece] = []
    for call in functions:
        pieces += _write_function(call, form, is_first=not pieces)

    if functions:
        pieces.append(Piece(form.closing, is_trusted=True))

    for call in calls:
        if call.get("type") == "custom":
            name, text = call["function"]["name"], call["function"].get("arguments") or ""
            pieces.append(Piece("\n" if pieces else "", is_trusted=True))
            pieces.append(Piece(f"{custom_head(name)}{text}{CUSTOM_AFTER}", is_trusted=False))

    return Woven(tuple(pieces))


def _write_function(call: dict[str, Any], form: Form, *, is_first: bool) -> list[Piece]:
    function = call["function"]
    middle = form.before_arguments
    if ANY in middle:
        middle = re.sub(f"{ANY}+", str(_call_id(call.get("id"), form)), middle)

    arguments = function.get("arguments") or "{}"
    return [
        Piece((form.opening if is_first else form.between) + form.before_name, is_trusted=True),
        Piece(str(function["name"]), is_trusted=False),
        Piece(middle, is_trusted=True),
        Piece(_tags(arguments) if form.shape == "tags" else arguments, is_trusted=False),
        Piece(form.after, is_trusted=True),
    ]


def _tags(arguments: str) -> str:
    parsed = _parsed(arguments)
    if not isinstance(parsed, dict):
        return arguments

    return "".join(
        f"<parameter={key}>\n{value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        "\n</parameter>\n"
        for key, value in parsed.items()
    )


# ---- results


def _tell_result(
    told: list[dict[str, Any]], message: dict[str, Any], names: dict[str, str], form: Form
) -> None:
    """Add a tool's result, under its own role where the template knows it, else in a user's message."""
    name = message.get("name") or names.get(str(message.get("tool_call_id")), "")
    if form.abilities.has_results:
        told_id = _call_id(message.get("tool_call_id"), form)
        told.append({**message, "role": form.result_role, "name": name, "tool_call_id": told_id})
        return

    block = join(
        join(Woven((Piece("<tool_response>", is_trusted=True),)), message.get("content"), "\n"),
        Woven((Piece("</tool_response>", is_trusted=True),)),
        "\n",
    )
    if told and _is_results(told[-1]):
        told[-1] = {**told[-1], "content": join(told[-1]["content"], block, "\n")}
    else:
        told.append({"role": "user", "content": block, _RESULTS: True})
