"""From a request's tools to those of a plan: the asker's are ready, Lar's own are named for later.

    function, custom, namespace, shell, local_shell, apply_patch    the asker's: planned here
    mcp, file_search, web_search, code_interpreter, image_generation  Lar's: `hosted`, resolved by who can
    tool_search                                                       shows deferred tools when they are found

Tools that are not known here are left out, with a warning: clients list what other servers have.
"""

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from runtime.api.bodies import check_plain_json, shape_part
from runtime.api.errors import invalid, unsupported
from runtime.api.openai.tools import check_name
from runtime.api.responses.tool_bodies import (
    TOOLS_LIMIT,
    WEB_SEARCHES,
    CodeBody,
    CustomBody,
    FileSearchBody,
    FunctionBody,
    GrammarText,
    HostedBody,
    ImageBody,
    McpBody,
    NamespaceBody,
    PlainBody,
    ShellBody,
    ToolSearchBody,
    WebSearchBody,
    echo_tool,
)
from runtime.core.agents.builtins import SEARCH_TOOLS
from runtime.core.agents.items import CallForm
from runtime.core.agents.plans import PlannedTool

NAME_LIMIT = 64
_DIGEST_CHARS = 8
_ODD = re.compile(r"[^a-zA-Z0-9_-]")
_TEXT_LIMIT = 20_000
"""Of one command or path in the schemas of tools that have no schema of their own."""


@dataclass(frozen=True, slots=True)
class HostedWish:
    """A tool that Lar carries out itself, as it was asked for. It may hold secrets: never stored."""

    place: int
    """Among the request's tools."""
    form: CallForm
    body: HostedBody
    path: str


@dataclass(slots=True)
class ToolWishes:
    """The tools of a request."""

    parts: list[PlannedTool | HostedWish] = field(default_factory=list)
    """In the order of the request."""
    echo: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def hosted(self) -> list[HostedWish]:
        """Those that are still to be resolved."""
        return [each for each in self.parts if isinstance(each, HostedWish)]

    def planned(
        self, resolved: Mapping[int, Sequence[PlannedTool]], before: Sequence[PlannedTool] = ()
    ) -> tuple[PlannedTool, ...]:
        """Return all tools for a plan, `before` (an agent's own) first; `resolved` is by the wishes' place.

        A server's tool that has the name of one of `before` gets its server's label before it.
        Raises Refused where two have one name.
        """
        found = list(before)
        for each in self.parts:
            found += resolved.get(each.place, ()) if isinstance(each, HostedWish) else [each]
        own = {each.name for each in before}
        names: set[str] = set()
        found = [*before, *(_beside(each, own) for each in found[len(before) :] if _is_new(each, own))]
        for each in found:
            if each.name in names:
                raise invalid(f"Two tools are named '{each.name}'.", "tools")
            names.add(each.name)
        return tuple(found)


def _is_new(tool: PlannedTool, own: Collection[str]) -> bool:
    return tool != SEARCH_TOOLS or tool.name not in own


def _beside(tool: PlannedTool, own: Collection[str]) -> PlannedTool:
    if tool.form != "mcp" or tool.name not in own:
        return tool
    return msgspec.structs.replace(tool, name=mcp_name(tool.server, tool.tool))


def read_tools(tools: Sequence[dict[str, Any]] | None, at: str = "tools") -> ToolWishes:
    """Return what a request's tools are. Raises Refused, naming the path."""
    wishes = ToolWishes()
    given = list(tools or ())
    if len(given) > TOOLS_LIMIT:
        raise invalid(f"'{at}' holds {len(given)} tools; at most {TOOLS_LIMIT} are taken.", at)

    check_plain_json(given, at)
    has_search = any(_is_server_search(each) for each in given)
    for place, each in enumerate(given):
        _read_tool(each, place, f"{at}[{place}]", wishes, can_defer=has_search)
    if has_search and any(isinstance(each, PlannedTool) and each.is_deferred for each in wishes.parts):
        wishes.parts.append(SEARCH_TOOLS)
    return wishes


def namespaced(namespace: str, name: str) -> str:
    """Return what a model calls a tool of a namespace."""
    return _short(f"{namespace}{'' if namespace.endswith('__') else '__'}{name}")


def mcp_name(label: str, tool: str) -> str:
    """Return what a model calls a tool of a server that the asker named."""
    return _short(f"{label}__{tool}")


def _short(name: str) -> str:
    """Return a name that models may call; one that is changed ends in a digest of what it was."""
    plain = _ODD.sub("_", name)
    if plain == name and len(name) <= NAME_LIMIT:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_CHARS]
    return f"{plain[: NAME_LIMIT - _DIGEST_CHARS - 1]}_{digest}"


def _is_server_search(given: dict[str, Any]) -> bool:
    return given.get("type") == "tool_search" and given.get("execution") in (None, "server")


