"""From Anthropic's tools, tool choice and output format to the core's words."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from runtime.api.anthropic.body import (
    AnyChoice,
    AutoChoice,
    JsonSchemaFormat,
    NamedChoice,
    NoChoice,
    PromptBody,
    ToolHeads,
    WireTool,
    WireTools,
)
from runtime.api.bodies import check_plain_json, decode_body, nearest
from runtime.api.errors import invalid, unsupported
from runtime.core.messages import FunctionTool, ResponseFormat, ToolChoice

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_DIRECT = "direct"
"""The caller that is the model itself, as opposed to code that it wrote."""


class Choice(NamedTuple):
    """How free the model is to call tools, and whether several at once."""

    tools: ToolChoice
    is_parallel: bool


def tools_of(raw: msgspec.Raw) -> tuple[FunctionTool, ...]:
    """Return the tools of the client; no two share a name. Raises Refused, also for a server's tool."""
    content = b'{"tools":%s}' % bytes(raw)
    for place, head in enumerate(decode_body(content, ToolHeads).tools or ()):
        if head.type not in (None, "custom"):
            raise unsupported(
                f"'tools[{place}]' is of type '{head.type[:80]}', which Anthropic's servers bring and this "
                "one does not. Give a tool of your own, with name, description and input_schema.",
                f"tools[{place}].type",
            )

    found: dict[str, FunctionTool] = {}
    for place, wire in enumerate(decode_body(content, WireTools).tools or ()):
        if wire.name in found:
            raise invalid(f"Two tools are named '{wire.name}'.", f"tools[{place}].name")

        found[wire.name] = _tool_of(wire, f"tools[{place}]")
    return tuple(found.values())


def choice_of(
    wire: AutoChoice | AnyChoice | NamedChoice | NoChoice | None, tools: Sequence[FunctionTool]
) -> Choice:
    """Return how free the model is to call tools. Raises Refused for a name that is no tool."""
    if isinstance(wire, AnyChoice | NamedChoice) and not tools:
        raise invalid("'tool_choice' may only ask for a tool when 'tools' are given.", "tool_choice")

    match wire:
        case None:
            return Choice(ToolChoice(), is_parallel=True)
        case NoChoice():
            return Choice(ToolChoice(mode="none"), is_parallel=True)
        case AutoChoice():
            return Choice(ToolChoice(), is_parallel=not wire.disable_parallel_tool_use)
        case AnyChoice():
            return Choice(ToolChoice(mode="required"), is_parallel=not wire.disable_parallel_tool_use)
        case NamedChoice():
            names = (_named(wire.name, tools),)
            return Choice(
                ToolChoice(mode="required", names=names), is_parallel=not wire.disable_parallel_tool_use
            )


def format_of(body: PromptBody) -> ResponseFormat:
    """Return the shape that the answer must have. Raises Refused."""
    inner = None if body.output_config is None else body.output_config.format
    if inner is not None and body.output_format is not None:
        raise invalid(
            "'output_format' and 'output_config.format' say the same. Send only the second.", "output_format"
        )

    if inner is not None:
        return _schema_format(inner, "output_config.format.schema")

    return (
        ResponseFormat()
        if body.output_format is None
        else _schema_format(body.output_format, "output_format.schema")
    )


def _schema_format(wire: JsonSchemaFormat, param: str) -> ResponseFormat:
    check_plain_json(wire.schema, param)
    return ResponseFormat(type="json_schema", name="output", schema=wire.schema, strict=True)


def _tool_of(wire: WireTool, path: str) -> FunctionTool:
    if _NAME.fullmatch(wire.name) is None:
        raise invalid(
            f"Invalid '{path}.name': use 1 to 128 letters, digits, underscores and hyphens.", f"{path}.name"
        )

    check_plain_json(wire.input_schema, f"{path}.input_schema")
    if wire.input_schema.get("type", "object") != "object":
        raise invalid(
            f"Invalid schema for the tool '{wire.name}': its type must be 'object'.",
            f"{path}.input_schema.type",
            code="invalid_function_parameters",
        )

    if wire.allowed_callers is not None and _DIRECT not in wire.allowed_callers:
        raise unsupported(
            f"'{path}.allowed_callers' must have '{_DIRECT}': no code that a model wrote is run here.",
            f"{path}.allowed_callers",
        )

    return FunctionTool(
        name=wire.name,
        description=_description_of(wire, f"{path}.input_examples"),
        parameters=wire.input_schema,
        strict=wire.strict,
    )


def _description_of(wire: WireTool, param: str) -> str | None:
    """Return the description with the examples below it, since no template has a place for these."""
    if not wire.input_examples:
        return wire.description

    check_plain_json(wire.input_examples, param)
    examples = "\n".join(msgspec.json.encode(each).decode() for each in wire.input_examples)
    return f"{wire.description or ''}\nExamples of its input:\n{examples}".lstrip()


def _named(name: str, tools: Sequence[FunctionTool]) -> str:
    names = [each.name for each in tools]
    if name in names:
        return name

    meant = nearest(name, names)
    hint = f" Did you mean '{meant}'?" if meant else ""
    raise invalid(
        f"'tool_choice.name' is '{name[:80]}', which is not among 'tools'.{hint}", "tool_choice.name"
    )
