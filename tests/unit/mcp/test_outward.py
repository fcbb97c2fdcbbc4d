"""The server `lar`: names, pages, and what of a tool is offered on."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import mcp.types as wire
import msgspec
import pytest
from mcp import Client
from mcp.client.sse import sse_client

from runtime.mcp.wire import tool_of
from tests.kit.fake_hub import a_tool
from tests.kit.mcp_stage import open_mcp_stage

LIMIT_S = 20.0


async def test_lists_come_in_pages(tmp_path: Path) -> None:
    with anyio.fail_after(LIMIT_S):
        async with open_mcp_stage(tmp_path) as stage:
            stage.hub.known = [a_tool("echo", f"t{each}") for each in range(450)]
            async with Client(stage.mcp) as client:
                names, cursor = [], None
                for _ in range(3):
                    page = await client.list_tools(cursor=cursor)
                    names += [each.name for each in page.tools]
                    cursor = page.next_cursor
                assert (len(names), len(set(names)), cursor) == (450, 450, None)


async def test_two_tools_that_would_be_called_alike_can_both_be_called(tmp_path: Path) -> None:
    with anyio.fail_after(LIMIT_S):
        async with open_mcp_stage(tmp_path) as stage:
            one = msgspec.structs.replace(a_tool("echo", "b_c"), full_name="mcp__echo__b_c")
            two = msgspec.structs.replace(a_tool("echo", "c"), server="echo", full_name="mcp__echo_b__c")
            two = msgspec.structs.replace(two, name="b_c")
            stage.hub.known = [one, two]
            async with Client(stage.mcp) as client:
                names = [each.name for each in (await client.list_tools()).tools]
                assert names == ["echo_b_c", "mcp__echo_b__c"]
                for name in names:
                    await client.call_tool(name, {"text": "x"})
        assert [each.full_name for each in stage.hub.asked] == ["mcp__echo__b_c", "mcp__echo_b__c"]


async def test_clients_that_listen_are_told_of_other_tools(tmp_path: Path) -> None:
    with anyio.fail_after(LIMIT_S):
        async with open_mcp_stage(tmp_path) as stage, Client(stage.mcp) as client:
            async with client.listen(tools_list_changed=True) as changes:
                await stage.outward.tell_tools_changed()
                told = await anext(aiter(changes))
            assert type(told).__name__ == "ToolsListChanged"


@pytest.mark.parametrize("door", ["http", "sse"])
async def test_sessions_of_the_older_era_are_told_of_other_tools_until_they_end(
    tmp_path: Path, door: str
) -> None:
    told = anyio.Event()

    async def hear(message: object) -> None:
        if isinstance(message, wire.ToolListChangedNotification):
            told.set()

    with anyio.fail_after(LIMIT_S):
        async with open_mcp_stage(tmp_path) as stage:
            target: Any = sse_client(stage.sse) if door == "sse" else stage.mcp
            async with Client(target, mode="legacy", message_handler=hear) as client:
                tools = client.server_capabilities.tools
                assert tools is not None
                assert tools.list_changed is True
                await client.list_tools()
                while not told.is_set():  # the client opens its stream in its own time
                    await stage.outward.tell_tools_changed()
                    await anyio.wait_all_tasks_blocked()
                assert len(stage.outward.sessions) == 1
            while len(stage.outward.sessions):
                await anyio.wait_all_tasks_blocked()


@asynccontextmanager
async def stream_of(
    http: httpx2.AsyncClient, address: str, session: str
) -> AsyncIterator[AsyncIterator[str]]:
    """Open the stream of a session once the one before is gone; gives the methods that it tells."""
    while True:
        async with http.stream("GET", address, headers={"Mcp-Session-Id": session}) as answer:
            if answer.status_code == 200:
                lines = answer.aiter_lines()
                yield (json.loads(each[5:])["method"] async for each in lines if each.startswith("data:"))
                return
            assert answer.status_code == 409
        await anyio.wait_all_tasks_blocked()


async def test_what_changed_while_the_stream_of_a_session_was_closed_is_told_once_at_its_opening(
    tmp_path: Path,
) -> None:
    headers = {"Accept": "application/json, text/event-stream"}
    body = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    with anyio.fail_after(LIMIT_S):
        async with open_mcp_stage(tmp_path) as stage, httpx2.AsyncClient(headers=headers) as http:
            opening = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": body}
            opened = await http.post(stage.mcp, json=opening)
            session = opened.headers["mcp-session-id"]
            ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
            await http.post(stage.mcp, json=ready, headers={"Mcp-Session-Id": session})
            for _ in range(2):
                await stage.outward.tell_tools_changed()
                await stage.outward.tell_tools_changed()
                async with stream_of(http, stage.mcp, session) as told:
                    assert await anext(told) == "notifications/tools/list_changed"
            async with stream_of(http, stage.mcp, session) as told:
                await stage.outward.tell_tools_changed()
                assert await anext(told) == "notifications/tools/list_changed"


async def test_the_stream_of_a_session_that_is_not_known_tells_nobody(tmp_path: Path) -> None:
    with anyio.fail_after(LIMIT_S):
        async with open_mcp_stage(tmp_path) as stage, httpx2.AsyncClient() as http:
            headers = {"Mcp-Session-Id": "none", "Accept": "text/event-stream"}
            assert (await http.get(stage.mcp, headers=headers)).status_code == 404


def test_nothing_is_wanted_in_headers() -> None:
    schema = {
        "type": "object",
        "properties": {"region": {"type": "string", "x-mcp-header": "Region"}, "any": True},
    }
    tool = msgspec.structs.replace(a_tool("outside", "say"), input_schema=schema)
    assert tool_of(tool, "outside_say").input_schema["properties"] == {
        "region": {"type": "string"},
        "any": True,
    }
