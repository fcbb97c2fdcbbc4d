"""Many tools give way to a search, which ranks names above descriptions."""

from hypothesis import given
from hypothesis import strategies as st

from runtime.core.agents.builtins import SEARCH_TOOLS
from runtime.core.agents.plans import PlannedTool
from runtime.core.agents.tool_search import defer_many, estimate_tokens, find_tools


def tool(name: str, description: str = "", server: str = "s", **properties: object) -> PlannedTool:
    return PlannedTool(
        name=f"mcp__{server}__{name}",
        tool=name,
        server=server,
        executor="hub",
        description=description,
        parameters={"type": "object", "properties": properties},
    )


TOOLS = [
    tool("create_event", "Put an appointment into the calendar."),
    tool("deleteEvents", "Remove appointments from the calendar."),
    tool("read_file", "Read a file from the disk.", server="files", path={}),
    tool("send_mail", "Send a letter to somebody. Attach a file if need be."),
]
CLIENT = PlannedTool(name="mine", description="Of the asker. " * 100)


def test_few_tools_are_shown_as_they_are() -> None:
    assert defer_many(TOOLS, 8192, 0.05) == tuple(TOOLS)
    assert defer_many(TOOLS, None, 0.05) == defer_many(TOOLS, 10, 0.0) == tuple(TOOLS)


def test_many_tools_of_servers_give_way_to_the_search_and_others_stay() -> None:
    planned = defer_many([CLIENT, *TOOLS], 1000, 0.05)

    assert [each.is_deferred for each in planned] == [False, True, True, True, True, False]
    assert (planned[0], planned[-1]) == (CLIENT, SEARCH_TOOLS)
    assert defer_many(planned, 1000, 0.05) == planned


def test_the_search_ranks_names_above_descriptions_and_knows_humps_and_plurals() -> None:
    assert [each.tool for each in find_tools(TOOLS, "file", 8)] == ["read_file", "send_mail"]
    assert find_tools(TOOLS, "delete an event", 8)[0].tool == "deleteEvents"
    assert find_tools(TOOLS, "path", 8)[0].tool == "read_file"
    assert find_tools(TOOLS, "weather", 8) == []


def test_the_search_keeps_to_its_limit() -> None:
    assert len(find_tools(TOOLS, "calendar file letter", 2)) == 2
    assert find_tools(TOOLS, "calendar", 0) == []


@given(st.lists(st.text(min_size=1), max_size=6), st.text())
def test_any_text_can_be_searched(names: list[str], query: str) -> None:
    tools = [tool(name) for name in names]

    assert set(map(id, find_tools(tools, query, 8))) <= set(map(id, tools))
    assert all(estimate_tokens(each) > 0 for each in tools)
