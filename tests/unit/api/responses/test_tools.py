"""Tools and choices of a request: which become tools of a run, what is shown again, what may be called."""

from typing import Any

import pytest
from openai.types.responses import Tool
from openai.types.responses.response import ToolChoice as SdkChoice
from pydantic import TypeAdapter

from runtime.api.errors import Refused
from runtime.api.responses.choosing import choice_of
from runtime.api.responses.tool_bodies import McpBody
from runtime.api.responses.tools_in import NAME_LIMIT, ToolWishes, mcp_name, namespaced, read_tools
from runtime.core.agents.plans import PlannedTool
from runtime.core.messages import ToolChoice

_TOOL: TypeAdapter[Any] = TypeAdapter(Tool)
_CHOICE: TypeAdapter[Any] = TypeAdapter(SdkChoice)

FUNCTION: dict[str, Any] = {
    "type": "function",
    "name": "add",
    "parameters": {"type": "object", "properties": {}},
}
CUSTOM = {
    "type": "custom",
    "name": "sum",
    "format": {"type": "grammar", "syntax": "regex", "definition": "[0-9]+"},
}
NAMESPACE = {
    "type": "namespace",
    "name": "math",
    "description": "Sums",
    "tools": [{"type": "function", "name": "add"}, {"type": "custom", "name": "sum"}],
}
MCP = {
    "type": "mcp",
    "server_label": "dice",
    "server_url": "https://example.org/secret/path?token=1",
    "authorization": "hush",
    "headers": {"X-Key": "hush"},
}
EVERY: list[dict[str, Any]] = [
    FUNCTION,
    CUSTOM,
    NAMESPACE,
    MCP,
    {"type": "shell"},
    {"type": "local_shell"},
    {"type": "apply_patch"},
    {"type": "file_search", "vector_store_ids": ["vs_1"]},
    {"type": "web_search"},
    {"type": "web_search_preview"},
    {"type": "code_interpreter", "container": {"type": "auto"}},
    {"type": "image_generation"},
    {"type": "tool_search"},
]
ROLL = PlannedTool(name="dice__roll", executor="hub", form="mcp", server="dice", tool="roll")
FIND = PlannedTool(name="file_search", executor="hosted", form="file_search")


def _planned(*tools: dict[str, Any]) -> tuple[PlannedTool, ...]:
    return read_tools(tools).planned({})


def test_every_tool_is_shown_again_as_the_official_sdk_reads_it() -> None:
    wishes = read_tools(EVERY)

    assert [each["type"] for each in wishes.echo] == [each["type"] for each in EVERY]
    for each in wishes.echo:
        parsed = _TOOL.validate_python(each)
        assert parsed.type == each["type"]
    assert not wishes.warnings


def test_secrets_of_a_server_are_never_shown_again() -> None:
    wishes = read_tools([MCP])

    assert "hush" not in str(wishes.echo)
    assert wishes.echo[0]["server_url"] == "https://example.org/<redacted>"
    body = wishes.hosted[0].body
    assert isinstance(body, McpBody)
    assert body.authorization == "hush"


def test_a_function_is_shown_with_all_that_open_responses_wants() -> None:
    shown = read_tools([{"type": "function", "name": "add"}]).echo[0]

    assert {"description", "parameters", "strict"} <= shown.keys()
    assert shown["strict"] is True


def test_a_function_is_strict_unless_it_says_no() -> None:
    silent, loose = _planned(FUNCTION, {**FUNCTION, "name": "sub", "strict": False})

    assert silent.strict
    assert loose.strict is False


def test_tools_of_a_namespace_are_told_by_one_name_and_shown_by_two() -> None:
    function, custom = _planned(NAMESPACE)

    assert (function.name, function.tool, function.namespace) == ("math__add", "add", "math")
    assert (custom.name, custom.syntax, custom.form) == ("math__sum", "text", "custom")
    assert function.description == "Sums"


def test_long_and_odd_names_are_shortened_to_different_ones() -> None:
    names = {namespaced("n" * 80, f"t{number}") for number in range(9)} | {
        mcp_name("a b", "c"),
        mcp_name("a_b", "c"),
    }

    assert len(names) == 11
    assert all(len(each) <= NAME_LIMIT for each in names)


def test_what_the_asker_carries_out_has_a_schema_of_its_own() -> None:
    shell, local, patch = _planned({"type": "shell"}, {"type": "local_shell"}, {"type": "apply_patch"})

    assert (shell.form, shell.executor, shell.name) == ("shell", "client", "shell")
    assert local.parameters is not None
    assert patch.parameters is not None
    assert patch.parameters["required"] == ["type", "path", "diff"]


def test_tools_that_nobody_knows_are_left_out_with_a_warning() -> None:
    wishes = read_tools([{"type": "telepathy"}, {"type": "computer_use_preview"}, FUNCTION])

    assert [each.name for each in wishes.planned({})] == ["add"]
    assert len(wishes.warnings) == 2
    assert "tools[0]" in wishes.warnings[0]
    assert len(wishes.echo) == 1


def test_deferred_tools_are_hidden_only_where_they_can_be_searched_for() -> None:
    deferred = {**FUNCTION, "defer_loading": True}

    alone = _planned(deferred)
    searched = _planned(deferred, {"type": "tool_search"})

    assert not alone[0].is_deferred
    assert searched[0].is_deferred
    assert searched[1].name == "search_tools"


