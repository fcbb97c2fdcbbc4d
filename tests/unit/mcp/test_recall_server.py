"""The MCP server of recall over Recall as the server opens it, asked by the SDK's own client in both eras."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import anyio
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError

from runtime.core.gate.principals import Principal
from runtime.core.ids import PrincipalId, TenantId
from runtime.core.knowledge import NewCollection
from runtime.core.recall import Recall
from runtime.core.tools import Caller
from runtime.mcp.servers.recall import recall_server
from tests.kit.clock import FakeClock
from tests.kit.real_recall import real_recall

OWN, OTHER = TenantId("own"), TenantId("other")
LIMIT_S = 60.0
Mode = Literal["auto", "legacy"]


@asynccontextmanager
async def client_of(recall: Recall, tenant: TenantId = OWN, mode: Mode = "auto") -> AsyncIterator[Client]:
    with anyio.fail_after(LIMIT_S):
        caller = Caller(principal=Principal(id=PrincipalId("tester"), role="user", tenant=tenant), door="mcp")
        async with Client(recall_server(recall, lambda: caller), mode=mode) as client:
            yield client


async def call(client: Client, tool: str, /, **arguments: Any) -> Any:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    return result.structured_content


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_text_goes_in_and_is_found_read_and_forgotten(tmp_path: Path, mode: Mode) -> None:
    async with real_recall(tmp_path, FakeClock()) as recall:
        await recall.collections.create(OWN, NewCollection(name="notes"))
        async with client_of(recall, mode=mode) as client:
            told: list[float] = []

            async def note(progress: float, total: float | None, message: str | None) -> None:
                told.append(progress)

            given = {
                "collection": "notes",
                "name": "tea.md",
                "text": "# Tea\n\nThe samovar is in the kitchen.",
            }
            result = await client.call_tool("ingest", given, progress_callback=note)
            document = result.structured_content["document"]
            found = await call(client, "search", query="where is the samovar")
            part = await call(client, "read", id=document, start=2, limit=3)
            listed = await call(client, "list", of="notes")
            resource = await client.read_resource(found["passages"][0]["resource"])
            gone = await call(client, "forget", ids=[document])
            after = await call(client, "search", query="where is the samovar")

    assert told
    assert found["passages"][0]["document"] == document
    assert (part["text"], part["is_more"]) == ("Tea", True)
    assert [each["id"] for each in listed["lines"]] == [document]
    assert "samovar" in getattr(resource.contents[0], "text", "")
    assert gone["forgotten"] == [document]
    assert after["passages"] == []


async def test_what_is_remembered_is_revised_and_listed_in_pages(tmp_path: Path) -> None:
    async with real_recall(tmp_path, FakeClock()) as recall, client_of(recall) as client:
        first = await call(client, "remember", text="Ana takes sugar")
        again = await call(client, "remember", text="Ana takes sugar")
        revised = await call(client, "revise", id=first["id"], text="Ana takes no sugar")
        await call(client, "remember", text="Boris keeps bees")
        page = await call(client, "list", of="memories", limit=1)
        rest = await call(client, "list", of="memories", limit=1, cursor=page["next_cursor"])

    assert (first["outcome"], again["outcome"], revised["outcome"]) == ("stored", "known", "succeeded")
    assert revised["id"] != first["id"]
    lines = [*page["lines"], *rest["lines"]]
    assert [each["detail"] for each in lines] == ["Boris keeps bees", "Ana takes no sugar"]
    assert rest["next_cursor"] is None


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("search", {"q": "x"}, "unknown field `q`"),
        ("search", {"query": "x", "limit": 0}, "limit"),
        ("search", {"query": "x", "where": ["none"]}, "There is no collection 'none'"),
        ("search", {"query": "x", "filter": {"type": "like"}}, "'filter' is wrong"),
        ("search", {"query": "x", "filter": {"type": "and", "filters": []}}, "leave 'filter' out"),
        ("search", {"query": "x", "filter": {"type": "or", "filters": []}}, "leave 'filter' out"),
        ("read", {"id": "doc_none"}, "doc_none"),
        ("read", {"id": "item_none"}, "item_none"),
        ("revise", {"id": "item_none"}, "Nothing is to be changed"),
        ("forget", {"ids": []}, "ids"),
        ("nothing", {}, "There is no tool 'nothing'"),
    ],
)
async def test_what_is_wrong_is_told_so_that_a_model_can_read_it(
    tmp_path: Path, name: str, arguments: dict[str, Any], told: str
) -> None:
    async with real_recall(tmp_path, FakeClock()) as recall, client_of(recall) as client:
        result = await client.call_tool(name, arguments)

    assert result.is_error
    assert told in getattr(result.content[0], "text", "")


async def test_what_is_another_tenants_is_not_found(tmp_path: Path) -> None:
    async with real_recall(tmp_path, FakeClock()) as recall:
        made = await recall.collections.create(OWN, NewCollection(name="notes"))
        async with client_of(recall) as client:
            item = (await call(client, "remember", text="Ana takes sugar"))["id"]
            given = await call(client, "ingest", collection="notes", name="a.md", text="A samovar.")
        document = given["document"]
        async with client_of(recall, OTHER) as client:
            attempts = [
                await client.call_tool("read", {"id": item}),
                await client.call_tool("read", {"id": document}),
                await client.call_tool("revise", {"id": item, "text": "mine"}),
                await client.call_tool("forget", {"ids": [item]}),
                await client.call_tool("forget", {"ids": [document]}),
                await client.call_tool("list", {"of": made.id}),
                await client.call_tool("ingest", {"collection": made.id, "name": "b", "text": "b"}),
            ]
            found = await call(client, "search", query="samovar sugar")
            resources = (await client.list_resources()).resources
            for uri in (f"recall://collection/{made.id}/document/{document}", f"recall://memory/{item}"):
                with pytest.raises(MCPError, match="There is no resource"):
                    await client.read_resource(uri)
        async with client_of(recall) as client:
            kept = await call(client, "read", id=document)

    assert all(each.is_error for each in attempts)
    assert (found["passages"], found["memories"], resources) == ([], [], [])
    assert kept["text"] == "A samovar."


async def test_every_tool_is_described_and_says_what_it_may_do(tmp_path: Path) -> None:
    async with real_recall(tmp_path, FakeClock()) as recall, client_of(recall) as client:
        tools = {each.name: each for each in (await client.list_tools()).tools}

    assert set(tools) == {"search", "read", "remember", "revise", "forget", "ingest", "list"}
    for tool in tools.values():
        assert tool.description
        assert tool.input_schema["type"] == "object"
        assert tool.output_schema is not None
        assert tool.annotations is not None
    reading = {name for name, tool in tools.items() if tool.annotations and tool.annotations.read_only_hint}
    assert reading == {"search", "read", "list"}
