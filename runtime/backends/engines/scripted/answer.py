"""What the scripted engine answers: a function of the request and nothing else.

The last message of the user decides, by its cues and by its words; tools and the response format decide
the shape. The rules are written down for users in docs/guides/scripted.md.
"""

import hashlib
import json
import re
from typing import Literal

import msgspec

from runtime.backends.engines.scripted.chat import Chat, Custom, Function, Refused, read_chat
from runtime.backends.engines.scripted.cues import CalledTool, Cues, read_cues
from runtime.backends.engines.scripted.custom import write_input
from runtime.backends.engines.scripted.minimal import find_minimal
from runtime.backends.engines.scripted.schema import Schema, SchemaRefused
from runtime.backends.protocol import Fault, Generate

COMMON_WORDS = frozenset((
    "about", "all", "and", "any", "are", "but", "can", "did", "does", "for", "from", "has", "have",
    "her", "his", "how", "into", "its", "may", "not", "now", "one", "our", "out", "she", "some", "tell",
    "than", "that", "the", "their", "them", "then", "there", "they", "this", "too", "use", "was",
    "what", "when", "where", "which", "who", "why", "will", "with", "you", "your",
))  # fmt: skip
"""Words that say nothing about which tool is meant."""
_SHORTEST_WORD = 3
_ID_DIGITS = 24
_OBJECT = {"type": "object"}

_CASE_CHANGE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_WORD = re.compile(r"[^\W_]+")


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A tool call that the answer makes."""

    id: str
    name: str
    arguments: str
    type: Literal["function", "custom"] = "function"


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer: first the echo of the prompt, then the reasoning, then the text, then the calls."""

    prompt_tokens: int
    echo: str = ""
    cues: Cues
    reasoning: str = ""
    text: str = ""
    calls: tuple[Call, ...] = ()


def decide_script(request: Generate) -> Script | Fault:
    """Return the answer to a request, or why there is none."""
    try:
        chat = read_chat(request)
        cues = _cues_of(chat)
        calls = _decide_calls(request, chat, cues)
        text = _decide_text(request, chat, cues, has_calls=bool(calls))
    except Refused as refusal:
        return refusal.fault

    return Script(
        prompt_tokens=len(chat.list_pieces()),
        echo=(chat.raw.text or "") if chat.raw is not None and chat.raw.is_echoed else "",
        cues=cues,
        reasoning="" if request.reasoning_effort == "none" else cues.reason,
        text=text,
        calls=tuple(_identify(request, index, call) for index, call in enumerate(calls)),
    )


def _cues_of(chat: Chat) -> Cues:
    index = chat.asked_index
    if index is None:
        return Cues()

    return read_cues(chat.messages[index].text, chat.asked_param)


def _decide_calls(request: Generate, chat: Chat, cues: Cues) -> list[Call]:
    allowed = _allowed(request, chat)
    if chat.rounds_made < len(cues.rounds):
        called = cues.rounds[chat.rounds_made]
        wanted = called if request.parallel_tool_calls else called[:1]
        return [_check_offered(call, allowed, chat) for call in wanted]

    if request.tool_mode == "required":
        if not allowed:
            raise _invalid("A tool must be called, but none is offered. Offer one in tools.", "tool_choice")
        return [_call_minimally(allowed[0], chat, cues)]

    if request.tool_mode == "none" or chat.results or cues.say is not None or cues.words is not None:
        return []

    related = _most_related(allowed, cues.text)
    return [_call_minimally(related, chat, cues)] if related else []


def _allowed(request: Generate, chat: Chat) -> list[Function | Custom]:
    if request.tool_mode == "none":
        return []

    offered = {tool.name for tool in chat.offered}
    unknown = [name for name in request.tool_names if name not in offered]
    if unknown:
        raise _invalid(
            f"The tool '{unknown[0]}' is not in tools. Offer it, or choose another.", "tool_choice"
        )

    return [each for each in chat.offered if not request.tool_names or each.name in request.tool_names]