def test_what_lar_carries_out_stands_where_it_was_asked_for() -> None:
    wishes = read_tools([FUNCTION, MCP, CUSTOM])

    assert [each.place for each in wishes.hosted] == [1]
    assert [each.name for each in wishes.planned({1: [ROLL]})] == ["add", "dice__roll", "sum"]


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(Refused, match="Two tools are named 'add'"):
        _planned(FUNCTION, FUNCTION)
    with pytest.raises(Refused, match="Two tools are named 'add'"):
        ToolWishes(parts=[PlannedTool(name="add")]).planned({}, [PlannedTool(name="add")])


@pytest.mark.parametrize(
    ("tool", "param"),
    [
        ({}, "tools[0].type"),
        ({"type": "function"}, "tools[0].name"),
        ({"type": "function", "name": "a b"}, "tools[0].name"),
        ({"type": "function", "name": "a", "parameters": {"type": "array"}}, "tools[0].parameters"),
        ({"type": "custom", "name": "a", "format": {"type": "grammar"}}, "tools[0].format.syntax"),
        ({"type": "namespace", "name": "a", "tools": [{"type": "mcp"}]}, "tools[0].tools[0].type"),
        ({"type": "namespace", "name": "a", "tools": [{"type": "function"}]}, "tools[0].tools[0].name"),
        ({"type": "mcp"}, "tools[0].server_label"),
        ({"type": "mcp", "server_label": "a b"}, "tools[0].server_label"),
        ({"type": "mcp", "server_label": "a", "require_approval": "often"}, "tools[0].require_approval"),
        ({"type": "file_search"}, "tools[0].vector_store_ids"),
        (
            {"type": "file_search", "vector_store_ids": ["a"], "max_num_results": 51},
            "tools[0].max_num_results",
        ),
        ({"type": "code_interpreter"}, "tools[0].container"),
        ({"type": "shell", "environment": {"type": "container_auto"}}, "tools[0].environment"),
    ],
)
def test_a_wrong_tool_is_refused_by_the_path_of_what_is_wrong(tool: dict[str, Any], param: str) -> None:
    with pytest.raises(Refused) as refused:
        read_tools([tool])

    assert refused.value.refusal.status == 400
    assert refused.value.refusal.param == param


@pytest.mark.parametrize(
    ("wire", "mode", "names", "allowed"),
    [
        (None, "auto", (), ()),
        ("none", "none", (), ()),
        ("required", "required", (), ()),
        ({"type": "function", "name": "add"}, "required", ("add",), ()),
        ({"type": "function", "name": "math__add"}, "required", ("math__add",), ()),
        ({"type": "function", "name": "add", "namespace": "math"}, "required", ("math__add",), ()),
        ({"type": "custom", "name": "math__sum"}, "required", ("math__sum",), ()),
        ({"type": "mcp", "server_label": "dice"}, "required", ("dice__roll",), ()),
        ({"type": "mcp", "server_label": "dice", "name": "roll"}, "required", ("dice__roll",), ()),
        ({"type": "file_search"}, "required", ("file_search",), ()),
        ({"type": "shell"}, "required", ("shell",), ()),
        ({"type": "apply_patch"}, "required", ("apply_patch",), ()),
        (
            {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "function", "name": "math__add"}, {"type": "mcp", "server_label": "dice"}],
            },
            "auto",
            (),
            ("math__add", "dice__roll"),
        ),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "file_search"}]},
            "required",
            (),
            ("file_search",),
        ),
    ],
)
def test_every_form_of_choice_names_what_may_be_called(
    wire: Any, mode: str, names: tuple[str, ...], allowed: tuple[str, ...]
) -> None:
    tools = [ROLL, FIND, *_planned(NAMESPACE, {"type": "shell"}, {"type": "apply_patch"})]
    if names == ("add",):
        tools = [*_planned(FUNCTION)]

    choice = choice_of(wire, tools)

    assert choice.tool_choice == ToolChoice(mode=mode, names=names)  # type: ignore[arg-type]  # a table's text
    assert choice.allowed == allowed
    if wire is not None:
        _CHOICE.validate_python(wire)


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        ({"type": "function", "name": "sub"}, "Tool choice 'sub' not found in 'tools' parameter."),
        ({"type": "custom", "name": "add"}, "Tool choice 'add' not found in 'tools' parameter."),
        ({"type": "function"}, "Tool choice 'function' not found in 'tools' parameter."),
        ({"type": "web_search"}, "Tool choice 'web_search' not found in 'tools' parameter."),
        ({"type": "mcp", "server_label": "d"}, "Tool choice 'd' not found in 'tools' parameter."),
        ({"type": "computer"}, "Tool choice 'computer' not found in 'tools' parameter."),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "sub"}]},
            "Tool choice 'sub' not found in 'tools' parameter.",
        ),
    ],
)
def test_a_choice_of_what_is_not_there_is_refused(wire: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused) as refused:
        choice_of(wire, _planned(FUNCTION))

    assert refused.value.refusal.message == message
    assert refused.value.refusal.param == "tool_choice"
    assert refused.value.refusal.status == 400


@pytest.mark.parametrize(
    ("wire", "param"),
    [
        ("often", "tool_choice"),
        ("required", "tool_choice"),
        ({}, "tool_choice.type"),
        ({"type": "allowed_tools", "mode": "auto", "tools": []}, "tool_choice.tools"),
        ({"type": "allowed_tools", "mode": "often", "tools": []}, "tool_choice.mode"),
    ],
)
def test_a_choice_that_says_nothing_is_refused(wire: Any, param: str) -> None:
    with pytest.raises(Refused) as refused:
        choice_of(wire, ())

    assert refused.value.refusal.param == param
