"""From tools, tool choice and response format on the wire to the core's words."""

import re
from collections.abc import Sequence

from runtime.api.bodies import check_plain_json, nearest
from runtime.api.errors import Refused, invalid, unsupported
from runtime.api.openai.body import (
    AllowedChoice,
    ChatBody,
    CustomChoice,
    CustomTool,
    JsonObjectFormat,
    JsonSchemaFormat,
    NamedChoice,
    TextFormat,
    WireFunctionTool,
)
from runtime.core.messages import FunctionTool, ResponseFormat, ToolChoice

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_SCHEMA_TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})


def tools_of(tools: Sequence[WireFunctionTool | CustomTool] | None) -> tuple[FunctionTool, ...]:
    """Return the functions that may be called. Raises Refused."""
    functions: list[FunctionTool] = []
    names: set[str] = set()
    for place, tool in enumerate(tools or ()):
        path = f"tools[{place}]"
        if isinstance(tool, CustomTool):
            raise unsupported("Custom tools are not supported yet. Use function tools.", f"{path}.type")

        function = tool.function
        check_name(function.name, f"{path}.function.name")
        if function.name in names:
            raise invalid(f"Two tools are named '{function.name}'.", f"{path}.function.name")

        names.add(function.name)
        _check_parameters(tool, f"{path}.function.parameters")
        functions.append(
            FunctionTool(
                name=function.name,
                description=function.description,
                parameters=function.parameters,
                strict=function.strict,
            )
        )
    return tuple(functions)


def tool_choice_of(body: ChatBody) -> ToolChoice:
    """Return how free the model is to call tools. Raises Refused for a name that is no tool."""
    names = {each.function.name for each in body.tools or () if isinstance(each, WireFunctionTool)}
    choice = body.tool_choice
    if choice is None:
        return ToolChoice()

    if isinstance(choice, CustomChoice):
        raise unsupported("Custom tools are not supported yet. Use function tools.", "tool_choice.type")

    if not names and choice not in ("none", "auto"):
        raise invalid("'tool_choice' is only allowed when 'tools' are specified.", "tool_choice")

    match choice:
        case NamedChoice():
            _check_is_tool(choice.function.name, names, "tool_choice.function.name")
            return ToolChoice(mode="required", names=(choice.function.name,))
        case AllowedChoice():
            allowed = [each.function.name for each in choice.allowed_tools.tools]
            for place, name in enumerate(allowed):
                _check_is_tool(name, names, f"tool_choice.allowed_tools.tools[{place}].function.name")
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


def _check_is_tool(name: str, names: set[str], param: str) -> None:
    if name in names:
        return

    meant = nearest(name, names)
    hint = f" Did you mean '{meant}'?" if meant else ""
    raise invalid(f"'{param}' is '{name[:80]}', which is not among 'tools'.{hint}", param)


def _check_parameters(tool: WireFunctionTool, param: str) -> None:
    parameters = tool.function.parameters
    if parameters is None:
        return

    check_plain_json(parameters, param)
    if parameters.get("type", "object") != "object":
        raise invalid(
            f"Invalid schema for function '{tool.function.name}': its type must be 'object'.",
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