def _read_tool(given: dict[str, Any], place: int, path: str, wishes: ToolWishes, *, can_defer: bool) -> None:
    kind = given.get("type")
    if not isinstance(kind, str):
        param = f"{path}.type"
        raise invalid(f"Missing required parameter: '{param}'.", param, code="missing_required_parameter")

    if kind in _HOSTED or kind in WEB_SEARCHES:
        form, shape = _HOSTED.get(kind, _HOSTED["web_search"])
        wishes.parts.append(HostedWish(place, form, shape_part(given, shape, path), path))
    elif kind in ("function", "custom"):
        wishes.parts.append(_own(given, path, can_defer=can_defer))
    elif kind == "namespace":
        wishes.parts += _namespace(given, path, can_defer=can_defer)
    elif kind in _CLIENT:
        wishes.parts.append(_client(given, kind, path))
    elif kind == "tool_search" and _is_server_search(given):
        shape_part(given, ToolSearchBody, path)
    else:
        wishes.warnings.append(f"{path}: tools of type '{kind[:60]}' are not known here; it was left out")
        return
    wishes.echo.append(echo_tool(given))


def _own(given: dict[str, Any], path: str, *, can_defer: bool) -> PlannedTool:
    if given["type"] == "function":
        return _function(shape_part(given, FunctionBody, path), path, can_defer=can_defer)
    return _custom(shape_part(given, CustomBody, path), path, can_defer=can_defer)


def _function(body: FunctionBody, path: str, *, can_defer: bool) -> PlannedTool:
    check_name(body.name, f"{path}.name")
    parameters = body.parameters
    if parameters is not None and parameters.get("type", "object") != "object":
        raise invalid(
            f"Invalid schema for function '{body.name}': its type must be 'object'.",
            f"{path}.parameters",
            code="invalid_function_parameters",
        )

    return PlannedTool(
        name=body.name,
        description=body.description or "",
        parameters=parameters,
        strict=body.strict is not False,
        is_deferred=can_defer and bool(body.defer_loading),
    )


def _custom(body: CustomBody, path: str, *, can_defer: bool) -> PlannedTool:
    check_name(body.name, f"{path}.name")
    grammar = body.format if isinstance(body.format, GrammarText) else None
    return PlannedTool(
        name=body.name,
        description=body.description or "",
        syntax="text" if grammar is None else grammar.syntax,
        definition=None if grammar is None else grammar.definition,
        form="custom",
        is_deferred=can_defer and bool(body.defer_loading),
    )


def _namespace(given: dict[str, Any], path: str, *, can_defer: bool) -> list[PlannedTool]:
    body = shape_part(given, NamespaceBody, path)
    found: list[PlannedTool] = []
    for number, each in enumerate(body.tools):
        at = f"{path}.tools[{number}]"
        if each.get("type") not in ("function", "custom"):
            raise invalid(f"'{at}.type' must be 'function' or 'custom'.", f"{at}.type")

        found.append(_within(body, _own(each, at, can_defer=can_defer)))
    return found


def _within(body: NamespaceBody, tool: PlannedTool) -> PlannedTool:
    """Return a tool under its namespace: the model sees both in one name."""
    told = f"{body.description}\n{tool.description}".strip() if body.description else tool.description
    return msgspec.structs.replace(
        tool,
        name=namespaced(body.name, tool.name),
        description=told,
        tool=tool.name,
        namespace=body.name,
    )


def _client(given: dict[str, Any], kind: str, path: str) -> PlannedTool:
    shape_part(given, PlainBody, path)
    if kind == "shell":
        environment = shape_part(given, ShellBody, path).environment or {"type": "local"}
        if environment.get("type") != "local":
            message = "Shells of this server's own are not supported. Use 'local': the asker runs commands."
            raise unsupported(message, f"{path}.environment")

    return _CLIENT[kind]


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


_TEXT: dict[str, Any] = {"type": "string", "maxLength": _TEXT_LIMIT}
_MILLISECONDS: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": 3_600_000}
_CLIENT: dict[str, PlannedTool] = {
    "shell": PlannedTool(
        name="shell",
        description="Run shell commands, each by itself, and read what they print.",
        parameters=_object(
            {
                "commands": {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": 32},
                "timeout_ms": _MILLISECONDS,
                "max_output_length": {"type": "integer", "minimum": 1, "maximum": 1_000_000},
            },
            "commands",
        ),
        strict=True,
        form="shell",
    ),
    "local_shell": PlannedTool(
        name="local_shell",
        description="Run one program with its arguments, and read what it prints.",
        parameters=_object(
            {
                "command": {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": 256},
                "working_directory": _TEXT,
                "timeout_ms": _MILLISECONDS,
                "env": {"type": "object", "additionalProperties": _TEXT},
                "user": _TEXT,
            },
            "command",
        ),
        strict=True,
        form="local_shell",
    ),
    "apply_patch": PlannedTool(
        name="apply_patch",
        description="Create, change or delete one file. `diff` is in the V4A format: for a new file, each "
        "line with a plus before it; for a change the lines around it, with '-' and '+'; empty to delete.",
        parameters=_object(
            {
                "type": {"type": "string", "enum": ["create_file", "update_file", "delete_file"]},
                "path": {"type": "string", "minLength": 1, "maxLength": 1000},
                "diff": {"type": "string"},
            },
            "type",
            "path",
            "diff",
        ),
        strict=True,
        form="apply_patch",
    ),
}
_HOSTED: dict[str, tuple[CallForm, type[HostedBody]]] = {
    "mcp": ("mcp", McpBody),
    "file_search": ("file_search", FileSearchBody),
    "web_search": ("web_search", WebSearchBody),
    "code_interpreter": ("code_interpreter", CodeBody),
    "image_generation": ("image_generation", ImageBody),
}
