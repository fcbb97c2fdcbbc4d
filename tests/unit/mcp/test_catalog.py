"""Many tools give way to a search; the order of what is shown only grows."""

from hypothesis import given
from hypothesis import strategies as st

from runtime.core.tools import Tool
from runtime.mcp.catalog import (
    SEARCH_NAME,
    add_found,
    decide_shown,
    definition_of,
    estimate_tokens,
    search_tools,
)


def tool(name: str, description: str = "", server: str = "s", **properties: object) -> Tool:
    return Tool(
        server=server,
        name=name,
        full_name=f"mcp__{server}__{name}",
        description=description,
        input_schema={"type": "object", "properties": properties},
        digest="",
        trust="approved",
    )


TOOLS = [
    tool("create_event", "Put an appointment into the calendar."),
    tool("deleteEvents", "Remove appointments from the calendar."),
    tool("read_file", "Read a file from the disk.", server="files", path={}),
    tool("send_mail", "Send a letter to somebody. Attach a file if need be."),
]


def test_few_tools_are_shown_as_they_are() -> None:
    assert decide_shown(TOOLS, (), 8192, 0.05) == [definition_of(each) for each in TOOLS]


def test_many_tools_give_way_to_the_search() -> None:
    shown = decide_shown(TOOLS, (), 1000, 0.05)

    assert [each.name for each in shown] == [SEARCH_NAME]


def test_found_tools_are_appended_and_stay() -> None:
    found = add_found((), ["mcp__s__send_mail"])
    before = decide_shown(TOOLS, found, 1000, 0.05)
    found = add_found(found, ["mcp__s__create_event", "mcp__s__send_mail"])
    after = decide_shown(TOOLS, found, 100_000, 0.05)

    assert [each.name for each in after] == [SEARCH_NAME, "mcp__s__send_mail", "mcp__s__create_event"]
    assert after[: len(before)] == before


def test_the_search_ranks_names_above_descriptions_and_knows_humps_and_plurals() -> None:
    assert [each.name for each in search_tools(TOOLS, "file")] == ["read_file", "send_mail"]
    assert search_tools(TOOLS, "delete an event")[0].name == "deleteEvents"
    assert search_tools(TOOLS, "weather") == []


def test_the_search_keeps_to_its_limit() -> None:
    assert len(search_tools(TOOLS, "calendar file letter", limit=2)) == 2


@given(st.lists(st.text(min_size=1), max_size=6), st.text())
def test_any_text_can_be_searched(names: list[str], query: str) -> None:
    tools = [tool(name) for name in names]

    assert set(map(id, search_tools(tools, query))) <= set(map(id, tools))
    assert all(estimate_tokens(definition_of(each)) > 0 for each in tools)
