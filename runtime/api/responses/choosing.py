"""How free a model is to call tools: every form of `tool_choice`, held against the tools of the plan."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from runtime.api.bodies import shape_part
from runtime.api.errors import Refused, invalid
from runtime.api.responses.body import Open
from runtime.api.responses.tool_bodies import WEB_SEARCHES
from runtime.core.agents.plans import PlannedTool
from runtime.core.messages import ToolChoice

_MODES = ("none", "auto", "required")
_FORMS = frozenset(
    {"file_search", "code_interpreter", "image_generation", "shell", "local_shell", "apply_patch"}
)


class Choice(NamedTuple):
    """What a plan is told."""

    tool_choice: ToolChoice
    allowed: tuple[str, ...] = ()
    """Only these may be called, in every turn; empty: all."""


class Named(Open, frozen=True, kw_only=True):
    """One tool, or the tools of one kind."""

    type: str
    name: str | None = None
    server_label: str | None = None
    namespace: str | None = None


class Allowed(Open, frozen=True, kw_only=True):
    """Those that may be called."""

    mode: Literal["auto", "required"]
    tools: list[dict[str, Any]]


def choice_of(wire: str | dict[str, Any] | None, tools: Sequence[PlannedTool]) -> Choice:
    """Return how free the model is. Raises Refused for a form or a name that is not there."""
    if wire is None:
        return Choice(ToolChoice())

    if isinstance(wire, str):
        return Choice(_mode_of(wire, tools))

    if wire.get("type") == "allowed_tools":
        allowed = shape_part(wire, Allowed, "tool_choice")
        names: list[str] = []
        for number, each in enumerate(allowed.tools):
            names += _names_of(each, tools, f"tool_choice.tools[{number}]")
        if not names:
            raise invalid("'tool_choice.tools' must name at least one tool.", "tool_choice.tools")
        return Choice(ToolChoice(mode=allowed.mode), tuple(dict.fromkeys(names)))

    return Choice(ToolChoice(mode="required", names=tuple(_names_of(wire, tools, "tool_choice"))))


def echo_choice(wire: str | dict[str, Any] | None) -> str | dict[str, Any]:
    """Return the choice as the response shows it."""
    return "auto" if wire is None else wire


def _mode_of(wire: str, tools: Sequence[PlannedTool]) -> ToolChoice:
    if wire not in _MODES:
        listed = ", ".join(f"'{each}'" for each in _MODES)
        raise invalid(
            f"Invalid value for 'tool_choice': '{wire[:80]}'. It must be one of {listed}.", "tool_choice"
        )

    if wire == "required" and not tools:
        raise invalid("Tool choice 'required' must be specified with 'tools' parameter.", "tool_choice")

    return msgspec.convert({"mode": wire}, ToolChoice)


def _names_of(wire: dict[str, Any], tools: Sequence[PlannedTool], path: str) -> list[str]:
    named = shape_part(wire, Named, path)
    found = [each.name for each in tools if _is_meant(named, each)]
    if not found:
        raise _not_found(named)
    return found


def _is_meant(named: Named, tool: PlannedTool) -> bool:
    match named.type:
        case "function" | "custom":
            own = tool.tool if tool.namespace is not None else tool.name
            is_named = named.name in (tool.name, own) and named.namespace in (None, tool.namespace)
            return is_named and tool.form == named.type
        case "namespace":
            return tool.namespace is not None and tool.namespace == named.name
        case "mcp":
            is_server = tool.form == "mcp" and tool.server == named.server_label
            return is_server and named.name in (None, tool.tool)
        case kind if kind in WEB_SEARCHES:
            return tool.form == "web_search"
        case kind:
            return kind in _FORMS and tool.form == kind


def _not_found(named: Named) -> Refused:
    what = named.name or named.server_label or named.type
    return invalid(f"Tool choice '{what[:80]}' not found in 'tools' parameter.", "tool_choice")
