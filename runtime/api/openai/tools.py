"""From tools, tool choice and response format on the wire to the core's words."""

import re
from collections.abc import Sequence

from runtime.api.bodies import check_plain_json, nearest
from runtime.api.errors import Refused, invalid
from runtime.api.openai.body import (
    AllowedChoice,
    AnyTool,
    ChatBody,
    CustomChoice,
    GrammarText,
    JsonObjectFormat,
    JsonSchemaFormat,
    NamedChoice,
    TextFormat,
    WireCustom,
    WireFunction,
    WireFunctionTool,
)
from runtime.core.messages import CustomTool, FunctionTool, ResponseFormat, ToolChoice

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_SCHEMA_TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})


def tools_of(tools: Sequence[AnyTool] | None) -> tuple[FunctionTool | CustomTool, ...]:
    """Return the tools that may be called; no two share a name. Raises Refused."""
    found: list[FunctionTool | CustomTool] = []
    names: set[str] = set()
    for place, tool in enumerate(tools or ()):
        if isinstance(tool, WireFunctionTool):
            path = f"tools[{place}].function"
            made: FunctionTool | CustomTool = _function_of(tool.function, path)
        else:
            path = f"tools[{place}].custom"
            made = _custom_of(tool.custom, path)
        if made.name in names:
            raise invalid(f"Two tools are named '{made.name}'.", f"{path}.name")

        names.add(made.name)
        found.append(made)
    return tuple(found)


def tool_choice_of(body: ChatBody) -> ToolChoice:
    """Return how free the model is to call tools. Raises Refused for a name that is no tool."""
    choice = body.tool_choice
    if choice is None:
        return ToolChoice()

    if not body.tools and choice not in ("none", "auto"):
        raise invalid("'tool_choice' is only allowed when 'tools' are specified.", "tool_choice")

    match choice:
        case NamedChoice() | CustomChoice():
            return ToolChoice(mode="required", names=(_named(choice, body, "tool_choice"),))
        case AllowedChoice():
            allowed = [
                _named(each, body, f"tool_choice.allowed_tools.tools[{place}]")
                for place, each in enumerate(choice.allowed_tools.tools)
            ]
            return ToolChoice(mode=choice.allowed_tools.mode, names=tuple(dict.fromkeys(allowed)))
        case "none" | "auto" | "required":
            return ToolChoice(mode=choice)


def response_format_of(
    wire: TextFormat | JsonObjectFormat | JsonSchemaFormat | None,
) -> ResponseFormat:
    """Return the shape that the answer must have. Raises Refused."""
    match wire:
        case None | TextFormat():
            return ResponseFormat()
        case JsonObjectFormat():
            return ResponseFormat(type="json_object")
        case JsonSchemaFormat():
            asked = wire.json_schema
            check_name(asked.name, "response_format.json_schema.name")
            path = "response_format.json_schema.schema"
            if asked.schema is None:
                raise invalid(
                    f"Missing required parameter: '{path}'.", path, code="missing_required_parameter"
                )

            check_plain_json(asked.schema, path)
            _check_schema_type(asked.schema.get("type"), asked.name, path)
            return ResponseFormat(
                type="json_schema", name=asked.name, schema=asked.schema, strict=asked.strict
            )


def check_name(name: str, param: str) -> None:
    """Refuse a name that OpenAI would refuse. Raises Refused."""
    if _NAME.fullmatch(name) is None:
        raise invalid(
            f"Invalid '{param}': use 1 to 64 letters, digits, underscores and hyphens (a-z, A-Z, 0-9, _, -).",
            param,
        )


def _function_of(wire: WireFunction, path: str) -> FunctionTool:
    check_name(wire.name, f"{path}.name")
    _check_parameters(wire, f"{path}.parameters")
    return FunctionTool(
        name=wire.name, description=wire.description, parameters=wire.parameters, strict=wire.strict
    )


def _custom_of(wire: WireCustom, path: str) -> CustomTool:
    check_name(wire.name, f"{path}.name")
    if not isinstance(wire.format, GrammarText):
        return CustomTool(name=wire.name, description=wire.description)

    grammar = wire.format.grammar
    return CustomTool(
        name=wire.name,
        description=wire.description,
        syntax=grammar.syntax,
        definition=grammar.definition,
    )


def _named(choice: NamedChoice | CustomChoice, body: ChatBody, path: str) -> str:
    """Return the name of a tool that is there, of the kind that is said. Raises Refused."""
    if isinstance(choice, NamedChoice):
        kind, name = "function", choice.function.name
        names = {tool.function.name for tool in body.tools or () if isinstance(tool, WireFunctionTool)}
    else:
        kind, name = "custom", choice.custom.name
        names = {tool.custom.name for tool in body.tools or () if not isinstance(tool, WireFunctionTool)}
    if name in names:
        return name

    param = f"{path}.{kind}.name"
    meant = nearest(name, names)
    hint = f" Did you mean '{meant}'?" if meant else ""
    raise invalid(f"'{param}' is '{name[:80]}', which is not among the {kind} tools in 'tools'.{hint}", param)


def _check_parameters(function: WireFunction, param: str) -> None:
    parameters = function.parameters
    if parameters is None:
        return

    check_plain_json(parameters, param)
    if parameters.get("type", "object") != "object":
        raise invalid(
            f"Invalid schema for function '{function.name}': its type must be 'object'.",
            param,
            code="invalid_function_parameters",
        )


def _check_schema_type(kind: object, name: str, param: str) -> None:
    kinds = kind if isinstance(kind, list) else [kind]
    for each in kinds:
        if each is not None and not (isinstance(each, str) and each in _SCHEMA_TYPES):
            raise _bad_schema(name, f"'{str(each)[:80]}' is no JSON Schema type", param)


def _bad_schema(name: str, cause: str, param: str) -> Refused:
    return invalid(
        f"Invalid schema for response_format '{name}': {cause}.", param, code="invalid_json_schema"
    )
