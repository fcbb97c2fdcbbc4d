"""From a definition to a plan: which tools, in which order, under which instructions."""

from datetime import UTC, datetime
from typing import Any

import pytest

from runtime.core.agents.definition import Agent, Helper, Memory, Output, Team, ToolFilter
from runtime.core.agents.planning import Skill, Surroundings, faults_of, plan_of
from runtime.core.errors import ModelUnavailable, RequestInvalid
from runtime.core.gate.principals import OWNER
from runtime.core.ids import ModelId
from runtime.core.tools import Tool, ToolHints, Trust

SMALL = ModelId("small")


def tool(server: str, name: str, trust: Trust = "internal", *, reads: bool = False) -> Tool:
    return Tool(
        server=server,
        name=name,
        full_name=f"mcp__{server}__{name}",
        description=f"{name} of {server}",
        input_schema={"type": "object"},
        hints=ToolHints(is_read_only=reads),
        digest="d",
        trust=trust,
    )


TOOLS = (
    tool("files", "read_file", reads=True),
    tool("files", "write_file"),
    tool("recall", "search", reads=True),
    tool("recall", "remember"),
    tool("recall", "forget"),
    tool("github-1", "read_issue", "approved", reads=True),
)


def around(**more: Any) -> Surroundings:
    return Surroundings(
        principal=OWNER,
        tools=TOOLS,
        now=datetime(2026, 11, 23, 7, 5, tzinfo=UTC),
        default_model=SMALL,
        **more,
    )


def names(agent: Agent, **more: Any) -> list[str]:
    return [each.name for each in plan_of(agent, around(**more)).tools]


def test_an_agent_has_no_tool_that_it_does_not_name() -> None:
    assert names(Agent(name="x")) == []


def test_filters_choose_among_a_servers_tools() -> None:
    assert names(Agent(name="x", tools=("files",))) == ["mcp__files__read_file", "mcp__files__write_file"]
    only = ToolFilter(server="files", only=("read_*",))
    assert names(Agent(name="x", tools=(only,))) == ["mcp__files__read_file"]
    without = ToolFilter(server="files", without=("write_*",))
    assert names(Agent(name="x", tools=(without, "files"))) == [
        "mcp__files__read_file",
        "mcp__files__write_file",
    ]


def test_memory_is_changed_by_those_agents_alone_that_have_it() -> None:
    assert names(Agent(name="x", tools=("recall",))) == ["mcp__recall__search"]
    with_memory = Agent(name="x", memory=Memory(enabled=True))
    assert names(with_memory) == ["mcp__recall__search", "mcp__recall__remember", "mcp__recall__forget"]
    assert names(Agent(name="x", memory=Memory(enabled=True, tools=False))) == []


def test_a_server_of_its_own_is_found_under_the_name_that_the_hub_gave_it() -> None:
    agent = Agent(name="x", servers={"github": {"url": "https://example.org/mcp"}}, tools=("github",))

    (planned,) = plan_of(agent, around(lent={"github": "github-1"})).tools

    assert (planned.full_name, planned.server, planned.tool) == (
        "mcp__github-1__read_issue",
        "github",
        "read_issue",
    )
    assert not planned.is_idempotent, "what an outside server says of itself is not believed"


def test_a_tool_of_lars_own_that_only_reads_may_be_called_again() -> None:
    read, write = plan_of(Agent(name="x", tools=("files",)), around()).tools

    assert (read.is_idempotent, write.is_idempotent) == (True, False)


def test_helpers_are_asked_or_take_over() -> None:
    helpers = (Helper(agent="cook"), Helper(agent="boss", how="handover"))
    others = {"cook": Agent(name="cook", description="Cooks."), "boss": Agent(name="boss")}

    ask, hand = plan_of(Agent(name="x", helpers=helpers), around(agents=others)).tools

    assert (ask.name, ask.executor, ask.full_name) == ("ask_cook", "agent", "cook")
    assert ask.description.startswith("Cooks.")
    assert (hand.name, hand.executor) == ("hand_over_to_boss", "handover")
    with pytest.raises(RequestInvalid, match="no agent 'cook'"):
        plan_of(Agent(name="x", helpers=helpers), around())


def test_a_team_shares_a_board() -> None:
    agent = Agent(name="x", team=Team(members=("cook",)))

    assert names(agent, agents={"cook": Agent(name="cook")}) == ["ask_cook", "read_board", "write_board"]


def test_collections_become_a_search_with_their_ids() -> None:
    (search,) = plan_of(Agent(name="x", knowledge=("docs",)), around(collections={"docs": "vs_1"})).tools

    assert (search.form, search.executor, search.settings["collections"]) == (
        "file_search",
        "hosted",
        ["vs_1"],
    )
    with pytest.raises(RequestInvalid, match="lar recall collections create docs"):
        plan_of(Agent(name="x", knowledge=("docs",)), around())


def test_what_changes_comes_last_in_the_instructions() -> None:
    agent = Agent(
        name="x",
        instructions="You are {{ name }}, for {{ who }}.",
        variables={"who": "Ana"},
        dynamic=("It is {{ date }}, {{ time }}.",),
        planning=True,
    )
    skills = [Skill(name="letters", description="Writes letters.", folder="/s")]

    plan = plan_of(agent, around(skills=skills, variables={"who": "Rui"}))

    lines = plan.instructions.split("\n\n")
    assert lines[0] == "You are x, for Rui."
    assert "- letters: Writes letters." in lines[1]
    assert lines[-1] == "It is 2026-11-23, 07:05."
    assert [each.name for each in plan.tools] == ["read_skill", "todo_write"]


def test_models_are_those_it_names_else_the_default() -> None:
    assert plan_of(Agent(name="x", model=("a", "b")), around()).models == ("a", "b")
    assert plan_of(Agent(name="x"), around()).models == (SMALL,)
    bare = Surroundings(principal=OWNER, tools=(), now=datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(ModelUnavailable, match="Add 'model'"):
        plan_of(Agent(name="x"), bare)


def test_a_small_model_decides_first_unless_the_agent_says_otherwise() -> None:
    small = frozenset({SMALL})
    assert plan_of(Agent(name="x"), around(small_models=small)).decides_first
    assert not plan_of(Agent(name="x", decide_first=False), around(small_models=small)).decides_first
    assert not plan_of(Agent(name="x"), around()).decides_first


def test_an_output_schema_is_held_strictly() -> None:
    plan = plan_of(Agent(name="x", output=Output(schema={"type": "object"})), around())

    assert (plan.response_format.type, plan.response_format.strict) == ("json_schema", True)


def test_all_that_stands_against_a_run_is_told_at_once() -> None:
    agent = Agent(name="x", model="gone", knowledge=("docs",), helpers=(Helper(agent="cook"),))

    assert len(faults_of(agent, around(), [SMALL])) == 3
    assert faults_of(Agent(name="x"), around(), [SMALL]) == []


def test_a_turn_may_give_what_the_agent_says_else_what_the_settings_say() -> None:
    assert plan_of(Agent(name="x"), around()).turn_tokens is None
    assert plan_of(Agent(name="x"), around(turn_tokens=99)).turn_tokens == 99
    assert plan_of(Agent(name="x", max_output_tokens=7), around(turn_tokens=99)).turn_tokens == 7