def _check_offered(call: CalledTool, allowed: list[Function | Custom], chat: Chat) -> Call:
    """Return the call of a cue, if its tool may be called in this way."""
    tool = next((each for each in allowed if each.name == call.name), None)
    if tool is None:
        message = (
            f"The cue [[call: {call.name}]] names a tool that may not be called here. "
            f"Tools that may: {', '.join(each.name for each in allowed) or 'none'}."
        )
        raise _invalid(message, chat.asked_param)

    if isinstance(tool, Custom):
        given = call.arguments if call.input is None else call.input
        return Call(id="", name=tool.name, arguments=given, type="custom")

    if call.input is not None:
        message = f"The cue [[call: {call.name}]] gives a text, but this function takes a JSON object."
        raise _invalid(message, chat.asked_param)

    return Call(id="", name=tool.name, arguments=call.arguments)


def _call_minimally(tool: Function | Custom, chat: Chat, cues: Cues) -> Call:
    """Return a call with the smallest arguments that the tool's schema allows, or an input of its form."""
    place = f"tools[{chat.offered.index(tool)}]"
    if isinstance(tool, Custom):
        given = write_input(tool, cues.text, f"{place}.custom.format")
        return Call(id="", name=tool.name, arguments=given, type="custom")

    arguments = _minimal_json(f"{place}.function.parameters", tool.parameters or {}, _OBJECT)
    return Call(id="", name=tool.name, arguments=arguments)


def _most_related(functions: list[Function | Custom], text: str) -> Function | Custom | None:
    """Return the tool that shares the most words with the text, the first of equals; None if none shares."""
    asked = _words(text)
    best, most = None, 0
    for function in functions:
        shared = len(asked & (_words(function.name) | _words(function.description or "")))
        if shared > most:
            best, most = function, shared

    return best


def _words(text: str) -> frozenset[str]:
    parts = _WORD.findall(_CASE_CHANGE.sub(" ", text).lower())
    return frozenset(part for part in parts if len(part) >= _SHORTEST_WORD and part not in COMMON_WORDS)


def _decide_text(request: Generate, chat: Chat, cues: Cues, *, has_calls: bool) -> str:
    if has_calls and len(cues.rounds) > 1:
        return ""

    if cues.say is not None:
        return cues.say

    if cues.words is not None:
        return " ".join(f"word{number}" for number in range(1, cues.words + 1))

    if has_calls:
        return ""

    if request.format_type == "json_object" or (
        request.format_type == "json_schema" and request.format_schema is None
    ):
        return "{}"

    if request.format_type == "json_schema":
        return _minimal_json("response_format.json_schema.schema", request.format_schema)

    if chat.results:
        return "\n".join(f"{chat.called_name(result)} returned: {result.text}" for result in chat.results)

    if chat.raw is not None and chat.raw.suffix is not None:
        return f"Between {json.dumps(cues.text)} and {json.dumps(chat.raw.suffix)}."

    return _reply(chat, cues)


def _reply(chat: Chat, cues: Cues) -> str:
    """Return what was said and shown last."""
    pictures = 0 if chat.asked_index is None else chat.messages[chat.asked_index].pictures
    shown = f"You showed {pictures} picture{'s' if pictures > 1 else ''}." if pictures else ""
    said = f"You said: {cues.text}" if cues.text else ""
    return "\n".join(filter(None, (said, shown))) or "You said nothing."


def _minimal_json(param: str, *schemas: Schema) -> str:
    try:
        return json.dumps(find_minimal(*schemas), ensure_ascii=False)
    except SchemaRefused as refusal:
        raise _unmet(refusal, param) from refusal
    except RecursionError as error:  # a default or an enum may hold any value, however deep
        raise _unmet(SchemaRefused("value", "#", "nests too deeply"), param) from error


def _unmet(refusal: SchemaRefused, param: str) -> Refused:
    message = (
        f"The scripted engine finds no value for this schema: at {refusal.path}, "
        f"{refusal.keyword} {refusal.why}."
    )
    return Refused(Fault(code="invalid_json_schema", message=message, param=param))


def _identify(request: Generate, index: int, call: Call) -> Call:
    """Give a call its id: the same for the same conversation, another one in the next turn."""
    identity = msgspec.json.encode([request.messages, index, call.name, call.arguments])
    digest = hashlib.sha256(identity).hexdigest()[:_ID_DIGITS]
    return msgspec.structs.replace(call, id=f"call_{digest}")


def _invalid(message: str, param: str) -> Refused:
    return Refused(Fault(code="invalid_request", message=message, param=param))
