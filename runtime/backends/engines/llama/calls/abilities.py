"""What a chat template can show, found out by asking it: it renders small conversations with words to find.

A template is a program; what it does with tools cannot be read off it, but can be seen.
"""

from typing import Any, NamedTuple

from runtime.backends.engines.llama.template import ChatTemplate, TemplateBroken, TemplateRefused

PROBED_TOOL = "probe_tool"
_USER: dict[str, Any] = {"role": "user", "content": "ask"}
_ARGUMENTS = {"probe_key": "probe_value"}
_ARGUMENTS_TEXT = '{"probe_key": "probe_value"}'
_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": PROBED_TOOL,
        "description": "probe",
        "parameters": {"type": "object", "properties": {"probe_key": {"type": "string"}}},
    },
}


class Abilities(NamedTuple):
    """What the template writes into the prompt when it is given it."""

    has_system: bool = True
    """A system message."""
    has_tools: bool = False
    """The list of tools."""
    has_calls: bool = False
    """Calls of earlier answers."""
    has_results: bool = False
    """Results of tools, under their own role."""
    has_parsed_arguments: bool = True
    """Whether the arguments of a call are to be given as an object and not as JSON text."""
    shown_call: str = ""
    """How it writes a call of `PROBED_TOOL`; empty where it writes none."""


def probe_abilities(source: str) -> Abilities:
    """Return what the template can show; a template that is broken shows nothing."""
    try:
        template = ChatTemplate(source)
    except TemplateBroken:
        return Abilities()

    parsed, text = _call(_ARGUMENTS), _call(_ARGUMENTS_TEXT)
    shown = _show(template, [_USER, parsed])
    is_parsed = _ARGUMENTS_TEXT in shown or _reads_keys(shown)
    if not is_parsed:
        shown = _show(template, [_USER, text])

    has_calls = is_parsed or _ARGUMENTS_TEXT in shown
    call = parsed if is_parsed else text
    result = {"role": "tool", "content": "probe_result", "tool_call_id": "abcdefghi", "name": PROBED_TOOL}
    return Abilities(
        has_system="probe_system" in _show(template, [{"role": "system", "content": "probe_system"}, _USER]),
        has_tools=PROBED_TOOL in _show(template, [_USER], [_TOOL]),
        has_calls=has_calls,
        has_results="probe_result" in _show(template, [_USER, call, result]),
        has_parsed_arguments=is_parsed,
        shown_call=shown if has_calls else "",
    )


def _reads_keys(shown: str) -> bool:
    """Whether the arguments are written one by one, and not as a Python object."""
    return "probe_value" in shown and "'probe_key':" not in shown


def _call(arguments: Any) -> dict[str, Any]:
    function = {"name": PROBED_TOOL, "arguments": arguments}
    call = {"id": "abcdefghi", "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def _show(
    template: ChatTemplate, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None = None
) -> str:
    try:
        return "".join(piece.text for piece in template.render(messages, tools=tools).pieces)
    except TemplateRefused:
        return ""
