"""Which tools of a request may be called, and what holds for their calls. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from runtime.backends.engines.llama.calls.bodies import Ruled, texts_of
from runtime.backends.engines.llama.calls.reader import Law
from runtime.backends.engines.llama.grammar.compiler import lark_of_custom
from runtime.backends.engines.llama.grammar.schema import bound_schema
from runtime.backends.engines.llama.grammar.validity import Validity
from runtime.backends.protocol import Fault, Generate

_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,128}")
"""What a form can write between its marks."""

_NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}


class Toolbox(NamedTuple):
    """The tools of one request."""

    shown: Sequence[dict[str, Any]] = ()
    """Functions to tell the model of: all of them, so that narrowing the choice keeps the prompt."""
    customs: Sequence[dict[str, Any]] = ()
    """The same of custom tools."""
    callable: Sequence[Ruled] = ()
    laws: Mapping[str, Law] = {}
    must_call: bool = False


def decide_toolbox(request: Generate) -> Toolbox | Fault:
    """Return the tools that the model is told of and may call, or what is wrong with them."""
    if request.tool_mode == "none":
        return Toolbox()

    fault = _find_fault(request)
    if fault is not None:
        return fault

    ruled: list[Ruled] = []
    laws: dict[str, Law] = {}
    for at, tool in enumerate(request.tools):
        if request.tool_names and _name(tool) not in request.tool_names:
            continue

        rule = _rule(tool, f"tools[{at}]")
        if isinstance(rule, Fault):
            return rule

        ruled.append(rule)
        if not rule.is_custom:
            law = Validity(_parameters(tool["function"]))
            if law.refusal is not None:
                return Fault(
                    code="invalid_json_schema",
                    message=f"The schema of the tool '{rule.name}' cannot be checked: {law.refusal}",
                    param=f"tools[{at}].function.parameters",
                )
            laws[rule.name] = law

    return Toolbox(
        shown=[_shown(tool) for tool in request.tools if tool["type"] == "function"],
        customs=[tool["custom"] for tool in request.tools if tool["type"] == "custom"],
        callable=ruled,
        laws=laws,
        must_call=request.tool_mode == "required",
    )


def _find_fault(request: Generate) -> Fault | None:
    names = [_name(tool) for tool in request.tools]
    strange = next((at for at, name in enumerate(names) if not _NAME.fullmatch(name)), None)
    if strange is not None:
        kind = request.tools[strange]["type"]
        message = "The name of a tool can have letters, digits and _ . : / - only, at most 128 of them."
        return _invalid(message, f"tools[{strange}].{kind}.name")

    double = next((name for at, name in enumerate(names) if name in names[:at]), None)
    if double is not None:
        return _invalid(f"Two tools have the name {double!r}. Give each its own.", "tools")

    unknown = next((name for name in request.tool_names if name not in names), None)
    if unknown is not None:
        return _invalid(f"tool_choice names {unknown!r}, which is not among the tools.", "tool_choice")

    if request.tool_mode == "required" and not names:
        return _invalid("tool_choice requires a call, but there are no tools. Send tools.", "tool_choice")

    return None


def _invalid(message: str, param: str) -> Fault:
    return Fault(code="invalid_request", message=message, param=param)


def _name(tool: dict[str, Any]) -> str:
    return str(tool[tool["type"]]["name"])


def _rule(tool: dict[str, Any], param: str) -> Ruled | Fault:
    if tool["type"] == "custom":
        return _custom_rule(tool["custom"], f"{param}.custom.format")

    function = tool["function"]
    if "object" not in _types(function):
        return Fault(
            code="invalid_json_schema",
            message=f"The 'type' of the parameters of the tool '{function['name']}' has to be 'object': "
            "arguments have names.",
            param=f"{param}.function.parameters",
        )

    schema = bound_schema(_parameters(function), param=f"{param}.function.parameters")
    if isinstance(schema, Fault):
        return schema

    return Ruled(function["name"], schema=schema, texts=texts_of(schema))


def _custom_rule(custom: dict[str, Any], param: str) -> Ruled | Fault:
    syntax = custom.get("syntax", "text")
    if syntax == "text":
        return Ruled(custom["name"], is_custom=True)

    lark = lark_of_custom(syntax, custom.get("definition") or "", param)
    return lark if isinstance(lark, Fault) else Ruled(custom["name"], lark=lark, is_custom=True)


def _parameters(function: dict[str, Any]) -> dict[str, Any]:
    parameters = function.get("parameters")
    return {**parameters, "type": "object"} if parameters else _NO_PARAMETERS


def _types(function: dict[str, Any]) -> list[Any]:
    """Return the types that the schema of the parameters allows; one that names none means objects."""
    declared = (function.get("parameters") or {}).get("type", "object")
    return declared if isinstance(declared, list) else [declared]


def _shown(tool: dict[str, Any]) -> dict[str, Any]:
    """Return the tool with all that templates look for."""
    function = tool["function"]
    shown = {
        "name": function["name"],
        "description": function.get("description") or "",
        "parameters": function.get("parameters") or {"type": "object", "properties": {}},
    }
    return {"type": "function", "function": shown}
